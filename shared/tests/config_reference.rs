//! Keeps docs/configuration.md complete: it has exactly the keys that the parser knows, and examples that
//! load.
//!
//! The keys are obtained from the parser itself. A table with an absurd key makes it list the keys of that
//! table, and each of these keys is then tried as a table and as an array of tables. So no list of tables has
//! to be kept here.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rta_shared::config::{Source, load_sources};

/// Key that no table has, and that resembles none.
const ABSURD: &str = "zzzzzzzzzzzzzzzzzzzz";

/// Columns of each table of the reference.
const COLUMNS: [&str; 4] = ["key", "type", "default", "meaning"];

/// Path from the top of a file to a table: each key, and true if its value is an array of tables.
type KeyPath = Vec<(String, bool)>;

/// Returns the tables of the configuration, by their paths, with the keys that the parser knows. The top of a
/// file has the empty path.
fn known_to_the_parser() -> BTreeMap<String, BTreeSet<String>> {
    let mut tables = BTreeMap::new();
    let mut ahead: Vec<KeyPath> = vec![Vec::new()];
    while let Some(way) = ahead.pop() {
        let Some(keys) = keys_of(&way) else { continue };
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
fn keys_of(way: &KeyPath) -> Option<BTreeSet<String>> {
    let absurd = format!("{ABSURD} = 1");
    let text = way.iter().rev().fold(absurd, |inner, (key, is_array)| match is_array {
        true => format!("{key} = [{{ {inner} }}]"),
        false => format!("{key} = {{ {inner} }}"),
    });
    let error = load_sources(&[Source { name: "absurd.toml".to_owned(), text }]).unwrap_err();
    let unknown = format!("key \"{ABSURD}\" is not known");
    let told = error.problems.iter().find_map(|problem| problem.message.split_once(&unknown))?.1;
    let list = told.strip_prefix("; known: ");
    let list = list.unwrap_or_else(|| panic!("{way:?}: the parser lists no keys: {told}"));
    assert!(!list.ends_with(" more"), "{way:?}: the parser lists only some of the keys: {list}");
    Some(list.split(", ").map(str::to_owned).collect())
}

/// Returns the tables of the reference by their paths, with the keys of each. A heading names the paths of
/// the table below it: `` ## `[[component]]` ``, or several; `*` stands for any key.
fn documented(reference: &str) -> BTreeMap<String, BTreeSet<String>> {
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

fn reference() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn reference_has_each_key_of_the_parser_and_no_other() {
    let known = known_to_the_parser();
    // If the parser could not be made to list its keys, there would be nothing to compare.
    for path in ["", "component", "component.start", "component.process.criteria", "environment.host"] {
        assert!(known.contains_key(path), "the parser told no keys of {path:?}: {:?}", known.keys());
    }
    let documented = documented(&reference());
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut differences = Vec::new();
    for (path, keys) in &known {
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
    assert!(differences.is_empty(), "docs/configuration.md:\n{}", differences.join("\n"));
}

/// Returns the examples of the reference, each as a separate file.
fn examples(reference: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut example: Option<Source> = None;
    for (at, line) in reference.lines().enumerate() {
        match (&mut example, line) {
            (None, "```toml") => {
                let name = format!("docs/configuration.md, example at line {}", at + 1);
                example = Some(Source { name, text: String::new() });
            }
            (Some(_), "```") => sources.extend(example.take()),
            (Some(source), line) => source.text.push_str(&format!("{line}\n")),
            (None, _) => {}
        }
    }
    sources
}

#[test]
fn examples_of_the_reference_are_one_valid_configuration() {
    let sources = examples(&reference());
    assert!(sources.len() > 5, "only {} examples were found", sources.len());
    if let Err(error) = load_sources(&sources) {
        panic!("{error}");
    }
}

#[test]
fn each_key_of_the_reference_is_in_an_example() {
    let reference = reference();
    let text: String = examples(&reference).into_iter().map(|example| example.text).collect();
    // `key = 1`, `[component.key]`, `[key]`.
    let ways =
        |key: &str| [format!("\n{key} = "), format!(" {key} = "), format!(".{key}]"), format!("\n[{key}]")];
    let written = |key: &str| ways(key).iter().any(|way| text.contains(way.as_str()));
    let documented = documented(&reference);
    // The limits are alike, and some stand for all.
    let keys = documented.iter().filter(|(path, _)| !path.ends_with("limits")).flat_map(|(_, keys)| keys);
    let missing: BTreeSet<&String> = keys.filter(|key| !written(key)).collect();
    assert!(missing.is_empty(), "no example shows {missing:?}");
}
