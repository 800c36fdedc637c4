//! What waits for the state actor's next overview.

use rta_shared::maintenance::Maintenance;
use tokio::sync::oneshot;

/// Changes that no overview shows yet, and who is to be answered when one does.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Something else than times changed.
    pub(crate) changed: bool,
    pub(crate) flushed: Vec<oneshot::Sender<()>>,
    /// Each with what was changed.
    pub(crate) maintained: Vec<(oneshot::Sender<Vec<Maintenance>>, Vec<Maintenance>)>,
}

impl Pending {
    /// Returns true if an overview has to be published before anybody is answered.
    pub(crate) fn needs_overview(&self, only_times_changed: bool) -> bool {
        self.changed || (only_times_changed && !self.flushed.is_empty())
    }

    /// Answers whoever waits: everything is in the published overview. Who asked may have gone.
    pub(crate) fn answer(&mut self) {
        self.changed = false;
        for done in self.flushed.drain(..) {
            let _ = done.send(());
        }
        for (done, what) in self.maintained.drain(..) {
            let _ = done.send(what);
        }
    }
}
