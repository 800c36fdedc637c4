//! Term of one environment: its operations, from the taking of the lease to its end.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use rta_shared::impairment::ImpairmentList;
use rta_shared::lifecycle::tasks::OwnedTasks;
use rta_shared::tls::ClientTls;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::EnvironmentLeads;
use crate::api::{OperationOptions, Operations, WholePlatform};
use crate::audit::AuditLog;
use crate::config_manager::{ConfigSource, EnvironmentSource};
use crate::events::EventBus;
use crate::inventory::Inventory;
use crate::leadership::Leadership;
use crate::notify::NotifyOptions;
use crate::pauses::PauseWatch;
use crate::plans::run::PlanChanges;
use crate::store::{
    EventStore, EventStoreHandle, HeldLease, PostgresLocation, StoreLocation, StoreOptions, WriterScope,
};

/// Interval between two attempts to open the record.
const OPEN_RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Interval between two checks of the heartbeats of a term's tasks.
const HEARTBEAT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What all terms of this aggregator have in common.
pub(crate) struct TermParts {
    pub(crate) inventory: watch::Receiver<Arc<Inventory>>,
    pub(crate) whole: WholePlatform,
    pub(crate) location: PostgresLocation,
    pub(crate) retention: SignedDuration,
    /// Record that shows what is written.
    pub(crate) reader: EventStoreHandle,
    pub(crate) audit: AuditLog,
    pub(crate) notify: Option<NotifyOptions>,
    pub(crate) client_tls: Option<ClientTls>,
    /// Notifier of changes of the plans of all terms.
    pub(crate) plan_changes: PlanChanges,
    /// Times in which this aggregator did not run.
    pub(crate) pauses: PauseWatch,
}

impl TermParts {
    /// Opens the record for this scope; `None` if `end` is cancelled before that works.
    pub(super) async fn open_record(
        &self,
        scope: WriterScope,
        end: &CancellationToken,
    ) -> Option<EventStore> {
        let options = StoreOptions {
            location: StoreLocation::Postgres(self.location.clone()),
            retention: self.retention,
            scope,
            reader: Some(self.reader.clone()),
        };
        loop {
            let options = options.clone();
            let opened = tokio::task::spawn_blocking(move || EventStore::open(&options)).await;
            // Without the record a leader would not know of plans, maintenance and stops before its term.
            match opened {
                Ok(record) if record.is_at_its_location() => return Some(record),
                Ok(_) => tracing::warn!("this aggregator leads when it can read the record"),
                Err(error) => tracing::error!(%error, "the record was not opened"),
            }
            end.run_until_cancelled(tokio::time::sleep(OPEN_RETRY_INTERVAL)).await?;
        }
    }
}

/// Leads the environment of this lease until `end`.
pub(super) async fn lead_environment(
    parts: Arc<TermParts>,
    leads: EnvironmentLeads,
    lease: HeldLease,
    end: CancellationToken,
) {
    let environment = lease.environment.clone();
    let Some(record) = parts.open_record(WriterScope::Environment(lease.clone()), &end).await else { return };
    let events = EventBus::new(record.handle()).with_audit(parts.audit.clone());
    let (tasks, impairments) = (OwnedTasks::new(end.clone()), ImpairmentList::default());
    let options = OperationOptions {
        notify: parts.notify.clone(),
        leadership: Leadership::of_lease(lease, leads.status()),
        leads: None,
        whole: Some(parts.whole.clone()),
        plan_changes: parts.plan_changes.clone(),
        pauses: parts.pauses.clone(),
    };
    let configuration = ConfigSource::Environment(EnvironmentSource {
        inventory: parts.inventory.clone(),
        environment: environment.clone(),
    });
    let started = Operations::start(
        configuration,
        events,
        parts.client_tls.as_ref(),
        options,
        &tasks,
        &impairments,
        &end,
    );
    let followed = match started {
        Ok((operations, agent_tasks)) => {
            let followed = tasks.spawn_to_end("the owner of the platform's state", agent_tasks);
            leads.set_running(&environment, Some(operations));
            tracing::info!(%environment, "this aggregator serves as leader");
            Some(followed)
        }
        Err(error) => {
            tracing::error!(%environment, %error, "the environment cannot be led");
            None
        }
    };
    loop {
        tokio::select! {
            () = end.cancelled() => break,
            failure = tasks.failed() => {
                tracing::error!(%environment, failure, "the term of an environment failed, and begins again");
                break;
            }
            () = tokio::time::sleep(HEARTBEAT_CHECK_INTERVAL) => tasks.check_heartbeats(),
        }
    }
    leads.set_running(&environment, None);
    // What fails ends the tasks too.
    end.cancel();
    if let Some(followed) = followed
        && let Err(error) = followed.await
    {
        tracing::error!(%environment, %error, "what follows the agents failed");
    }
    record.close().await;
    // Plans of this term are shown from the record from now on.
    parts.plan_changes.notify();
}
