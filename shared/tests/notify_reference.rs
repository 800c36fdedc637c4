//! Keeps docs/notifications.md complete: it has exactly the keys that the parser knows, and examples that
//! load.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod key_reference;

use std::path::Path;

use key_reference::{differences, documented, examples, known_to_the_parser};
use rta_shared::config::notify::load_notify_source;

fn reference() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/notifications.md")).unwrap()
}

#[test]
fn reference_has_each_key_of_the_parser_and_no_other() {
    let known = known_to_the_parser(|source| load_notify_source(source).err());
    // If the parser could not be made to list its keys, there would be nothing to compare.
    for path in ["", "channel", "channel.mail", "channel.webhook.secret", "route"] {
        assert!(known.contains_key(path), "the parser told no keys of {path:?}: {:?}", known.keys());
    }
    let differences = differences(&known, &documented(&reference()));
    assert!(differences.is_empty(), "docs/notifications.md:\n{}", differences.join("\n"));
}

#[test]
fn examples_of_the_reference_are_valid_apart_from_files_that_are_not_here() {
    let examples = examples(&reference());
    assert!(examples.len() > 2, "only {} examples were found", examples.len());
    for example in examples {
        let problems = load_notify_source(example).err().map(|error| error.problems).unwrap_or_default();
        let unexpected: Vec<_> =
            problems.iter().filter(|problem| !problem.message.contains("/etc/rta/")).collect();
        assert!(unexpected.is_empty(), "{unexpected:?}");
    }
}
