//! Secrets within a text: names with their values, addresses, headers, and keys that are known by their form.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::names::names_a_secret;
use super::{Kind, MASK};

/// A name and what stands between it and its value: `password=`, `"token": `, `Cookie: `.
static NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?P<name>[\w.-]+)(?P<between>\\?["']?\s*(?:=>|[=:])\s*)"#).ok());
/// A value, which ends where the next one begins.
static VALUE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"^(?:\\?"(?:[^"\\]|\\[^"])*(?:\\?"|$)|'[^']*'?|[^\s"'&;,}\]]+)"#).ok());
/// The value of a header that has several words.
static HEADER_VALUE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"^[^"'\r\n]+"#).ok());
/// `https://user:password@host`.
static ADDRESS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?P<name>[A-Za-z][\w+.-]*://[^\s/:@]*:)\S+@").ok());
/// `Bearer x`, `Basic x`.
static SCHEME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b(?P<name>(?:bearer|basic)\s+)[\w+/=.~-]{6,}").ok());
/// Keys that are known by their form: rta's own tokens, JSON Web Tokens (RFC 7519), those of GitHub, GitLab, Slack and
/// AWS, and private keys in PEM (RFC 7468).
static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"rta_[0-9a-f]{64}|\beyJ[\w-]{10,}\.eyJ[\w-]+\.[\w-]*|\bgh[opsur]_\w{20,}|\bglpat-[\w-]{20,}|\bxox[abprs]-[\w-]{10,}|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
    )
    .ok()
});
/// An argument that is a name with a secret: all of the rest is it, whatever stands in it.
static WHOLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)^(?P<name>-{0,2}[\w.-]+)(?:=|:\s)\s*.").ok());

/// How many bytes of an argument are shown which is a name with a secret, such as `--password=...`; `None` if it is not.
pub(super) fn is_wholly_secret(argument: &str) -> Option<usize> {
    let Some(whole) = WHOLE.as_ref() else { return Some(0) };
    let found = whole.captures(argument)?;
    let name = found.name("name")?;
    // The last letter that was matched is the secret's first.
    let value = argument[..found.get(0)?.end()].char_indices().next_back()?.0;
    names_a_secret(name.as_str(), Kind::Command).then_some(value)
}

/// The text with `***` in place of what looks like a secret, flags apart.
pub(super) fn masked_inline(text: &str, kind: Kind) -> String {
    let text = replaced(&FORM, text, MASK);
    let text = replaced(&SCHEME, &text, "${name}***");
    let text = replaced(&ADDRESS, &text, "${name}***@");
    named(&text, kind)
}

/// An expression that is broken would hide nothing, so it hides everything.
fn replaced<'t>(expression: &LazyLock<Option<Regex>>, text: &'t str, by: &str) -> Cow<'t, str> {
    match expression.as_ref() {
        Some(expression) => expression.replace_all(text, by),
        None => Cow::Borrowed(MASK),
    }
}

/// Hides the values whose names are those of secrets. What another name has may hold one in turn: `opts=password=x`.
fn named(text: &str, kind: Kind) -> String {
    let (Some(name), Some(value), Some(header)) = (NAME.as_ref(), VALUE.as_ref(), HEADER_VALUE.as_ref())
    else {
        return MASK.to_owned();
    };
    let mut shown = String::with_capacity(text.len());
    let (mut end, mut from) = (0, 0);
    while let Some(found) = name.captures_at(text, from) {
        let (Some(all), Some(name)) = (found.get(0), found.name("name")) else { break };
        from = all.end();
        if !names_a_secret(name.as_str(), kind) {
            continue;
        }
        let is_header =
            ["authorization", "cookie"].iter().any(|header| name.as_str().to_lowercase().ends_with(header));
        let expression = if is_header && all.as_str().contains(':') { header } else { value };
        if let Some(secret) = expression.find(&text[from..]) {
            shown.push_str(&text[end..from]);
            shown.push_str(MASK);
            from += secret.end();
            end = from;
        }
    }
    shown.push_str(&text[end..]);
    shown
}
