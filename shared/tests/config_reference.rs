//! Keeps docs/configuration.md complete: it has exactly the keys that the parser knows, and examples that
//! load.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod key_reference;

use std::collections::BTreeSet;
use std::path::Path;

use key_reference::{differences, documented, examples, known_to_the_parser};
use rta_shared::config::load_sources;

fn reference() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn reference_has_each_key_of_the_parser_and_no_other() {
    let known = known_to_the_parser(|source| load_sources(&[source]).err());
    // If the parser could not be made to list its keys, there would be nothing to compare.
    for path in ["", "component", "component.start", "component.process.criteria", "environment.host"] {
        assert!(known.contains_key(path), "the parser told no keys of {path:?}: {:?}", known.keys());
    }
    let differences = differences(&known, &documented(&reference()));
    assert!(differences.is_empty(), "docs/configuration.md:\n{}", differences.join("\n"));
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
