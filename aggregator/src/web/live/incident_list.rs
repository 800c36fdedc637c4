//! Incidents of an open page, kept current by the owner of the incidents.

use std::time::Duration;

use rta_shared::incident::IncidentDetails;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::api::Operations;
use crate::operation_error::OperationError;
use crate::web::pages::incidents::query::IncidentsQuery;

/// Minimum time between two reads: each plan makes many changes.
const PAUSE: Duration = Duration::from_millis(300);
/// Interval between two attempts to read incidents that cannot be read.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Newest incidents that match a query.
pub(super) struct LiveIncidentList {
    query: IncidentsQuery,
    changes: watch::Receiver<u64>,
    /// Time of the next read; `None`: nothing has changed.
    due_at: Option<Instant>,
    /// The newest first, one more than the page shows; an error if they cannot be read.
    pub(super) incidents: Result<Vec<IncidentDetails>, OperationError>,
}

impl LiveIncidentList {
    /// Loads the incidents.
    pub(super) async fn load(operations: &Operations, query: IncidentsQuery) -> Self {
        let mut changes = operations.incidents.watch_changes();
        // What changes from here on is read again.
        changes.mark_unchanged();
        let incidents = query.load(operations).await;
        let due_at = incidents.is_err().then(|| Instant::now() + RETRY_INTERVAL);
        Self { query, changes, due_at, incidents }
    }

    /// Waits until the list may have changed. May be cancelled and called again.
    pub(super) async fn wait_for_change(&mut self, operations: &Operations) {
        let due_at = match self.due_at {
            Some(due_at) => due_at,
            None => {
                if self.changes.changed().await.is_err() {
                    // The aggregator ends.
                    return std::future::pending().await;
                }
                *self.due_at.insert(Instant::now() + PAUSE)
            }
        };
        sleep_until(due_at).await;
        *self = Self::load(operations, self.query.clone()).await;
    }
}
