//! Field names of log messages, which log collectors index and alert on.

use std::collections::BTreeMap;
use std::path::Path;

use rta_tests::rust_tokens::{Token, tokens};
use serde_json::Value;

use crate::golden::assert_golden;
use crate::golden::platform::recording;

const REMOVAL: &str = "a collector's filter or alert on such a field finds nothing any more.";

/// Crates whose sources log, with the name under which their messages are listed.
const CRATES: [&str; 4] = ["agent", "aggregator", "cli", "shared"];

/// Macros of tracing that log a message or open a span.
const MACROS: [&str; 12] = [
    "trace",
    "debug",
    "info",
    "warn",
    "error",
    "event",
    "span",
    "trace_span",
    "debug_span",
    "info_span",
    "warn_span",
    "error_span",
];

/// Macro arguments that are not fields.
const NO_FIELDS: [&str; 3] = ["target", "parent", "name"];

/// Keys of every log line.
const ENVELOPE: [&str; 4] = ["timestamp", "level", "target", "message"];

#[test]
fn log_fields_are_unchanged() {
    let mut lines = Vec::new();
    for name in CRATES {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for message in crate_messages(name) {
            *counts.entry(message.to_string()).or_default() += 1;
        }
        lines.extend(counts.iter().map(|(message, count)| match count {
            1 => format!("{name}: {message}"),
            count => format!("{name}: {message} ({count} messages)"),
        }));
    }
    assert_golden("log_fields.txt", REMOVAL, &lines);
}

/// The scan of the sources must not miss a way of logging.
#[test]
fn log_lines_have_only_fields_that_the_sources_name() {
    let known: Vec<String> =
        CRATES.iter().flat_map(|name| crate_messages(name)).flat_map(|message| message.fields).collect();
    let log = &recording().log;
    assert!(log.iter().any(|line| line.contains("\"message\":\"listening\"")), "{log:#?}");
    for line in log {
        // A program's last message is not a log line.
        let Ok(Value::Object(members)) = serde_json::from_str(line) else { continue };
        for key in ENVELOPE {
            assert!(members.contains_key(key), "{key} is missing: {line}");
        }
        let unknown: Vec<_> =
            members.keys().filter(|key| !ENVELOPE.contains(&key.as_str()) && !known.contains(key)).collect();
        assert!(unknown.is_empty(), "{unknown:?} not found in the sources: {line}");
    }
}

/// Call of one of tracing's macros.
#[derive(Debug, PartialEq, Eq)]
struct LogMessage {
    /// Name of the macro.
    level: String,
    /// Names of its fields, sorted.
    fields: Vec<String>,
}

impl std::fmt::Display for LogMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = if self.fields.is_empty() { "no fields".to_owned() } else { self.fields.join(", ") };
        write!(f, "{}: {fields}", self.level)
    }
}

/// Returns the messages in the sources of a crate.
fn crate_messages(name: &str) -> Vec<LogMessage> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
    let mut messages = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                messages.extend(source_messages(&std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    messages
}

/// Returns the messages in a source file.
fn source_messages(source: &str) -> Vec<LogMessage> {
    let tokens = tokens(source);
    let calls = tokens.windows(3).enumerate().filter_map(|(at, window)| match window {
        [Token::Word(name), Token::Mark('!'), Token::Mark('(' | '{' | '[')]
            if MACROS.contains(&name.as_str()) =>
        {
            let mut fields: Vec<String> =
                arguments(&tokens[at + 3..]).into_iter().filter_map(field).collect();
            fields.sort();
            Some(LogMessage { level: name.clone(), fields })
        }
        _ => None,
    });
    calls.collect()
}

/// Splits the arguments of a macro up to the message, starting at the first argument: later arguments
/// belong to the message.
fn arguments(tokens: &[Token]) -> Vec<&[Token]> {
    let mut arguments = Vec::new();
    let (mut depth, mut begin) = (0_usize, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            // `{ field = 1, other }, "message"`
            Token::Mark('{') if depth == 0 && at == begin => {
                arguments.extend(self::arguments(&tokens[at + 1..]));
                depth += 1;
            }
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') if depth > 0 => depth -= 1,
            Token::Mark(',' | ')' | ']' | '}') if depth == 0 => {
                let argument = &tokens[begin..at];
                arguments.push(argument);
                if matches!(argument, [Token::Text(_)]) || *token != Token::Mark(',') {
                    break;
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
    arguments
}

/// Returns the field name of an argument; `None` for the message and for settings such as `target: "x"`.
fn field(argument: &[Token]) -> Option<String> {
    let argument = match argument {
        [Token::Mark('%' | '?'), value @ ..] => value,
        [Token::Word(setting), Token::Mark(':'), ..] if NO_FIELDS.contains(&setting.as_str()) => return None,
        // `Level::INFO` of event!, or a group whose fields are already separate arguments.
        [Token::Word(_), Token::Mark(':'), Token::Mark(':'), ..] | [Token::Mark('{'), ..] => return None,
        argument => argument,
    };
    let end = argument.iter().position(|token| *token == Token::Mark('='));
    let name = &argument[..end.unwrap_or(argument.len())];
    match name {
        [] => None,
        [Token::Text(_)] if end.is_none() => None,
        name => Some(name.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn fields_are_found_in_every_form_of_argument() {
    let source = r##"
        // tracing::warn!(commented)
        /* info!(out, /* nested */ "x") */
        fn f<'a>(it: &'a str) {
            tracing::warn!(%error, host = %now.name, ?pids, a.b, "text, {}", count = f(1, 2));
            match x {
                '"' => info!("only {text}"),
                '\'' => { error!(target: "t", "quoted key" = 1, { inner }, "t") }
            }
            let text = r#"debug!(in_text, "no")"#;
            trace!(unit = unit.name(|a, b| a), last);
        }
    "##;
    let found: Vec<String> = source_messages(source).iter().map(ToString::to_string).collect();
    let expected =
        ["warn: a.b, error, host, pids", "info: no fields", "error: inner, quoted key", "trace: last, unit"];
    assert_eq!(found, expected);
}
