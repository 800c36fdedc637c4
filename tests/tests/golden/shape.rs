//! Shape of JSON: each key path with the types of its values, without the values.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Keys whose texts are words of a fixed set, on which scripts branch.
const WORDS: [&str; 11] =
    ["action", "health", "kind", "mode", "part", "phase", "state", "status", "suspension", "title", "type"];

/// Key paths with their types and words, merged from any number of values.
#[derive(Debug, Default)]
pub(crate) struct Shape(BTreeMap<String, Place>);

/// Types and words at a key path.
#[derive(Debug, Default)]
struct Place {
    types: BTreeSet<&'static str>,
    words: BTreeSet<String>,
}

impl Shape {
    /// Returns the shape of a value.
    pub(crate) fn of(value: &Value) -> Self {
        let mut shape = Self::default();
        shape.add(value);
        shape
    }

    /// Adds the shape of `value`.
    pub(crate) fn add(&mut self, value: &Value) {
        self.add_at("", value);
    }

    /// Adds a word of a text that has a fixed set of words only in this context, such as `from` of
    /// an event about health.
    pub(crate) fn add_word(&mut self, path: &str, word: &str) {
        self.0.entry(path.to_owned()).or_default().words.insert(word.to_owned());
    }

    fn add_at(&mut self, path: &str, value: &Value) {
        let key = path.rsplit('.').next().unwrap_or_default();
        // A value at the root contributes only its type.
        let place =
            self.0.entry(if path.is_empty() { "(root)".to_owned() } else { path.to_owned() }).or_default();
        place.types.insert(type_name(value));
        match value {
            Value::String(text) if WORDS.contains(&key) => drop(place.words.insert(text.clone())),
            Value::Number(number) if WORDS.contains(&key) => drop(place.words.insert(number.to_string())),
            Value::Array(values) => {
                for value in values {
                    self.add_at(&format!("{path}[]"), value);
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    self.add_at(&path, value);
                }
            }
            _ => {}
        }
    }

    /// Returns the key paths alone.
    pub(crate) fn paths(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Returns a line for each key path and for each of its words, sorted: `GET /x: a[].health: string` and
    /// `GET /x: a[].health = up`.
    pub(crate) fn lines(&self, title: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, place) in &self.0 {
            if !place.types.is_empty() {
                let types: Vec<&str> = place.types.iter().copied().collect();
                lines.push(format!("{title}: {path}: {}", types.join(" or ")));
            }
            lines.extend(place.words.iter().map(|word| format!("{title}: {path} = {word}")));
        }
        lines
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        // Like JSON Schema: a script that reads integers fails at fractions.
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[test]
fn shape_has_paths_types_and_words_but_no_values() {
    let mut shape = Shape::of(&serde_json::json!({"a": [{"health": "up", "pid": 7}], "b": null}));
    shape.add(&serde_json::json!({"a": [{"health": "down", "pid": 8}], "b": "text", "c": 0.5}));
    let lines = [
        "x: (root): object",
        "x: a: array",
        "x: a[]: object",
        "x: a[].health: string",
        "x: a[].health = down",
        "x: a[].health = up",
        "x: a[].pid: integer",
        "x: b: null or string",
        "x: c: number",
    ];
    assert_eq!(shape.lines("x"), lines);
}
