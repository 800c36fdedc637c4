//! Reads the rules for starting, stopping and restarting one component.

use std::time::Duration;

use super::super::fields::{TableReader, reader_of_table};
use super::super::model::{
    CommandRule, RestartRule, RestartWhen, StartEngine, StartRule, StopRule, StopScope, StopSignal,
    SuccessExitStatus,
};
use super::super::source::Problems;
use super::process;
use super::texts::parse_template;
use crate::sanitize::printable;
use crate::suggestion::did_you_mean;
use crate::template::{Located, SourceLocation, Template, Templated};

/// Keys that are valid only with a command; for systemd, the unit contains these settings.
const OF_A_COMMAND: [&str; 5] = ["command", "directory", "user", "environment", "log"];

pub(super) fn parse_start(
    mut fields: TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> Option<StartRule<Templated>> {
    let systemd = unit(&mut fields, problems);
    let command = fields.texts("command", problems);
    if !fields.has("systemd") && command.first().is_none_or(|program| program.value.is_empty()) {
        problems.report(fields.place, format!("{}: key \"command\" needs at least a program", fields.owner));
    }
    let owner = fields.owner.clone();
    let command =
        command.into_iter().filter_map(|text| parse_template(text, &owner, "command", problems)).collect();
    let directory = fields.text("directory", problems);
    let directory = directory.and_then(|text| parse_template(text, &owner, "directory", problems));
    let log = fields.text("log", problems);
    let log = log.and_then(|text| parse_template(text, &owner, "log", problems));
    let environment = fields
        .text_map("environment", problems)
        .into_iter()
        .filter_map(|(name, value)| {
            if name.value.is_empty() || name.value.contains(['=', '\0']) {
                let shown = printable(&name.value);
                problems.report(
                    name.place,
                    format!("{owner}: \"{shown}\" is no name of an environment variable"),
                );
            }
            Some((name.value, parse_template(value, &owner, "environment", problems)?))
        })
        .collect();
    let command = CommandRule {
        command,
        directory,
        user: fields.text("user", problems).map(|user| user.value),
        environment,
        environment_files: process::parse_environment_files(&mut fields, problems),
        process: process::parse_process_settings(&mut fields, problems),
        log,
    };
    let timeout = fields.duration("timeout", Duration::from_secs(1), problems);
    let settle = fields.duration("settle", Duration::ZERO, problems);
    fields.finish(problems);
    Some(StartRule {
        engine: systemd.map_or(StartEngine::Command(command), StartEngine::Systemd),
        timeout: timeout.unwrap_or(Duration::from_secs(60)),
        settle: settle.unwrap_or(Duration::from_secs(2)),
    })
}

/// Reads `systemd = "kafka.service"`, the alternative to a command.
fn unit(fields: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<Located<Template>> {
    let unit = fields.text("systemd", problems)?;
    for key in OF_A_COMMAND.into_iter().chain(process::KEYS) {
        if let Some(value) = fields.value(key) {
            let owner = &fields.owner;
            let sentence =
                format!("{owner}: key \"{key}\" has no place beside \"systemd\"; the unit says it");
            problems.report(value.place, sentence);
        }
    }
    // The type is part of a unit's name, and the name is a single word (systemd.unit(5)).
    if !is_unit_name(&unit.value) {
        let (owner, shown) = (&fields.owner, printable(&unit.value));
        let sentence =
            format!("{owner}: key \"systemd\": \"{shown}\" is no unit; write for example \"kafka.service\"");
        problems.report(unit.place, sentence);
    }
    let owner = fields.owner.clone();
    parse_template(unit, &owner, "systemd", problems)
}

/// Returns true if this is a possible name of a systemd unit.
pub(super) fn is_unit_name(name: &str) -> bool {
    name.contains('.') && !name.contains(['/', ' '])
}

/// Reads the stop rule, and returns it with the position of its first key that is valid only if the agent
/// itself stops the component.
pub(super) fn parse_stop(
    mut fields: TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> (StopRule<Templated>, Option<SourceLocation>) {
    let signal =
        word(&mut fields, "signal", StopSignal::from_name, &StopSignal::ALL.map(StopSignal::name), problems);
    let owner = fields.owner.clone();
    let has_command = fields.has("command");
    let command = fields.texts("command", problems);
    if has_command && command.first().is_none_or(|program| program.value.is_empty()) {
        problems.report(fields.place, format!("{owner}: key \"command\" needs at least a program"));
    }
    let command: Vec<_> =
        command.into_iter().filter_map(|text| parse_template(text, &owner, "command", problems)).collect();
    if let (Some(signal), true) = (&signal, has_command) {
        let sentence = format!("{owner}: it has both \"signal\" and \"command\"; keep one of them");
        problems.report(signal.place, sentence);
    }
    let kill_at = fields.value("kill").map(|value| value.place);
    let settle_at = fields.value("settle").map(|value| value.place);
    let settle = fields.duration("settle", Duration::ZERO, problems);
    let default = StopRule::<Templated>::default();
    let timeout = fields.duration("timeout", Duration::from_secs(1), problems);
    let kill = fields.boolean("kill", problems);
    let scope =
        word(&mut fields, "scope", StopScope::from_word, &StopScope::ALL.map(StopScope::word), problems);
    let of_the_agent = [
        signal.as_ref().map(|signal| signal.place),
        kill.and(kill_at),
        scope.as_ref().map(|scope| scope.place),
        settle.and(settle_at),
        command.first().map(|program| program.place),
    ];
    let rule = StopRule {
        signal: signal.map_or(default.signal, |signal| signal.value),
        timeout: timeout.unwrap_or(default.timeout),
        kill: kill.unwrap_or(default.kill),
        scope: scope.map_or(default.scope, |scope| scope.value),
        settle,
        command,
    };
    fields.finish(problems);
    (rule, of_the_agent.into_iter().flatten().next())
}

/// Reads `restart = "always"`, or a table with details.
pub(super) fn parse_restart(
    fields: &mut TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> Option<Located<RestartRule>> {
    let value = fields.value("restart")?;
    let place = value.place;
    let words = RestartWhen::ALL.map(RestartWhen::word);
    if !value.value.is_table() {
        let when = word(fields, "restart", RestartWhen::from_word, &words, problems)?;
        return Some(Located { value: RestartRule { when: when.value, ..RestartRule::default() }, place });
    }
    let owner = format!("{}: restart", fields.owner);
    let mut table = reader_of_table(&value, owner, "restart", problems)?;
    let default = RestartRule::default();
    if !table.has("when") {
        table.missing("when", problems);
    }
    let when = word(&mut table, "when", RestartWhen::from_word, &words, problems);
    let shortest = Duration::from_millis(100);
    let limit_at = table.value("limit").map_or(place, |value| value.place);
    let limit = table.integer("limit", problems).map(u32::try_from);
    if matches!(limit, Some(Ok(0) | Err(_))) {
        problems.report(limit_at, format!("{}: key \"limit\" is at least 1", table.owner));
    }
    let rule = RestartRule {
        when: when.map_or(default.when, |when| when.value),
        backoff: table.duration("backoff", shortest, problems).unwrap_or(default.backoff),
        longest: table.duration("longest", shortest, problems).unwrap_or(default.longest),
        limit: limit.and_then(Result::ok).unwrap_or(default.limit),
        within: table.duration("within", Duration::from_secs(1), problems).unwrap_or(default.within),
        success: success(&mut table, problems),
    };
    table.finish(problems);
    Some(Located { value: rule, place })
}

/// Reads `success_exit_status = [3, "KILL"]`: exit statuses and names of signals.
fn success(table: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> SuccessExitStatus {
    const KEY: &str = "success_exit_status";
    let mut success = SuccessExitStatus::default();
    for element in table.array(KEY, problems) {
        let status = element
            .value
            .as_integer()
            .and_then(|status| u8::from_str_radix(status.as_str(), status.radix()).ok());
        let name = element.value.as_str();
        let with = match (status, name) {
            (Some(status), _) => Some(success.with_status(status)),
            (None, Some(name)) => success.with_signal(name),
            (None, None) => None,
        };
        if with.is_none() {
            let owner = &table.owner;
            let hint =
                name.map(|name| did_you_mean(name, SuccessExitStatus::signal_names())).unwrap_or_default();
            let sentence = format!(
                "{owner}: key \"{KEY}\" has exit statuses from 0 to 255 and names of signals such as \"TERM\"{hint}"
            );
            problems.report(element.place, sentence);
        }
        success = with.unwrap_or(success);
    }
    success
}

/// Returns the position of `wanted = "running"`.
pub(super) fn wanted(
    fields: &mut TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> Option<SourceLocation> {
    let running = |text: &str| (text == "running").then_some(());
    word(fields, "wanted", running, &["running"], problems).map(|at| at.place)
}

/// Reads a text that must be one of the `known` words.
fn word<T>(
    fields: &mut TableReader<'_, '_>,
    key: &'static str,
    parse: impl Fn(&str) -> Option<T>,
    known: &[&str],
    problems: &mut Problems<'_>,
) -> Option<Located<T>> {
    let text = fields.text(key, problems)?;
    let value = parse(&text.value);
    if value.is_none() {
        let hint = did_you_mean(&text.value, known.iter().copied());
        let (owner, shown) = (&fields.owner, printable(&text.value));
        problems.report(text.place, format!("{owner}: {key} \"{shown}\" is not known{hint}"));
    }
    Some(Located { value: value?, place: text.place })
}
