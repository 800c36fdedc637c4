//! Comparison of values of a JSON document. Pure.

use rta_shared::config::{Comparison, JsonTest};
use serde_json::Value;

use super::answer::quote;

/// Tests the document `text`.
///
/// # Errors
/// Returns a part of a sentence that says what was seen, if one of `tests` does not hold.
pub(super) fn check_json(tests: &[JsonTest], text: &[u8]) -> Result<(), String> {
    if tests.is_empty() {
        return Ok(());
    }
    let document: Value = serde_json::from_slice(text)
        .map_err(|error| format!("the body is no JSON ({error}): {}", quote(text)))?;
    tests.iter().try_for_each(|test| check_value(test, &document))
}

fn check_value(test: &JsonTest, document: &Value) -> Result<(), String> {
    let JsonTest { pointer, comparison, expected } = test;
    let shown = quote(test.to_string().as_bytes());
    let Some(value) = document.pointer(pointer) else {
        return Err(format!("the body has no {}, {shown} is right", quote(pointer.as_bytes())));
    };
    let holds = match comparison {
        Comparison::Equal => is_equal(value, expected),
        Comparison::Unequal => !is_equal(value, expected),
        order => {
            let Some((is, limit)) = value.as_f64().zip(expected.parse::<f64>().ok()) else {
                return Err(format!("{} is no number, {shown} is right", describe(pointer, value)));
            };
            match order {
                Comparison::AtMost => is <= limit,
                Comparison::AtLeast => is >= limit,
                Comparison::Below => is < limit,
                Comparison::Above | Comparison::Equal | Comparison::Unequal => is > limit,
            }
        }
    };
    if holds { Ok(()) } else { Err(format!("{}, {shown} is right", describe(pointer, value))) }
}

fn describe(pointer: &str, value: &Value) -> String {
    let value = match value {
        Value::Array(elements) => format!("an array of {}", elements.len()),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => quote(text.as_bytes()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    };
    let pointer = quote(pointer.as_bytes());
    format!("{} is {value}", pointer.trim_matches('"'))
}

/// Compares a value with an expected text: a text by its characters, a number by its amount.
fn is_equal(value: &Value, expected: &str) -> bool {
    match value {
        Value::String(text) => text == expected,
        Value::Number(number) => {
            number.to_string() == expected
                || expected.parse::<f64>().is_ok_and(|expected| number.as_f64() == Some(expected))
        }
        Value::Bool(value) => expected.parse() == Ok(*value),
        Value::Null => expected == "null",
        Value::Array(_) | Value::Object(_) => {
            serde_json::from_str::<Value>(expected).is_ok_and(|expected| expected == *value)
        }
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{HttpProbe, ProbeMethod};

    use super::super::tests::question;
    use super::*;

    fn check(json: &str, text: &str) -> Result<(), String> {
        match question(&format!("http = 'http://h/', json = {json}")) {
            ProbeMethod::Http(HttpProbe { json, .. }) => check_json(&json, text.as_bytes()),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn values_are_compared_by_their_kind() {
        let master = r#"{"aliveworkers":2,"status":"ALIVE","workers":[{"id":"w-1","load":0.5}],"x":null,"y":true,"a/b":"5"}"#;
        let rows = [
            ("'/aliveworkers >= 1'", Ok(())),
            ("'/aliveworkers == 2.0'", Ok(())),
            ("'/aliveworkers > 2'", Err("/aliveworkers is 2, \"/aliveworkers > 2\" is right")),
            ("'/aliveworkers != 2'", Err("/aliveworkers is 2, \"/aliveworkers != 2\" is right")),
            ("'/workers/0/load < 1'", Ok(())),
            ("['/aliveworkers <= 2', '/status == ALIVE']", Ok(())),
            (
                "['/aliveworkers <= 2', '/status == STANDBY']",
                Err("/status is \"ALIVE\", \"/status == STANDBY\" is right"),
            ),
            ("'/x == null'", Ok(())),
            ("'/y == true'", Ok(())),
            ("'/workers != []'", Ok(())),
            ("'/workers == []'", Err("/workers is an array of 1, \"/workers == []\" is right")),
            ("'/a~1b == 5'", Ok(())),
            ("'/a~1b >= 5'", Err("/a~1b is \"5\" is no number, \"/a~1b >= 5\" is right")),
            ("'/none == 1'", Err("the body has no \"/none\", \"/none == 1\" is right")),
            // What is not there is not unequal either: a misspelt pointer must not pass.
            ("'/none != 1'", Err("the body has no \"/none\", \"/none != 1\" is right")),
        ];
        for (json, expected) in rows {
            assert_eq!(check(json, master), expected.map_err(str::to_owned), "{json}");
        }
        let reason = check("'/a == 1'", "<html>not found").unwrap_err();
        assert!(
            reason.starts_with("the body is no JSON (") && reason.ends_with("): \"<html>not found\""),
            "{reason}"
        );
    }
}
