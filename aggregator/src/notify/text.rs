//! Texts of messages for people. Pure.

use rta_shared::format::{counted, rough_duration};
use rta_shared::overview::Health;
use rta_shared::sanitize::printable;

use super::cause::Cause;
use super::message::{EndReason, Message, MessageKind};

/// Returns the link to the page of a root cause below `page`.
pub(crate) fn page_link(page: &str, cause: &Cause) -> String {
    let (environment, host) = (cause.id.environment.as_str(), cause.id.host.as_str());
    let mut query = vec![("environment", environment), ("host", host)];
    let path = match &cause.id.component {
        Some(component) => {
            query.push(("component", component.as_str()));
            "/instance"
        }
        None => "/events",
    };
    // Serialization of strings alone cannot fail.
    format!("{page}{path}?{}", serde_urlencoded::to_string(query).unwrap_or_default())
}

/// Returns the sentence that says all of a message in a line.
pub(crate) fn summary(message: &Message) -> String {
    let name = message.cause.name_in_text();
    let health = message.cause.health;
    let affected = match affected(message) {
        affected if affected.is_empty() => affected,
        affected => format!("; {affected}"),
    };
    let text = match message.kind {
        MessageKind::Begin => format!("{name} is {health}{affected}"),
        MessageKind::Update => match message.previous_severity {
            Some(_) => format!("{name} is {health} now{affected}"),
            None => format!("{name} is {health} and affects more{affected}"),
        },
        MessageKind::Repeat => format!("{name} is still {health}{affected}"),
        MessageKind::Flapping => {
            format!("{name} is flapping: it failed {}{affected}", counted(message.begins, "time"))
        }
        MessageKind::End => {
            let seconds = message.at.duration_since(message.begun_at).as_secs();
            let after = rough_duration(u64::try_from(seconds).unwrap_or_default());
            match message.end_reason {
                Some(EndReason::Maintenance) => {
                    format!("{name} is in maintenance, further problems of it are not notified")
                }
                Some(EndReason::StoppedOnPurpose) => format!("{name} was stopped on purpose"),
                Some(EndReason::Removed) => format!("{name} is not in the configuration any more"),
                Some(EndReason::Recovered) | None => format!("{name} has recovered after {after}"),
            }
        }
        MessageKind::Test => "This is a test of a notification channel of rta".to_owned(),
    };
    printable(&text).into_owned()
}

/// Returns what is affected: `200 instances degraded by it`; empty if there is nothing.
fn affected(message: &Message) -> String {
    let counts = &message.affected;
    let parts: Vec<String> = [(counts.degraded, Health::Degraded), (counts.unknown, Health::Unknown)]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, health)| format!("{} {health} by it", counted(count, "instance")))
        .chain((counts.down > 0).then(|| format!("{} that need it down too", counts.down)))
        .collect();
    parts.join(", ")
}

/// Returns the subject of a mail.
#[cfg(feature = "network-notifications")]
pub(crate) fn subject(message: &Message) -> String {
    let tag = match message.kind {
        MessageKind::End => "over",
        MessageKind::Flapping => "flapping",
        MessageKind::Test => "test",
        MessageKind::Begin | MessageKind::Update | MessageKind::Repeat => message.severity.word(),
    };
    format!("[rta {tag}] {}", message.summary)
}

/// Returns the lines of a message as plain text.
#[cfg(feature = "network-notifications")]
pub(crate) fn body(message: &Message) -> String {
    let mut lines = vec![message.summary.clone()];
    if message.kind == MessageKind::Test {
        return lines.remove(0);
    }
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("{key}: {}", printable(value)));
        }
    };
    if message.kind != MessageKind::End {
        add("Why", &message.cause.reason);
    }
    if let Some(since) = message.cause.since {
        add("Since", &since.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    }
    add("Severity", message.severity.word());
    add("Role", message.cause.role.as_deref().unwrap_or_default());
    let labels: Vec<String> =
        message.cause.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    add("Labels", &labels.join(", "));
    if message.affected.count > 0 {
        let more = message.affected.count.saturating_sub(message.affected.names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        add("Affected", &format!("{}{more}", message.affected.names.join(", ")));
    }
    add("Runbook", message.cause.runbook.as_deref().unwrap_or_default());
    add("Page", message.link.as_deref().unwrap_or_default());
    lines.join("\n")
}

/// Returns the value of a placeholder of a chat template.
#[cfg(feature = "network-notifications")]
pub(crate) fn placeholder(message: &Message, name: &str) -> String {
    let text = match name {
        "affected" => message.affected.count.to_string(),
        "cause" => message.cause.name_in_text(),
        "component" => message.cause.component.clone().unwrap_or_default(),
        "environment" => message.cause.environment.clone(),
        "health" => message.cause.health.word().to_owned(),
        "host" => message.cause.host.clone(),
        "kind" => message.kind.word().to_owned(),
        "link" => message.link.clone().unwrap_or_default(),
        "reason" => message.cause.reason.clone(),
        "runbook" => message.cause.runbook.clone().unwrap_or_default(),
        "severity" => message.severity.word().to_owned(),
        "summary" => message.summary.clone(),
        _ => return body(message),
    };
    printable(&text).into_owned()
}
