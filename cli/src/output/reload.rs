//! Result of a configuration reload: a block of text for each place.

use std::fmt::Write as _;

use rta_shared::reload::{PlatformReload, ReloadResult};
use rta_shared::sanitize::printable;

/// Formats the blocks: the aggregator's, then every host's.
pub(crate) fn reload_text(reload: &PlatformReload) -> String {
    let mut text = String::new();
    write_place("aggregator", &reload.aggregator, None, &mut text);
    for host in &reload.hosts {
        let place = format!("{}/{}", host.environment, host.host);
        write_place(&printable(&place), &host.outcome, Some(&reload.aggregator.digest), &mut text);
    }
    text
}

/// Formats one place: a line, with details below. Adds a warning if the place's digest differs from `digest`.
fn write_place(place: &str, outcome: &ReloadResult, digest: Option<&str>, text: &mut String) {
    let (verdict, lines): (&str, Vec<&str>) = match &outcome.error {
        Some(error) => ("NOT reloaded, the old configuration goes on", error.lines().collect()),
        None if outcome.changes.is_empty() => ("unchanged", Vec::new()),
        None => ("reloaded", outcome.changes.iter().map(String::as_str).collect()),
    };
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "{place}: {verdict}");
    for line in lines {
        let _ = writeln!(text, "  {}", printable(line));
    }
    let own = outcome.digest.as_str();
    if let Some(digest) = digest.filter(|digest| !own.is_empty() && *digest != own) {
        let _ = writeln!(
            text,
            "  its configuration is {}, the aggregator's is {}: give both the same files",
            printable(own),
            printable(digest)
        );
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::reload::HostReload;

    use super::*;

    #[test]
    fn each_place_has_a_block() {
        let outcome = |digest: &str, changes: &[&str], error: Option<&str>| ReloadResult {
            digest: digest.to_owned(),
            changes: changes.iter().map(|change| (*change).to_owned()).collect(),
            error: error.map(str::to_owned),
        };
        let host = |name: &str, outcome| HostReload { environment: "DEV".into(), host: name.into(), outcome };
        let text = reload_text(&PlatformReload {
            aggregator: outcome("abc", &["role \"x\" added", "role \"y\" removed"], None),
            hosts: vec![
                host("a", outcome("abc", &[], None)),
                host("b", outcome("old", &[], None)),
                host("c", outcome("", &[], Some("x.toml:1:1: one\nx.toml:2:1: \u{1b}[31mtwo"))),
            ],
        });
        assert_eq!(
            text,
            "aggregator: reloaded\n  role \"x\" added\n  role \"y\" removed\nDEV/a: unchanged\nDEV/b: unchanged\n  \
             its configuration is old, the aggregator's is abc: give both the same files\n\
             DEV/c: NOT reloaded, the old configuration goes on\n  x.toml:1:1: one\n  x.toml:2:1: \\u{1b}[31mtwo\n"
        );
    }
}
