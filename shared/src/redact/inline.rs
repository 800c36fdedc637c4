//! Secrets within a text: names with their values, URLs, headers, and keys recognized by their format.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::names::names_a_secret;
use super::{MASK, TextKind};

/// Name and the separator before its value: `password=`, `"token": `, `Cookie: `.
static NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?P<name>[\w.-]+)(?P<between>\\?["']?\s*(?:=>|[=:])\s*)"#).ok());
/// Value, up to the start of the next one.
static VALUE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"^(?:\\?"(?:[^"\\]|\\[^"])*(?:\\?"|$)|'[^']*'?|[^\s"'&;,}\]]+)"#).ok());
/// Value of a header, which may have several words.
static HEADER_VALUE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"^[^"'\r\n]+"#).ok());
/// URL with a password: `https://user:password@host`.
static ADDRESS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?P<name>[A-Za-z][\w+.-]*://[^\s/:@]*:)\S+@").ok());
/// Credentials after an authentication scheme: `Bearer x`, `Basic x`.
static SCHEME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b(?P<name>(?:bearer|basic)\s+)[\w+/=.~-]{6,}").ok());
/// Keys with a known format: rta's own tokens, JSON Web Tokens (RFC 7519), those of GitHub, GitLab, Slack and
/// AWS, and private keys in PEM (RFC 7468).
static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"rta_[0-9a-f]{64}|\beyJ[\w-]{10,}\.eyJ[\w-]+\.[\w-]*|\bgh[opsur]_\w{20,}|\bglpat-[\w-]{20,}|\bxox[abprs]-[\w-]{10,}|\bAKIA[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
    )
    .ok()
});
/// Argument that consists of a name and a value. If the name indicates a secret, the whole rest is hidden,
/// whatever it contains.
static WHOLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)^(?P<name>-{0,2}[\w.-]+)(?:=|:\s)\s*.").ok());

/// Returns the number of bytes to show of an argument that consists of a name and a secret, such as
/// `--password=...`; `None` for any other argument.
pub(super) fn is_wholly_secret(argument: &str) -> Option<usize> {
    let Some(whole) = WHOLE.as_ref() else { return Some(0) };
    let found = whole.captures(argument)?;
    let name = found.name("name")?;
    // The last matched character is the first of the secret.
    let value = argument[..found.get(0)?.end()].char_indices().next_back()?.0;
    names_a_secret(name.as_str(), TextKind::Command).then_some(value)
}

/// Returns the text with `***` in place of likely secrets, apart from those after flags.
pub(super) fn masked_inline(text: &str, kind: TextKind) -> String {
    let text = replaced(&FORM, text, MASK);
    let text = replaced(&SCHEME, &text, "${name}***");
    let text = replaced(&ADDRESS, &text, "${name}***@");
    named(&text, kind)
}

/// Replaces all matches. A regex that does not compile would hide nothing; everything is hidden instead.
fn replaced<'t>(expression: &LazyLock<Option<Regex>>, text: &'t str, by: &str) -> Cow<'t, str> {
    match expression.as_ref() {
        Some(expression) => expression.replace_all(text, by),
        None => Cow::Borrowed(MASK),
    }
}

/// Hides the values whose names indicate secrets. Other values are searched too, because they may contain
/// such a name: `opts=password=x`.
fn named(text: &str, kind: TextKind) -> String {
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
