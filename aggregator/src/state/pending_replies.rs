//! Callers and changes that wait for the state actor's next overview.

use rta_shared::maintenance::Maintenance;
use tokio::sync::oneshot;

/// Changes that no overview shows yet, and the callers to answer when one does.
#[derive(Debug, Default)]
pub(crate) struct PendingReplies {
    /// True if anything but times changed.
    pub(crate) changed: bool,
    /// True if times changed.
    pub(crate) times_changed: bool,
    pub(crate) flush_replies: Vec<oneshot::Sender<()>>,
    /// Answers with the affected maintenance.
    pub(crate) maintenance_replies: Vec<(oneshot::Sender<Vec<Maintenance>>, Vec<Maintenance>)>,
}

impl PendingReplies {
    /// Returns true if an overview has to be published before the callers are answered.
    pub(crate) fn needs_overview(&self) -> bool {
        self.changed || (self.times_changed && !self.flush_replies.is_empty())
    }

    /// Answers the callers of a flush: the published overview contains everything. Receivers may be gone.
    pub(crate) fn send_flush_replies(&mut self) {
        for done in self.flush_replies.drain(..) {
            let _ = done.send(());
        }
    }

    /// Answers all waiting callers after an overview was published, with new times or without. Receivers may be gone.
    pub(crate) fn send_replies(&mut self, with_times: bool) {
        self.changed = false;
        self.times_changed &= !with_times;
        self.send_flush_replies();
        for (done, what) in self.maintenance_replies.drain(..) {
            let _ = done.send(what);
        }
    }
}
