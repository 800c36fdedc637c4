//! Owns the host report. Merges watcher snapshots, running actions and the configuration, publishes a
//! [`Report`] on every change, and reserves each component for one action at a time.
//!
//! | module | holds |
//! |---|---|
//! | `actor` | the task that owns the state |
//! | `usage` | the task that measures resource usage |

mod actor;
mod usage;

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::action::ActionLock;
use rta_shared::autostart::Autostart;
use rta_shared::config::HostConfig;
use rta_shared::impairment::ImpairmentList;
use rta_shared::lifecycle::tasks::Heartbeat;
use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use rta_shared::report::Report;
use rta_shared::usage::HostUsage;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::actor::{ActorInputs, AgentStateActor};
use self::usage::sample_usage;
use crate::desired_state::DesiredStateStore;
use crate::host::systemd::{SystemdClient, UnitReports, poll_units};
use crate::limits::LimitReports;
use crate::probe::Probes;
use crate::run_history::{ExitStatuses, FailedStart, LaunchedExits};
use crate::run_recorder::RunRecorder;
use crate::watch::{AgentStopped, WatchOptions, WatchSnapshot, Watcher};

/// Maximum number of queued requests.
const MAX_QUEUED_REQUESTS: usize = 128;

enum StateRequest {
    /// Reserves a component, or returns the action that holds it.
    Reserve(Name, ActionLock, oneshot::Sender<Result<(), ActionLock>>),
    /// Releases a component. Carries the processes for which its probe passed, or the reason why its start
    /// failed.
    Release(Name, Vec<u32>, Option<FailedStart>),
    /// Returns the processes of a component that matched last.
    LastProcesses(Name, oneshot::Sender<Vec<ProcessId>>),
    /// Applies a new configuration, or records why one was refused.
    Configure(Result<HostConfig, String>, oneshot::Sender<Vec<String>>),
}

/// Restart status of each component that has a restart rule.
pub(crate) type AutostartReports = HashMap<Name, Autostart>;

/// Inputs of the actor from the agent's other tasks.
pub(crate) struct AgentStateInputs {
    /// Restart status of the components.
    pub(crate) autostarts: watch::Receiver<AutostartReports>,
    /// Expiry time of the agent's certificates.
    pub(crate) certificate_ends: watch::Receiver<Option<Timestamp>>,
    /// Impairments of the agent itself.
    pub(crate) impairments: ImpairmentList,
    /// Stored decisions and runs of earlier agents; new ones are stored here too.
    pub(crate) desired_state: DesiredStateStore,
}

/// Handle to the actor task; clones share it.
#[derive(Clone)]
pub(crate) struct AgentState {
    watcher: Watcher,
    requests: mpsc::Sender<StateRequest>,
    reports: watch::Receiver<Option<Arc<Report>>>,
    usage: watch::Receiver<Option<Arc<HostUsage>>>,
    config: watch::Receiver<Arc<HostConfig>>,
    systemd: SystemdClient,
    /// Triggers an immediate query of the systemd units.
    unit_refresh: Arc<Notify>,
    exits: LaunchedExits,
    boot_id: Arc<str>,
    agent_run_id: Arc<str>,
}

impl AgentState {
    /// Creates the actor for `config`, and the task that the caller must run. The reports contain the
    /// watcher's snapshots and `inputs`. The task sends `heartbeat` while it makes progress.
    ///
    /// # Errors
    /// Returns an error if the watcher thread cannot be created.
    pub(crate) fn new(
        config: HostConfig,
        options: WatchOptions,
        inputs: AgentStateInputs,
        heartbeat: Heartbeat,
        shutdown: CancellationToken,
    ) -> std::io::Result<(Self, impl Future<Output = ()> + Send)> {
        let AgentStateInputs { autostarts, certificate_ends, impairments, desired_state } = inputs;
        let config = Arc::new(config);
        let (requests, inbox) = mpsc::channel(MAX_QUEUED_REQUESTS);
        let (publisher, reports) = watch::channel(None);
        let (usage_publisher, usage) = watch::channel(None);
        let (config_publisher, config_reader) = watch::channel(Arc::clone(&config));
        let (limits_publisher, limits) = watch::channel(LimitReports::new());
        let (units_publisher, units) = watch::channel(UnitReports::new());
        let (exits, statuses) = (LaunchedExits::new(), ExitStatuses::new());
        let (watcher, snapshots) = Watcher::start(Arc::clone(&config), options, statuses.clone())?;
        let mut probes = Probes::new();
        probes.configure(&config.components);
        let probe_durations = probes.durations();
        let boot_id: Arc<str> = read_random_id("boot_id").into();
        let agent_run_id: Arc<str> = read_random_id("uuid").into();
        let runs = RunRecorder::new(desired_state, exits.clone(), statuses, &boot_id);
        let actor = AgentStateActor::new(ActorInputs {
            boot_id: boot_id.to_string(),
            agent_run_id: agent_run_id.to_string(),
            config: config_publisher,
            watcher: watcher.clone(),
            probes,
            units,
            autostarts,
            certificate_ends,
            impairments: impairments.clone(),
            limits,
            runs,
            heartbeat,
            publisher,
        });
        let measuring = sample_usage(
            reports.clone(),
            config_reader.clone(),
            probe_durations,
            usage_publisher,
            limits_publisher,
            impairments,
        );
        let (systemd, unit_refresh) = (SystemdClient::default(), Arc::new(Notify::new()));
        let following =
            poll_units(systemd.clone(), config_reader.clone(), Arc::clone(&unit_refresh), units_publisher);
        let task = async move {
            let both = async {
                tokio::select! {
                    () = actor.run(snapshots, inbox) => {}
                    () = measuring => {}
                    () = following => {}
                }
            };
            shutdown.run_until_cancelled_owned(both).await;
        };
        Ok((
            Self {
                watcher,
                requests,
                reports,
                usage,
                config: config_reader,
                systemd,
                unit_refresh,
                exits,
                boot_id,
                agent_run_id,
            },
            task,
        ))
    }

    /// Returns a receiver of every published report; `None` before the first.
    pub(crate) fn reports(&self) -> watch::Receiver<Option<Arc<Report>>> {
        self.reports.clone()
    }

    /// Returns a receiver of every usage measurement; `None` before the first.
    pub(crate) fn usage(&self) -> watch::Receiver<Option<Arc<HostUsage>>> {
        self.usage.clone()
    }

    /// Returns the configuration in use.
    pub(crate) fn config(&self) -> Arc<HostConfig> {
        Arc::clone(&self.config.borrow())
    }

    /// Returns a receiver of the configuration in use, notified on every change.
    pub(crate) fn config_changes(&self) -> watch::Receiver<Arc<HostConfig>> {
        self.config.clone()
    }

    /// Returns the exit statuses of launched commands.
    pub(crate) fn exits(&self) -> &LaunchedExits {
        &self.exits
    }

    /// Returns the content of `/proc/sys/kernel/random/boot_id`.
    pub(crate) fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Returns the ID of this run of the agent; empty if the kernel gave none.
    pub(crate) fn agent_run_id(&self) -> &str {
        &self.agent_run_id
    }

    /// Returns the systemd client.
    pub(crate) fn systemd(&self) -> &SystemdClient {
        &self.systemd
    }

    /// Triggers an immediate query of the components' units instead of waiting for the next round.
    pub(crate) fn refresh_units(&self) {
        self.unit_refresh.notify_one();
    }

    /// Runs a full scan that begins now, and returns the report based on it.
    pub(crate) async fn scan_report(&self) -> Result<Arc<Report>, AgentStopped> {
        let snapshot = self.watcher.full_scan().await?;
        self.report_for(&snapshot).await
    }

    /// Runs a full scan that begins now, and returns its snapshot.
    pub(crate) async fn full_scan(&self) -> Result<Arc<WatchSnapshot>, AgentStopped> {
        self.watcher.full_scan().await
    }

    /// Re-checks the matched processes and looks for new ones, without a full scan.
    pub(crate) async fn quick_check(&self) -> Result<Arc<WatchSnapshot>, AgentStopped> {
        self.watcher.quick_check().await
    }

    /// Returns the first report based on `snapshot` or on a later snapshot.
    async fn report_for(&self, snapshot: &WatchSnapshot) -> Result<Arc<Report>, AgentStopped> {
        let mut reports = self.reports.clone();
        let is_it = |report: &Option<Arc<Report>>| {
            report.as_ref().is_some_and(|report| report.scan.seen_at >= snapshot.figures.seen_at)
        };
        let report = reports.wait_for(is_it).await.map_err(|_| AgentStopped)?;
        report.clone().ok_or(AgentStopped)
    }

    /// Reserves a component for an action, or returns the action that holds it.
    pub(crate) async fn reserve(
        &self,
        component: &Name,
        hold: ActionLock,
    ) -> Result<Result<(), ActionLock>, AgentStopped> {
        let (answer, reserved) = oneshot::channel();
        let request = StateRequest::Reserve(component.clone(), hold, answer);
        self.requests.send(request).await.map_err(|_| AgentStopped)?;
        reserved.await.map_err(|_| AgentStopped)
    }

    /// Releases a component. `passed`: the processes for which the start has seen the component's probe pass;
    /// `failed`: the reason why the start failed.
    pub(crate) async fn release(&self, component: &Name, passed: Vec<u32>, failed: Option<FailedStart>) {
        // If the actor is gone, so is the reservation.
        let _ = self.requests.send(StateRequest::Release(component.clone(), passed, failed)).await;
    }

    /// Returns the processes of a component that matched last. They may have ended, or not match any more.
    pub(crate) async fn last_processes(&self, component: &Name) -> Result<Vec<ProcessId>, AgentStopped> {
        let (answer, processes) = oneshot::channel();
        self.requests
            .send(StateRequest::LastProcesses(component.clone(), answer))
            .await
            .map_err(|_| AgentStopped)?;
        processes.await.map_err(|_| AgentStopped)
    }

    /// Applies a new configuration and returns the changes, or records why one was refused.
    pub(crate) async fn configure(
        &self,
        config: Result<HostConfig, String>,
    ) -> Result<Vec<String>, AgentStopped> {
        let (answer, changes) = oneshot::channel();
        self.requests.send(StateRequest::Configure(config, answer)).await.map_err(|_| AgentStopped)?;
        changes.await.map_err(|_| AgentStopped)
    }
}

/// Reads an ID of `/proc/sys/kernel/random`: that of the boot, or a new one (random(4)).
fn read_random_id(file: &str) -> String {
    let id = std::fs::read_to_string(format!("/proc/sys/kernel/random/{file}")).unwrap_or_default();
    id.trim().to_owned()
}
