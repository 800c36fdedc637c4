//! Compares a reference of keys with the parser that it describes.
//!
//! The keys are obtained from the parser itself. A table with an absurd key makes it list the keys of that
//! table, and each of these keys is then tried as a table and as an array of tables. So no list of tables has
//! to be kept.

use std::collections::{BTreeMap, BTreeSet};

use rta_shared::config::{LoadError, Source};

/// Key that no table has, and that resembles none.
const ABSURD: &str = "zzzzzzzzzzzzzzzzzzzz";

/// Columns of each table of the reference.
const COLUMNS: [&str; 4] = ["key", "type", "default", "meaning"];

/// Path from the top of a file to a table: each key, and true if its value is an array of tables.
type KeyPath = Vec<(String, bool)>;

/// Returns the tables that the parser `load` knows, by their paths, with the keys that the parser knows. The
/// top of a file has the empty path.
pub(crate) fn known_to_the_parser(
    load: fn(Source) -> Option<LoadError>,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut tables = BTreeMap::new();
    let mut ahead: Vec<KeyPath> = vec![Vec::new()];
    while let Some(way) = ahead.pop() {
        let Some(keys) = keys_of(&way, load) else { continue };
        for key in &keys {
            for is_array in [false, true] {
                ahead.push([way.as_slice(), &[(key.clone(), is_array)]].concat());
            }
        }
        let path: Vec<&str> = way.iter().map(|(key, _)| key.as_str()).collect();
        tables.insert(path.join("."), keys);
    }
    tables
}

/// Returns the keys that the parser knows in this table; `None` if it reads no table with keys of its own
/// there.
fn keys_of(way: &KeyPath, load: fn(Source) -> Option<LoadError>) -> Option<BTreeSet<String>> {
    let absurd = format!("{ABSURD} = 1");
    let text = way.iter().rev().fold(absurd, |inner, (key, is_array)| match is_array {
        true => format!("{key} = [{{ {inner} }}]"),
        false => format!("{key} = {{ {inner} }}"),
    });
    let error = load(Source { name: "absurd.toml".to_owned(), text }).unwrap();
    let unknown = format!("key \"{ABSURD}\" is not known");
    let listed = error.problems.iter().find_map(|problem| problem.message.split_once(&unknown))?.1;
    let list = listed.strip_prefix("; known: ");
    let list = list.unwrap_or_else(|| panic!("{way:?}: the parser lists no keys: {listed}"));
    assert!(!list.ends_with(" more"), "{way:?}: the parser lists only some of the keys: {list}");
    Some(list.split(", ").map(str::to_owned).collect())
}

/// Returns the tables of the reference by their paths, with the keys of each. A heading names the paths of
/// the table below it: `` ## `[[component]]` ``, or several; `*` stands for any key.
pub(crate) fn documented(reference: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut paths: Vec<String> = Vec::new();
    let mut in_table = false;
    for line in reference.lines() {
        if line.starts_with('#') {
            let heading = code_spans(line);
            paths = heading.iter().map(|path| path.trim_matches(['[', ']']).to_owned()).collect();
            if line.ends_with("Top level") {
                paths.push(String::new());
            }
        }
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        if !line.starts_with('|') {
            in_table = false;
        } else if cells == COLUMNS {
            assert!(!paths.is_empty(), "a table of keys stands under a heading without a path: {line}");
            in_table = true;
        } else if in_table && !line.starts_with("|--") {
            assert_eq!(cells.len(), COLUMNS.len(), "{line}");
            assert!(cells.iter().all(|cell| !cell.is_empty()), "a cell is empty: {line}");
            for path in &paths {
                let keys = tables.entry(path.clone()).or_default();
                for key in code_spans(cells[0]) {
                    assert!(keys.insert(key.clone()), "{path:?} has {key} twice");
                }
            }
        }
    }
    tables
}

/// Returns the texts between backticks in a line.
fn code_spans(line: &str) -> Vec<String> {
    line.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Returns the differences between the keys that the parser knows and those that are documented.
pub(crate) fn differences(
    known: &BTreeMap<String, BTreeSet<String>>,
    documented: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut differences = Vec::new();
    for (path, keys) in known {
        let any = path.rsplit_once('.').map(|(parent, _)| format!("{parent}.*")).unwrap_or_default();
        let found = documented.get_key_value(path).or_else(|| documented.get_key_value(&any));
        let Some((section, written)) = found else {
            differences.push(format!("table {path:?} has no section; its keys: {keys:?}"));
            continue;
        };
        used.insert(section);
        let missing = keys.difference(written).map(|key| format!("{path:?}: key {key} is missing"));
        let unknown = written.difference(keys).map(|key| format!("{path:?}: the parser does not know {key}"));
        differences.extend(missing.chain(unknown));
    }
    for section in documented.keys().filter(|section| !used.contains(section.as_str())) {
        differences.push(format!("the parser knows no table {section:?}"));
    }
    differences
}

/// Returns the examples of the reference, each as a separate file.
pub(crate) fn examples(reference: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut example: Option<Source> = None;
    for (at, line) in reference.lines().enumerate() {
        match (&mut example, line) {
            (None, "```toml") => {
                let name = format!("example at line {}", at + 1);
                example = Some(Source { name, text: String::new() });
            }
            (Some(_), "```") => sources.extend(example.take()),
            (Some(source), line) => source.text.push_str(&format!("{line}\n")),
            (None, _) => {}
        }
    }
    sources
}
