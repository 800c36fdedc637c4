//! Alerts of a Prometheus Alertmanager, by its API v2.
//!
//! An alert ends by itself if it is not repeated before its `endsAt`. So open alerts are repeated each
//! minute, and end by themselves some minutes after rta was lost.

use jiff::{SignedDuration, Timestamp};
use reqwest::header::CONTENT_TYPE;
use rta_shared::config::notify::{AlertmanagerChannel, Severity};
use serde_json::{Map, Value, json};

use super::files::read_secret;
use super::{DeliveryError, http};
use crate::notify::message::{Message, MessageKind};
use crate::notify::text;

/// Time after which an alert ends unless it is repeated.
const LIFETIME: SignedDuration = SignedDuration::from_secs(300);
/// Maximum number of alerts in a request.
const MAX_ALERTS: usize = 500;

/// Posts the alert of a message.
pub(super) async fn deliver(channel: &AlertmanagerChannel, message: &Message) -> Result<(), DeliveryError> {
    post(channel, &alerts(channel, message, Timestamp::now())).await
}

/// Repeats open alerts.
pub(super) async fn resend(channel: &AlertmanagerChannel, open: &[Message]) -> Result<(), DeliveryError> {
    for part in open.chunks(MAX_ALERTS) {
        let now = Timestamp::now();
        let alerts: Vec<Value> = part.iter().flat_map(|alert| alerts(channel, alert, now)).collect();
        post(channel, &alerts).await?;
    }
    Ok(())
}

async fn post(channel: &AlertmanagerChannel, alerts: &[Value]) -> Result<(), DeliveryError> {
    let url = read_secret(&channel.url).await?;
    let body = serde_json::to_vec(alerts)
        .map_err(|error| DeliveryError::Refused(format!("the alerts cannot be written as JSON: {error}")))?;
    let token = match &channel.token {
        Some(token) => Some(format!("Bearer {}", read_secret(token).await?)),
        None => None,
    };
    let all: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
    let request = http::client(channel.ca.as_deref(), channel.timeout)
        .await?
        .post(format!("{}/api/v2/alerts", url.trim_end_matches('/')))
        .headers(http::headers(&all)?)
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    http::send(request).await
}

/// Returns the alerts of a message: one, and if the severity changed also the one before, which ends.
fn alerts(channel: &AlertmanagerChannel, message: &Message, now: Timestamp) -> Vec<Value> {
    let is_over = matches!(message.kind, MessageKind::End | MessageKind::Test);
    let current = alert(channel, message, message.severity, (!is_over).then_some(now), now);
    let previous = message.previous_severity.map(|severity| alert(channel, message, severity, None, now));
    previous.into_iter().chain([current]).collect()
}

/// Returns an alert. `open_at` is the time at which it is open; `None`: it is over.
fn alert(
    channel: &AlertmanagerChannel,
    message: &Message,
    severity: Severity,
    open_at: Option<Timestamp>,
    now: Timestamp,
) -> Value {
    let ends_at = match open_at {
        Some(at) => at.checked_add(LIFETIME).unwrap_or(at),
        None => now,
    };
    let mut labels = Map::new();
    for (name, value) in &message.cause.labels {
        labels.insert(label_name(name), value.as_str().into());
    }
    for (name, value) in &channel.labels {
        labels.insert(name.clone(), value.as_str().into());
    }
    let name = match (message.kind, &message.cause.component) {
        (MessageKind::Test, _) => "RtaTest",
        (_, Some(_)) => "RtaComponent",
        (_, None) => "RtaHost",
    };
    let own = [
        ("alertname", Some(name)),
        ("severity", Some(severity.word())),
        ("environment", Some(message.cause.environment.as_str())),
        ("host", Some(message.cause.host.as_str())),
        ("component", message.cause.component.as_deref()),
        ("role", message.cause.role.as_deref()),
        ("monitor", Some("rta")),
    ];
    for (name, value) in own {
        // Alertmanager ignores empty labels.
        labels.extend(value.filter(|value| !value.is_empty()).map(|value| (name.to_owned(), value.into())));
    }
    let mut annotations = Map::new();
    for (name, value) in [
        ("summary", message.summary.clone()),
        ("description", text::body(message)),
        ("affected", message.affected.count.to_string()),
        ("runbook_url", message.cause.runbook.clone().unwrap_or_default()),
    ] {
        annotations.insert(name.to_owned(), value.into());
    }
    let mut alert = json!({
        "labels": labels, "annotations": annotations, "startsAt": message.begun_at, "endsAt": ends_at,
    });
    if let (Some(link), Some(alert)) = (&message.link, alert.as_object_mut()) {
        alert.insert("generatorURL".to_owned(), link.as_str().into());
    }
    alert
}

/// Returns the name of a label with `_` in place of what Prometheus does not accept.
fn label_name(name: &str) -> String {
    let safe = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let name: String = name.chars().map(safe).collect();
    if name.starts_with(|letter: char| letter.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use rta_shared::config::notify::{ChannelKind, NotifyConfig};

    use super::*;
    use crate::notify::compose::{MessageFacts, begin_facts, compose};
    use crate::notify::machine::tests::{cause, config};
    use crate::notify::message::EndReason;

    fn channel() -> AlertmanagerChannel {
        let text = "[[channel]]\nname = \"am\"\nalertmanager = { url = \"http://h:9093\", labels = { team = \"data\" } }";
        let NotifyConfig { channels, .. } = config(text);
        let Some(ChannelKind::Alertmanager(channel)) = channels.into_iter().next().map(|one| one.kind) else {
            panic!("it is the first channel")
        };
        channel
    }

    fn message(kind: MessageKind, previous_severity: Option<Severity>) -> Message {
        let mut cause = cause("kafka server");
        cause.labels.insert("cost-centre".to_owned(), "7".to_owned());
        let facts = MessageFacts {
            kind,
            previous_severity,
            end_reason: (kind == MessageKind::End).then_some(EndReason::Recovered),
            page: Some("https://rta"),
            ..begin_facts()
        };
        compose(&cause, facts)
    }

    #[test]
    fn alert_has_the_same_labels_from_its_begin_to_its_end() {
        let now = Timestamp::from_second(1000).unwrap();
        let begin = alerts(&channel(), &message(MessageKind::Begin, None), now).remove(0);
        let end = alerts(&channel(), &message(MessageKind::End, None), now).remove(0);
        assert_eq!(begin["labels"], end["labels"]);
        assert_eq!(
            begin["labels"],
            json!({
                "cost_centre": "7", "team": "data", "alertname": "RtaComponent", "severity": "critical",
                "environment": "DEV", "host": "h", "component": "kafka server", "monitor": "rta",
            })
        );
        assert_eq!(
            (&begin["startsAt"], &begin["endsAt"]),
            (&json!("1970-01-01T00:00:00Z"), &json!("1970-01-01T00:21:40Z"))
        );
        assert_eq!(end["endsAt"], "1970-01-01T00:16:40Z");
        assert_eq!(
            begin["generatorURL"],
            "https://rta/instance?environment=DEV&host=h&component=kafka+server"
        );
    }

    #[test]
    fn alert_of_the_severity_before_ends() {
        let now = Timestamp::from_second(1000).unwrap();
        let both = alerts(&channel(), &message(MessageKind::Update, Some(Severity::Warning)), now);
        assert_eq!(
            (&both[0]["labels"]["severity"], &both[0]["endsAt"]),
            (&json!("warning"), &json!("1970-01-01T00:16:40Z"))
        );
        assert_eq!(
            (&both[1]["labels"]["severity"], &both[1]["endsAt"]),
            (&json!("critical"), &json!("1970-01-01T00:21:40Z"))
        );
    }
}
