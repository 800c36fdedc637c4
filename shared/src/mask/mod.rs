//! Command lines and texts without the secrets in them: people put passwords there, and logs and pages are seen by many.
//!
//! Everything that leaves a host goes through here: [`masked`] for command lines, [`masked_text`] for what programs say.
//! More may be hidden than is secret.
//!
//! | module | holds |
//! |---|---|
//! | `names` | which names stand for a secret: `keyStorePassword`, `api-key` |
//! | `flags` | which flags are followed by one: `--password x`, `mysql -px` |
//! | `inline` | names with their values within a text, addresses, headers, keys |

mod flags;
mod inline;
mod names;

use std::sync::LazyLock;

use regex::Regex;

use self::flags::{Flags, Verdict};
use self::inline::{is_wholly_secret, masked_inline};

/// What stands in place of a secret.
const MASK: &str = "***";

/// How a text came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A command line, or a part of one.
    Command,
    /// What a program says, in words.
    Prose,
}

/// A word of a text, with what its quotes hold: `"a b"`, `--x='a b'`, `plain`.
static WORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^\s"']|["'])+"#).ok());

/// The arguments of a command line, program first, with `***` in place of what looks like a secret.
///
/// What follows `-p` is hidden unless it looks like a port (`8080`, `127.0.0.1:8080:80`, `53/udp`) or a path, or unless
/// the program is known to mean something else by it (`ssh`, `psql`, `mkdir`). Programs that are known to take a
/// password there (`mongo`, `sshpass`) have it hidden whatever it looks like.
///
/// ```
/// use rta_shared::mask::masked;
/// assert_eq!(masked(["app", "-Dpass=x", "-p", "hunter2"]), ["app", "-Dpass=***", "-p", "***"]);
/// assert_eq!(masked(["app", "-p", "8080"]), ["app", "-p", "8080"]);
/// ```
pub fn masked<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut flags = Flags::new(Kind::Command);
    let mask = |argument: &str| match flags.next(argument) {
        Verdict::Hide => MASK.to_owned(),
        Verdict::HideFrom(at) => format!("{}{MASK}", &argument[..at]),
        Verdict::Show => match is_wholly_secret(argument) {
            Some(at) => format!("{}{MASK}", &argument[..at]),
            // Perhaps a command within a command: `sh -c "app --password x"`.
            None => masked_line(argument, Kind::Command),
        },
    };
    arguments.into_iter().map(mask).collect()
}

/// A command line as one text for people, with `***` in place of what looks like a secret.
pub fn masked_command<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    masked(arguments).join(" ")
}

/// A text that a program wrote, such as a line of its log, with `***` in place of what looks like a secret.
///
/// ```
/// use rta_shared::mask::masked_text;
/// assert_eq!(masked_text("connecting to db://app:s3cret@h/x"), "connecting to db://app:***@h/x");
/// ```
pub fn masked_text(text: &str) -> String {
    masked_line(text, Kind::Prose)
}

fn masked_line(text: &str, kind: Kind) -> String {
    let text = masked_inline(text, kind);
    // Only flags are left to be found, and flags have a dash.
    if !text.contains('-') || !text.contains(char::is_whitespace) {
        return text;
    }
    // An expression that is broken would hide nothing, so it hides everything.
    let Some(word) = WORD.as_ref() else { return MASK.to_owned() };
    let mut flags = Flags::new(kind);
    let mut shown = String::with_capacity(text.len());
    let mut end = 0;
    for found in word.find_iter(&text) {
        shown.push_str(&text[end..found.start()]);
        end = found.end();
        let written = found.as_str();
        let quote = written.chars().next().filter(|first| matches!(first, '"' | '\''));
        match (flags.next(written.trim_matches(['"', '\''])), quote) {
            (Verdict::Show, _) => shown.push_str(written),
            (Verdict::HideFrom(at), None) => {
                shown.push_str(written.get(..at).unwrap_or_default());
                shown.push_str(MASK);
            }
            (Verdict::Hide | Verdict::HideFrom(_), _) => shown.push_str(MASK),
        }
    }
    shown.push_str(&text[end..]);
    shown
}

#[cfg(test)]
mod tests;
