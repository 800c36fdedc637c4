//! Reads a component's probe.

use std::time::Duration;

use super::super::fields::TableReader;
use super::super::model::{AnswerTest, CommandProbe, Pattern, ProbeMethod, ProbeRule, TcpProbe};
use super::super::source::Problems;
use super::probe_http::parse_http;
use super::texts::{parse_template, pattern, template};
use crate::template::{Located, Templated};

/// Default values of the durations.
const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(30);
/// Default number of consecutive failures that count.
const FAILURES: u32 = 3;

/// Checks, of which a probe has one.
const METHODS: [&str; 4] = ["tcp", "http", "command", "log"];
/// Keys that are valid only beside certain checks.
const DETAILS: [(&str, &[&str]); 10] = [
    ("send", &["tcp"]),
    ("expect", &["tcp"]),
    ("status", &["http"]),
    ("body", &["http"]),
    ("json", &["http"]),
    ("ca", &["http"]),
    ("server_name", &["http"]),
    ("certificate_days", &["http"]),
    ("output", &["command"]),
    ("without", &["http", "command"]),
];

/// Reads the probe, and returns it with the start of its table.
pub(super) fn parse_probe(
    mut fields: TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> Option<Located<ProbeRule<Templated>>> {
    let owner = fields.owner.clone();
    if METHODS.into_iter().filter(|method| fields.has(method)).count() != 1 {
        let message = format!("{owner}: it asks one thing: \"tcp\", \"http\", \"command\" or \"log\"");
        problems.report(fields.place, message);
    }
    for (key, methods) in DETAILS {
        if let Some(value) = fields.value(key)
            && !methods.iter().any(|method| fields.has(method))
        {
            let methods = methods.join("\" or \"");
            problems.report(value.place, format!("{owner}: key \"{key}\" belongs to \"{methods}\""));
        }
    }
    let without = pattern(&mut fields, "without", problems);
    let tcp = parse_tcp(&mut fields, problems).map(ProbeMethod::Tcp);
    let http = parse_http(&mut fields, without.clone(), problems).map(ProbeMethod::Http);
    let command = parse_command(&mut fields, without, problems).map(ProbeMethod::Command);
    let log = pattern(&mut fields, "log", problems).map(ProbeMethod::Log);
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
    let question = tcp.or(http).or(command).or(log)?;
    Some(Located { value: ProbeRule { question, interval, timeout, failures, grace }, place })
}

fn parse_tcp(fields: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<TcpProbe<Templated>> {
    let address = template(fields, "tcp", problems);
    let send_at = fields.value("send").map(|value| value.place);
    let send = template(fields, "send", problems);
    let expect = pattern(fields, "expect", problems);
    if let Some(place) = send_at
        && !fields.has("expect")
    {
        let owner = &fields.owner;
        problems.report(place, format!("{owner}: key \"send\" needs \"expect\", the answer that is right"));
    }
    Some(TcpProbe { address: address?, send, expect })
}

fn parse_command(
    fields: &mut TableReader<'_, '_>,
    without: Option<Pattern<Templated>>,
    problems: &mut Problems<'_>,
) -> Option<CommandProbe<Templated>> {
    let owner = fields.owner.clone();
    let words = fields.texts("command", problems);
    if fields.has("command") && words.first().is_none_or(|program| program.value.is_empty()) {
        problems.report(fields.place, format!("{owner}: key \"command\" needs at least a program"));
    }
    let command: Vec<_> =
        words.into_iter().filter_map(|word| parse_template(word, &owner, "command", problems)).collect();
    let output = AnswerTest { with: pattern(fields, "output", problems), without };
    (!command.is_empty()).then_some(CommandProbe { command, output })
}
