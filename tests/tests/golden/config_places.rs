//! Locations of configuration problems: editors and pipelines jump to `FILE:LINE:COLUMN`.

use std::path::Path;

use rta_tests::run_binary;

use crate::golden::{assert_golden, golden_path};

const REMOVAL: &str = "the problem is no longer reported, or at another place.";

/// Maximum length of a shown line, in characters.
const SHOWN: usize = 40;

/// Every folder of `tests/golden/broken` is a configuration with problems. The golden file has a line for
/// each problem: its location, its key and the text at that location. The problem's wording is left out.
#[test]
fn config_problems_have_their_places() {
    let broken = golden_path("broken");
    let mut names: Vec<String> = std::fs::read_dir(&broken)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut lines = Vec::new();
    for name in names {
        let folder = broken.join(&name);
        let output = run_binary("rta", [Path::new("config"), Path::new("check"), &folder]);
        assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let places: Vec<_> = text.lines().filter_map(|line| Place::parse(line, &broken)).collect();
        assert!(!places.is_empty(), "{name}: {text}");
        lines.extend(places.iter().map(|place| place.line(&broken)));
    }
    assert_golden("config_places.txt", REMOVAL, &lines);
}

/// Location of a problem.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// Path below the folder of the broken configurations.
    file: String,
    /// Line, from 1.
    line: usize,
    /// Column in characters, from 1.
    column: usize,
}

impl Place {
    /// Parses the location from a line of output; `None` for a line without one.
    fn parse(line: &str, folder: &Path) -> Option<Self> {
        let rest = line.strip_prefix(folder.to_str()?)?.strip_prefix('/')?;
        let mut parts = rest.splitn(4, ':');
        let (file, line, column) = (parts.next()?.to_owned(), parts.next()?, parts.next()?);
        Some(Self { file, line: line.parse().ok()?, column: column.parse().ok()? })
    }

    /// Returns the line of the golden file: `FILE:LINE:COLUMN [KEY] TEXT`.
    fn line(&self, folder: &Path) -> String {
        let text = std::fs::read_to_string(folder.join(&self.file)).unwrap();
        let line = text.lines().nth(self.line - 1).unwrap_or_default();
        let (before, after): (String, String) = (
            line.chars().take(self.column - 1).collect(),
            line.chars().skip(self.column - 1).take(SHOWN).collect(),
        );
        let key = key(&before, &after);
        format!("{}:{}:{} [{key}] {after}", self.file, self.line, self.column).trim_end().to_owned()
    }
}

/// Returns the key or table at a location. `before` and `after` are the text of its line on both sides.
fn key(before: &str, after: &str) -> String {
    let is_key = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.');
    let table = before.starts_with('[').then_some(before.to_owned() + after);
    if let Some(table) = table.or_else(|| after.starts_with('[').then(|| after.to_owned()))
        && before.trim_start_matches('[').is_empty()
    {
        return table.trim_matches(['[', ']']).to_owned();
    }
    // The key itself, or the last one before the value.
    let own: String = after.chars().take_while(|character| is_key(*character)).collect();
    if !own.is_empty() && after[own.len()..].trim_start().starts_with('=') {
        return own;
    }
    let Some((left, _)) = before.rsplit_once('=') else { return String::new() };
    let reversed: String = left.trim_end().chars().rev().take_while(|character| is_key(*character)).collect();
    reversed.chars().rev().collect()
}

#[test]
fn key_of_a_place_is_the_one_it_is_or_belongs_to() {
    for (before, after, expected) in [
        ("", "[[environment]]", "environment"),
        ("[[", "rol]]", "rol"),
        ("criteria = [{ ", "indx = 0, regex = 'java' }]", "indx"),
        ("criteria = [{ index = ", "\"0\" }]", "index"),
        ("", "name = \"a\"", "name"),
        ("depends_on = [", "\"kafka\"]", "depends_on"),
    ] {
        assert_eq!(key(before, after), expected, "{before}|{after}");
    }
}
