//! Redaction of secrets in command lines and texts: people put passwords there, and many people see logs and
//! pages.
//!
//! Everything that leaves a host is redacted here: [`redact_arguments`] for command lines, [`redact_text`] for the
//! output of programs. More may be hidden than is secret.
//!
//! | module | holds |
//! |---|---|
//! | `names` | names that indicate a secret: `keyStorePassword`, `api-key` |
//! | `flags` | flags that are followed by a secret: `--password x`, `mysql -px` |
//! | `inline` | secrets within a text: names with values, URLs, headers, keys |

mod flags;
mod inline;
mod names;

use std::sync::LazyLock;

use regex::Regex;

use self::flags::{FlagScanner, Visibility};
use self::inline::{is_wholly_secret, masked_inline};

/// Replacement for a secret.
const MASK: &str = "***";

/// Kind of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextKind {
    /// Command line, or a part of one.
    Command,
    /// Output of a program, in words.
    Prose,
}

/// Word of a text, including quoted parts: `"a b"`, `--x='a b'`, `plain`.
static WORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"']|["'])+"#).ok());

/// Returns the arguments of a command line, program first, with `***` in place of likely secrets.
///
/// The argument of `-p` is hidden unless it looks like a port (`8080`, `127.0.0.1:8080:80`, `53/udp`) or a
/// path, or unless the program is known to use it for something else (`ssh`, `psql`, `mkdir`). For programs
/// that are known to take a password there (`mongo`, `sshpass`), it is always hidden.
///
/// ```
/// use rta_shared::redact::redact_arguments;
/// assert_eq!(redact_arguments(["app", "-Dpass=x", "-p", "hunter2"]), ["app", "-Dpass=***", "-p", "***"]);
/// assert_eq!(redact_arguments(["app", "-p", "8080"]), ["app", "-p", "8080"]);
/// ```
pub fn redact_arguments<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut flags = FlagScanner::new(TextKind::Command);
    let mask = |argument: &str| match flags.next(argument) {
        Visibility::Hide => MASK.to_owned(),
        Visibility::HideFrom(at) => format!("{}{MASK}", &argument[..at]),
        Visibility::Show => match is_wholly_secret(argument) {
            Some(at) => format!("{}{MASK}", &argument[..at]),
            // Possibly a command within a command: `sh -c "app --password x"`.
            None => masked_line(argument, TextKind::Command),
        },
    };
    arguments.into_iter().map(mask).collect()
}

/// Returns a command line as one text for people, with `***` in place of likely secrets.
pub fn redact_command_line<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    redact_arguments(arguments).join(" ")
}

/// Returns the output of a program, such as a line of its log, with `***` in place of likely secrets.
///
/// ```
/// use rta_shared::redact::redact_text;
/// assert_eq!(redact_text("connecting to db://app:s3cret@h/x"), "connecting to db://app:***@h/x");
/// ```
pub fn redact_text(text: &str) -> String {
    masked_line(text, TextKind::Prose)
}

fn masked_line(text: &str, kind: TextKind) -> String {
    let text = masked_inline(text, kind);
    // Only flags remain to be found, and these contain a dash.
    if !text.contains('-') || !text.contains(char::is_whitespace) {
        return text;
    }
    // A regex that does not compile would hide nothing; hide everything instead.
    let Some(word) = WORD.as_ref() else { return MASK.to_owned() };
    let mut flags = FlagScanner::new(kind);
    let mut shown = String::with_capacity(text.len());
    let mut end = 0;
    for found in word.find_iter(&text) {
        shown.push_str(&text[end..found.start()]);
        end = found.end();
        let written = found.as_str();
        let quote = written.chars().next().filter(|first| matches!(first, '"' | '\''));
        match (flags.next(written.trim_matches(['"', '\''])), quote) {
            (Visibility::Show, _) => shown.push_str(written),
            (Visibility::HideFrom(at), None) => {
                shown.push_str(written.get(..at).unwrap_or_default());
                shown.push_str(MASK);
            }
            (Visibility::Hide | Visibility::HideFrom(_), _) => shown.push_str(MASK),
        }
    }
    shown.push_str(&text[end..]);
    shown
}

#[cfg(test)]
mod tests;
