//! Progress events of a running action.

use std::sync::atomic::{AtomicU32, Ordering};

use super::action_feed::ActionFeed;
use jiff::Timestamp;
use rta_shared::action::{ActionEvent, ActionPhase, ActionProgress};
use rta_shared::sanitize::printable;

/// Maximum number of progress events per action: a component that keeps changing must not fill the memory
/// behind a caller that reads slowly.
const MAX_PROGRESS_EVENTS: u32 = 200;

/// Phase that an action has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProgressReport {
    pub(super) phase: ActionPhase,
    /// Sentence for people.
    pub(super) text: String,
    /// Processes that it concerns.
    pub(super) pids: Vec<u32>,
}

/// Sends the progress of an action to its caller.
pub(crate) struct ProgressSender {
    events: ActionFeed,
    sent: AtomicU32,
}

impl ProgressSender {
    pub(crate) fn new(events: ActionFeed) -> Self {
        Self { events, sent: AtomicU32::new(0) }
    }

    pub(super) fn send_report(&self, report: ProgressReport) {
        self.send(report.phase, report.text, report.pids);
    }

    /// Reports that `phase` was reached; `text` is a sentence for people.
    pub(crate) fn send(&self, phase: ActionPhase, text: impl Into<String>, pids: Vec<u32>) {
        // The text may contain parts of the configuration and of processes.
        let text = printable(&text.into()).into_owned();
        tracing::debug!(phase = phase.word(), text, ?pids, "progress");
        if self.sent.fetch_add(1, Ordering::Relaxed) < MAX_PROGRESS_EVENTS {
            let progress = ActionProgress { at: Timestamp::now(), phase, text, pids };
            self.events.send(Ok(ActionEvent::Progress(progress)));
        }
    }
}
