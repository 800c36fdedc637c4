//! Composition of messages. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::config::notify::Severity;
use rta_shared::overview::Health;

use super::cause::{Affected, Cause};
use super::message::{EndReason, Message, MessageCause, MessageKind, VERSION};
use super::text::{page_link, summary};

/// Content of a message beside its cause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageFacts<'f> {
    pub(crate) kind: MessageKind,
    pub(crate) at: Timestamp,
    pub(crate) incident: &'f str,
    pub(crate) previous_severity: Option<Severity>,
    pub(crate) begun_at: Timestamp,
    pub(crate) end_reason: Option<EndReason>,
    pub(crate) begins: usize,
    pub(crate) page: Option<&'f str>,
}

/// Creates a message without a key about a root cause.
pub(crate) fn compose(cause: &Cause, facts: MessageFacts<'_>) -> Message {
    let MessageFacts { kind, at, incident, previous_severity, begun_at, end_reason, begins, page } = facts;
    let mut message = Message {
        version: VERSION,
        key: String::new(),
        kind,
        at,
        incident: incident.to_owned(),
        severity: cause.severity,
        previous_severity,
        summary: String::new(),
        cause: cause.into(),
        affected: cause.affected.clone(),
        begun_at,
        end_reason,
        begins,
        link: page.map(|page| page_link(page, cause)),
    };
    message.summary = summary(&message);
    message
}

/// Creates a test of a channel, without a key.
pub(crate) fn compose_test(at: Timestamp, by: &Requester) -> Message {
    let cause = MessageCause {
        environment: "test".to_owned(),
        host: "test".to_owned(),
        component: None,
        role: None,
        health: Health::Up,
        reason: format!("requested by {by}"),
        since: None,
        labels: BTreeMap::new(),
        runbook: None,
    };
    let mut message = Message {
        version: VERSION,
        key: String::new(),
        kind: MessageKind::Test,
        at,
        incident: "test".to_owned(),
        severity: Severity::Info,
        previous_severity: None,
        summary: String::new(),
        cause,
        affected: Affected::default(),
        begun_at: at,
        end_reason: None,
        begins: 0,
        link: None,
    };
    message.summary = summary(&message);
    message
}

/// Returns the facts of a begin at the epoch.
#[cfg(test)]
pub(super) fn begin_facts() -> MessageFacts<'static> {
    MessageFacts {
        kind: MessageKind::Begin,
        at: Timestamp::UNIX_EPOCH,
        incident: "i",
        previous_severity: None,
        begun_at: Timestamp::UNIX_EPOCH,
        end_reason: None,
        begins: 1,
        page: None,
    }
}
