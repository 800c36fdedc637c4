//! The command line: JSON of the commands.

use crate::assert_golden;
use crate::json::shape_lines;
use crate::platform::recording;
use crate::shape::Shape;

const JSON_REMOVAL: &str = "scripts that read such a key, or branch on such a word, break.";

/// Commands whose output is that of `GET /api/v1/overview`.
const OVERVIEWS: [&str; 2] = ["rta list --json", "rta status --json"];

#[test]
fn json_of_commands_is_unchanged() {
    let recording = recording();
    let (overviews, others): (Vec<_>, Vec<_>) =
        recording.outputs.iter().cloned().partition(|(title, _)| OVERVIEWS.contains(title));
    // They were recorded after the first answer of the API, in the same situation.
    let (_, overview) = &recording.answers[0];
    let mut lines = Vec::new();
    for (title, value) in &overviews {
        assert_eq!(Shape::of(value).paths(), Shape::of(overview).paths(), "{title}");
        lines.push(format!("{title}: the keys of GET /api/v1/overview"));
    }
    lines.extend(shape_lines(&others));
    assert_golden("cli_json.txt", JSON_REMOVAL, &lines);
}
