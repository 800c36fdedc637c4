//! JSON of `/api/v1/*`, on which scripts and dashboards rely.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::golden::assert_golden;
use crate::golden::platform::recording;
use crate::golden::shape::Shape;

const REMOVAL: &str = "scripts and dashboards that read such a key, or branch on such a word, break.";

/// Kinds of events whose `from` and `to` are words of a fixed set; for other kinds they are digests or texts.
const KINDS_WITH_WORDS: [&str; 6] = ["autostart", "health", "host", "maintenance", "plan", "step"];

#[test]
fn api_is_unchanged() {
    let recording = recording();
    let mut lines = shape_lines(&recording.answers);
    let mut problem = Shape::default();
    for (request, answer) in &recording.others {
        let kind = answer.header("content-type").unwrap_or("no media type");
        if kind.contains("json") {
            problem.add(&serde_json::from_str(&answer.body).unwrap());
        }
        lines.push(format!("{request}: {} {kind}", answer.code));
    }
    lines.extend(problem.lines("application/problem+json"));
    assert_golden("api.txt", REMOVAL, &lines);
}

/// Returns the lines of the merged shapes of all values of each title.
pub(crate) fn shape_lines(values: &[(&'static str, Value)]) -> Vec<String> {
    let mut shapes: BTreeMap<&str, Shape> = BTreeMap::new();
    for (title, value) in values {
        let shape = shapes.entry(title).or_default();
        shape.add(value);
        add_event_words(shape, value);
    }
    shapes.iter().flat_map(|(title, shape)| shape.lines(title)).collect()
}

/// Adds the words of `from` and `to` of each kind of event.
fn add_event_words(shape: &mut Shape, value: &Value) {
    let events = value.as_array().or_else(|| value["events"].as_array());
    for event in events.into_iter().flatten() {
        let kind = event["kind"].as_str().unwrap_or_default();
        if !KINDS_WITH_WORDS.contains(&kind) {
            continue;
        }
        for key in ["from", "to"] {
            let word = event[key].as_str().unwrap_or("null");
            shape.add_word(&format!("{key} of events of kind {kind}"), word);
        }
    }
}
