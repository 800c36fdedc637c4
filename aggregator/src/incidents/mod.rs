//! Incidents: the events of one cause, from its begin to its end.
//!
//! | module | holds |
//! |---|---|
//! | `observation` | root causes of an overview, as the tracker compares them; pure |
//! | `tracker` | the rules: which root causes are one incident, its begin and its end; pure |
//! | `attribution` | the incident to which an event belongs; pure |
//! | `plans` | plans as their events show them; pure |
//! | `actor` | the task that owns the tracker and records its changes |

mod actor;
mod attribution;
mod observation;
mod plans;
#[cfg(test)]
mod tests;
mod tracker;

use std::sync::Arc;

use std::time::Duration;

use futures::FutureExt as _;
use rta_shared::lifecycle::tasks::OwnedTasks;
use rta_shared::overview::Overview;
use tokio::sync::watch;

use crate::store::{EventStoreHandle, EventSubscription};

/// Time in which the leader records the incident of an event.
const RECORD_DELAY: Duration = Duration::from_secs(1);

#[cfg(test)]
impl Default for IncidentHandle {
    /// Creates a handle to incidents that never change.
    fn default() -> Self {
        Self { changes: watch::channel(0).1 }
    }
}

/// Handle to the incidents; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct IncidentHandle {
    /// Number of recorded changes.
    changes: watch::Receiver<u64>,
}

impl IncidentHandle {
    /// Starts the task that follows the incidents.
    pub(crate) fn start(
        overview: watch::Receiver<Arc<Overview>>,
        events: EventSubscription,
        store: EventStoreHandle,
        tasks: &OwnedTasks,
    ) -> Self {
        let (sender, changes) = watch::channel(0);
        let heartbeat = tasks.heartbeat("the owner of the incidents");
        tasks.spawn("the owner of the incidents", actor::run(overview, events, store, sender, heartbeat));
        Self { changes }
    }

    /// Starts the task that announces changes of the incidents that the leader records: soon after each of its events.
    pub(crate) fn follow_record(mut events: EventSubscription, tasks: &OwnedTasks) -> Self {
        let (sender, changes) = watch::channel(0);
        tasks.spawn("the watch over the leader's incidents", async move {
            while events.next().await.is_some() {
                tokio::time::sleep(RECORD_DELAY).await;
                // One look shows what all these events changed.
                while let Some(Some(_)) = events.next().now_or_never() {}
                sender.send_modify(|count| *count += 1);
            }
        });
        Self { changes }
    }

    /// Returns a receiver that changes with every recorded change.
    pub(crate) fn watch_changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}
