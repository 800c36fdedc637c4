//! Reads a component's probe.

use std::time::Duration;

use super::super::fields::TableReader;
use super::super::model::{ProbeMethod, ProbeRule};
use super::super::source::Problems;
use super::texts::parse_template;
use crate::template::{Located, Template, Templated};

/// Default values of the durations.
const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(30);
/// Default number of consecutive failures that count.
const FAILURES: u32 = 3;
/// Default of the expected status code.
const FOUND: u16 = 200;

/// Reads the probe, and returns it with the start of its table.
pub(super) fn parse_probe(
    mut fields: TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> Option<Located<ProbeRule<Templated>>> {
    let owner = fields.owner.clone();
    let kinds = ["tcp", "http", "command"].into_iter().filter(|kind| fields.has(kind)).count();
    if kinds != 1 {
        let message = format!("{owner}: it asks one thing: \"tcp\", \"http\" or \"command\"");
        problems.report(fields.place, message);
    }
    let mut text = |key: &'static str, fields: &mut TableReader<'_, '_>| -> Option<Located<Template>> {
        let text = fields.text(key, problems)?;
        parse_template(text, &owner, key, problems)
    };
    let tcp = text("tcp", &mut fields).map(ProbeMethod::Tcp);
    let url = text("http", &mut fields);
    let status_at = fields.value("status").map(|value| value.place);
    let status = fields.integer("status", problems);
    if let Some(place) = status_at {
        if !fields.has("http") {
            problems.report(place, format!("{owner}: key \"status\" belongs to \"http\""));
        }
        if status.is_some_and(|status| !(100..600).contains(&status)) {
            problems.report(place, format!("{owner}: key \"status\" is an HTTP status, 100 to 599"));
        }
    }
    let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(FOUND);
    let http = url.map(|url| ProbeMethod::Http { url, status });
    let words = fields.texts("command", problems);
    if fields.has("command") && words.first().is_none_or(|program| program.value.is_empty()) {
        problems.report(fields.place, format!("{owner}: key \"command\" needs at least a program"));
    }
    let words: Vec<_> =
        words.into_iter().filter_map(|word| parse_template(word, &owner, "command", problems)).collect();
    let command = (!words.is_empty()).then_some(ProbeMethod::Command(words));
    let second = Duration::from_secs(1);
    let interval = fields.duration("interval", second, problems).unwrap_or(INTERVAL);
    let timeout = fields.duration("timeout", second, problems).unwrap_or(TIMEOUT);
    let grace = fields.duration("grace", Duration::ZERO, problems).unwrap_or(GRACE);
    let failures_at = fields.value("failures").map(|value| value.place);
    let failures = fields.integer("failures", problems).map(u32::try_from);
    if let (Some(place), Some(Err(_) | Ok(0))) = (failures_at, failures) {
        problems.report(place, format!("{owner}: key \"failures\" is at least 1"));
    }
    let place = fields.place;
    fields.finish(problems);
    let failures = failures.and_then(Result::ok).unwrap_or(FAILURES);
    let question = tcp.or(http).or(command)?;
    Some(Located { value: ProbeRule { question, interval, timeout, failures, grace }, place })
}
