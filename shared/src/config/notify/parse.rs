//! Reads the file of notifications: rules and routes.

use std::collections::HashSet;
use std::time::Duration;

use toml::de::DeTable;

use super::super::fields::TableReader;
use super::super::source::{Problems, Source};
use super::channel::{parse_ca, parse_channel, parse_labels};
use super::hours::parse_hours;
use super::model::{Channel, DeadMansSwitch, FlapRule, NotifyConfig, Route, Severity};
use super::secret::parse_address;
use crate::name::Name;
use crate::sanitize::printable;
use crate::suggestion::did_you_mean;
use crate::template::{Located, SourceLocation};

/// Default values.
const BEGIN_DELAY: Duration = Duration::from_secs(30);
const END_DELAY: Duration = Duration::from_secs(30);
const REPEAT: Duration = Duration::from_secs(4 * 60 * 60);
const GROWTH: u32 = 2;
const FLAPPING: FlapRule = FlapRule { begins: 3, within: Duration::from_secs(10 * 60) };
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
const SWITCH_INTERVAL: Duration = Duration::from_secs(60);
/// Shortest interval of repeated messages, and shortest period of flapping.
const MINUTE: Duration = Duration::from_secs(60);

/// Reads the file. What is reported has a default value in the result.
pub(super) fn parse_notify(source: &Source, problems: &mut Problems<'_>) -> NotifyConfig {
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    for error in &errors {
        let offset = error.span().map_or(0, |span| span.start);
        problems.report(SourceLocation { source: 0, offset }, format!("not TOML: {}", error.message()));
    }
    let empty = DeTable::default();
    // A file with a syntax error is parsed only in part; further messages about it would mislead.
    let table = if errors.is_empty() { document.get_ref() } else { &empty };
    let mut fields = TableReader::new(table, SourceLocation::default(), "");
    let link = fields.text("link", problems).map(|link| {
        if !link.value.starts_with("https://") && !link.value.starts_with("http://") {
            problems.report(link.place, "key \"link\" is no address that begins with https:// or http://");
        }
        link.value.trim_end_matches('/').to_owned()
    });
    let begin_delay = fields.duration("for", Duration::ZERO, problems).unwrap_or(BEGIN_DELAY);
    let end_delay = fields.duration("end_delay", Duration::ZERO, problems).unwrap_or(END_DELAY);
    let repeat = parse_repeat(&mut fields, problems).unwrap_or(REPEAT);
    let growth = parse_count(&mut fields, "growth", 0, problems).unwrap_or(GROWTH);
    let flapping = match fields.table("flapping", problems) {
        Some(mut table) => {
            let begins = parse_count(&mut table, "begins", 2, problems).unwrap_or(FLAPPING.begins);
            let within = table.duration("within", MINUTE, problems).unwrap_or(FLAPPING.within);
            table.finish(problems);
            FlapRule { begins, within }
        }
        None => FLAPPING,
    };
    let stopped_on_purpose = fields.boolean("stopped_on_purpose", problems).unwrap_or_default();
    let keep = fields.duration("keep", MINUTE, problems).unwrap_or(KEEP);
    let dead_mans_switch = fields.table("dead_mans_switch", problems).and_then(|mut table| {
        let url = parse_address(&mut table, "url", problems);
        let interval = table.duration("interval", Duration::from_secs(1), problems);
        let ca = parse_ca(&mut table, problems);
        table.finish(problems);
        Some(DeadMansSwitch { url: url?, interval: interval.unwrap_or(SWITCH_INTERVAL), ca })
    });
    let tables = fields.tables("channel", problems);
    let channels: Vec<Located<Channel>> =
        tables.into_iter().filter_map(|table| parse_channel(table, problems)).collect();
    let mut names = HashSet::new();
    for channel in &channels {
        if !names.insert(channel.value.name.as_str()) {
            let name = printable(&channel.value.name);
            problems.report(channel.place, format!("channel \"{name}\" is given twice"));
        }
    }
    let tables = fields.tables("route", problems);
    let routes = tables.into_iter().map(|table| parse_route(table, &names, problems)).collect();
    fields.finish(problems);
    drop(names);
    NotifyConfig {
        link,
        begin_delay,
        end_delay,
        repeat,
        growth,
        flapping,
        stopped_on_purpose,
        keep,
        dead_mans_switch,
        channels: channels.into_iter().map(|channel| channel.value).collect(),
        routes,
    }
}

fn parse_repeat(fields: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<Duration> {
    let place = fields.value("repeat").map(|value| value.place);
    let repeat = fields.duration("repeat", Duration::ZERO, problems)?;
    if let Some(place) = place.filter(|_| !repeat.is_zero() && repeat < MINUTE) {
        let prefix = if fields.owner.is_empty() { String::new() } else { format!("{}: ", fields.owner) };
        problems
            .report(place, format!("{prefix}key \"repeat\" is at least \"1m\", or \"0s\" for no repetition"));
    }
    Some(repeat)
}

fn parse_count(
    fields: &mut TableReader<'_, '_>,
    key: &'static str,
    least: u32,
    problems: &mut Problems<'_>,
) -> Option<u32> {
    let place = fields.value(key).map(|value| value.place);
    let number = fields.integer(key, problems)?;
    let count = u32::try_from(number).ok().filter(|count| *count >= least && *count <= 1000);
    if let (None, Some(place)) = (count, place) {
        let prefix = if fields.owner.is_empty() { String::new() } else { format!("{}: ", fields.owner) };
        problems.report(place, format!("{prefix}key \"{key}\" is a number from {least} to 1000"));
    }
    count
}

fn parse_route(
    mut fields: TableReader<'_, '_>,
    channels: &HashSet<&str>,
    problems: &mut Problems<'_>,
) -> Route {
    let owner = fields.owner.clone();
    let named = fields.texts("channels", problems);
    if named.is_empty() {
        problems.report(fields.place, format!("{owner}: key \"channels\" needs at least one name"));
    }
    for name in named.iter().filter(|name| !channels.contains(name.value.as_str())) {
        let mut known: Vec<&str> = channels.iter().copied().collect();
        known.sort_unstable();
        let hint = did_you_mean(&name.value, known);
        problems.report(
            name.place,
            format!("{owner}: channel \"{}\" is not known{hint}", printable(&name.value)),
        );
    }
    let mut names = |key: &'static str, fields: &mut TableReader<'_, '_>| -> Vec<Name> {
        fields.texts(key, problems).into_iter().map(|name| name.value.into()).collect()
    };
    let environments = names("environment", &mut fields);
    let hosts = names("host", &mut fields);
    let roles = names("role", &mut fields);
    let components = names("component", &mut fields);
    let labels = parse_labels(&mut fields, "label", problems);
    let mut severities = Vec::new();
    for word in fields.texts("severity", problems) {
        match Severity::from_word(&word.value) {
            Some(severity) => severities.push(severity),
            None => {
                let hint = did_you_mean(&word.value, Severity::ALL.map(Severity::word));
                let message =
                    format!("{owner}: key \"severity\": \"{}\" is no severity{hint}", printable(&word.value));
                problems.report(word.place, message);
            }
        }
    }
    let hours = parse_hours(&mut fields, problems);
    let begin_delay = fields.duration("for", Duration::ZERO, problems);
    let repeat = parse_repeat(&mut fields, problems);
    let last = fields.boolean("last", problems).unwrap_or_default();
    fields.finish(problems);
    Route {
        channels: named.into_iter().map(|name| name.value).collect(),
        environments,
        hosts,
        roles,
        components,
        labels,
        severities,
        hours,
        begin_delay,
        repeat,
        last,
    }
}
