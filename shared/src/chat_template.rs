//! Templates of chat messages: JSON with placeholders such as `${summary}` in its texts.

use serde_json::Value;

use crate::sanitize::printable;
use crate::suggestion::did_you_mean;

/// Placeholders of a template.
pub const PLACEHOLDERS: [&str; 12] = [
    "affected",
    "cause",
    "component",
    "environment",
    "health",
    "host",
    "kind",
    "link",
    "reason",
    "runbook",
    "severity",
    "summary",
];

/// Placeholder for the whole text of a message.
pub const TEXT: &str = "text";

/// Returns the JSON of `template` with each placeholder replaced by the result of `value`. Only texts of the
/// JSON are changed, so that no value can change its structure.
///
/// # Errors
/// Returns a part of a sentence if the template is no JSON, or has an unknown placeholder.
pub fn fill(template: &str, value: impl Fn(&str) -> String) -> Result<Value, String> {
    let mut json: Value =
        serde_json::from_str(template).map_err(|error| format!("it is no JSON: {error}"))?;
    fill_value(&mut json, &value)?;
    Ok(json)
}

fn fill_value(json: &mut Value, value: &impl Fn(&str) -> String) -> Result<(), String> {
    match json {
        Value::String(text) => {
            *text = fill_text(text, value)?;
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill_value(item, value)),
        Value::Object(fields) => fields.values_mut().try_for_each(|field| fill_value(field, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn fill_text(text: &str, value: &impl Fn(&str) -> String) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, behind)) = after.split_once('}') else {
            return Err(format!("\"{}\" has a placeholder without its end", printable(text)));
        };
        if name != TEXT && !PLACEHOLDERS.contains(&name) {
            let known = PLACEHOLDERS.into_iter().chain([TEXT]);
            let hint = did_you_mean(name, known);
            return Err(format!("placeholder \"{}\" is not known{hint}", printable(name)));
        }
        filled.push_str(before);
        filled.push_str(&value(name));
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn value_cannot_change_the_structure() {
        let filled = fill(r#"{"a": ["x ${summary}!"], "n": 1}"#, |_| "\"}, \"b\": ${text}".to_owned());
        assert_eq!(filled, Ok(json!({"a": ["x \"}, \"b\": ${text}!"], "n": 1})));
    }

    #[test]
    fn invalid_template_is_reported() {
        let error_of = |template: &str| fill(template, str::to_owned).unwrap_err();
        assert!(error_of("{").starts_with("it is no JSON"));
        assert_eq!(
            error_of(r#"["${sumary}"]"#),
            "placeholder \"sumary\" is not known; did you mean \"summary\"?"
        );
        assert_eq!(error_of(r#"["${text"]"#), "\"${text\" has a placeholder without its end");
    }
}
