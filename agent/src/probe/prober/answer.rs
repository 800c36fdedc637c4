//! Tests on the text of an answer. Pure.

use rta_shared::config::{AnswerTest, Pattern};
use rta_shared::redact::redact_text;

use crate::probe::reasons::shorten;

/// Maximum number of characters of an answer that a reason shows.
const MAX_SHOWN: usize = 120;

/// Tests `text`; `name` says in reasons what it is: `the body`.
///
/// # Errors
/// Returns a part of a sentence that says what was seen.
pub(super) fn check_answer(test: &AnswerTest, text: &[u8], name: &str) -> Result<(), String> {
    if let Some(unwanted) = &test.without
        && let Some(found) = unwanted.find(text)
    {
        return Err(format!("{name} has {unwanted}: {}", quote(found.line())));
    }
    match &test.with {
        Some(wanted) if !wanted.is_found_in(text) => Err(missing(wanted, text, name)),
        Some(_) | None => Ok(()),
    }
}

/// Returns the reason that `wanted` is not found in `text`.
pub(super) fn missing(wanted: &Pattern, text: &[u8], name: &str) -> String {
    match text.trim_ascii().is_empty() {
        true => format!("{name} is empty, {wanted} is right"),
        false => format!("{name} has no {wanted}: {}", quote(text)),
    }
}

/// Returns the beginning of a text in quotes, on one line, safe to show and without secrets.
pub(super) fn quote(text: &[u8]) -> String {
    let text = text.trim_ascii();
    // A secret must be recognised as a whole, so that more is looked at than is shown.
    let (begin, rest) = text.split_at(text.len().min(4 * MAX_SHOWN));
    let line = String::from_utf8_lossy(begin).split_whitespace().collect::<Vec<_>>().join(" ");
    let line = redact_text(&line);
    let end = line.char_indices().nth(MAX_SHOWN).map(|(end, _)| end);
    let is_cut = end.is_some() || !rest.is_empty();
    let shown = shorten(end.map_or(line.as_str(), |end| &line[..end]));
    format!("\"{shown}{}\"", if is_cut { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{HttpProbe, ProbeMethod};

    use super::super::tests::question;
    use super::*;

    fn test(keys: &str) -> AnswerTest {
        match question(&format!("http = 'http://h/', {keys}")) {
            ProbeMethod::Http(HttpProbe { body, .. }) => body,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn answer_must_have_one_and_must_not_have_the_other() {
        let ring = b"Datacenter: dc1\n--  Address\nUN  10.0.0.1  1 MB\nDN  10.0.0.2  9 MB\n";
        let rows: [(&str, &[u8], Result<(), &str>); 7] = [
            ("body = 'x'", b"axb", Ok(())),
            ("body = '^ok$'", b"not ok\n", Err("the body has no '^ok$': \"not ok\"")),
            ("body = 'ok'", b" \n", Err("the body is empty, 'ok' is right")),
            ("without = '(?m)^DN '", ring, Err("the body has '(?m)^DN ': \"DN 10.0.0.2 9 MB\"")),
            ("body = '(?m)^UN ', without = '(?m)^DL '", ring, Ok(())),
            ("without = '.'", b"", Ok(())),
            ("body = '\\A\\s*\\z'", b"\n", Ok(())),
        ];
        for (keys, text, expected) in rows {
            assert_eq!(
                check_answer(&test(keys), text, "the body"),
                expected.map_err(str::to_owned),
                "{keys}"
            );
        }
    }

    #[test]
    fn shown_answer_is_short_safe_and_without_secrets() {
        assert_eq!(quote(b"a\x1b[31m\xff\n\tb"), "\"a\\u{1b}[31m\u{fffd} b\"");
        let secret = quote(b"x password=hunter2 y");
        assert!(!secret.contains("hunter2") && secret.starts_with("\"x password="), "{secret}");
        // Cut within the secret: what is left of it is hidden too.
        let cut = quote(&[b"a ".repeat(50).as_slice(), b"password=hunter2hunter2hunter2"].concat());
        assert!(!cut.contains("hunter"), "{cut}");
        let long = quote(&"\u{e9}".repeat(5_000).into_bytes());
        assert!(long.chars().count() < 210 && long.ends_with("…\""), "{long}");
    }
}
