//! Owns the host report. Merges watcher snapshots, running actions and the configuration, publishes a
//! [`Report`] on every change, and reserves each component for one action at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::action::ActionLock;
use rta_shared::autostart::Autostart;
use rta_shared::config::{HostComponent, HostConfig, host_changes};
use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::lifecycle::tasks::{Heartbeat, run_blocking};
use rta_shared::limit::LimitKind;
use rta_shared::name::Name;
use rta_shared::process::{Process, ProcessId};
use rta_shared::report::{ComponentContext, ComponentReport, ConfigStatus, Report, State};
use rta_shared::timing::{FIRST_PROBES_TIMEOUT, HEARTBEAT_INTERVAL};
use rta_shared::usage::{HostUsage, ProbeDuration};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::desired_state::DesiredStateStore;
use crate::host::cpu_times::CpuTimes;
use crate::host::systemd::{SystemdClient, UnitReports, poll_units};
use crate::host::usage::{UsageSampler, open_file_limit};
use crate::limits::{LimitFindings, LimitReports, LimitTracker, MeasuredUsage, unchecked_sentence};
use crate::probe::{ProbeDurations, Probes};
use crate::run_history::LaunchedExits;
use crate::run_history::{ExitStatuses, FailedStart};
use crate::run_recorder::RunRecorder;
use crate::watch::AgentStopped;
use crate::watch::{WatchOptions, WatchSnapshot, Watcher};

/// Maximum number of queued requests.
const MAX_QUEUED_REQUESTS: usize = 128;
/// Interval between two measurements of resource usage.
const USAGE_INTERVAL: Duration = Duration::from_secs(5);
/// Missed heartbeats after which the watcher counts as hung in a read of /proc; it publishes each second.
/// Counted in this task's own ticks instead of seconds, so that a suspended agent does not report a hang.
const HUNG_AFTER_HEARTBEATS: u32 = 4;
/// Time after a snapshot at which the next one, due after [`HEARTBEAT_INTERVAL`], counts as missed.
const LATE_SNAPSHOT: Duration = Duration::from_millis(1500);

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
        let boot_id: Arc<str> = read_boot_id().into();
        let owner = AgentStateActor {
            boot_id: boot_id.to_string(),
            config: config_publisher,
            config_error: None,
            watcher: watcher.clone(),
            actions: HashMap::new(),
            probes,
            units,
            autostarts,
            certificate_ends,
            impairments: impairments.clone(),
            limits,
            runs: RunRecorder::new(desired_state, exits.clone(), statuses, &boot_id),
            heartbeat,
            snapshot: None,
            missed_heartbeats: 0,
            hung_since: None,
            publisher,
            started_at: Instant::now(),
        };
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
                    () = owner.run(snapshots, inbox) => {}
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

struct AgentStateActor {
    boot_id: String,
    config: watch::Sender<Arc<HostConfig>>,
    /// Reason why a newer configuration was refused.
    config_error: Option<String>,
    watcher: Watcher,
    actions: HashMap<Name, ActionLock>,
    probes: Probes,
    units: watch::Receiver<UnitReports>,
    autostarts: watch::Receiver<AutostartReports>,
    certificate_ends: watch::Receiver<Option<Timestamp>>,
    impairments: ImpairmentList,
    runs: RunRecorder,
    limits: watch::Receiver<LimitReports>,
    heartbeat: Heartbeat,
    snapshot: Option<Arc<WatchSnapshot>>,
    /// Heartbeats since the last snapshot of the watcher.
    missed_heartbeats: u32,
    /// Time since which the watcher counts as hung.
    hung_since: Option<Timestamp>,
    publisher: watch::Sender<Option<Arc<Report>>>,
    started_at: Instant,
}

impl AgentStateActor {
    async fn run(
        mut self,
        mut snapshots: watch::Receiver<Option<Arc<WatchSnapshot>>>,
        mut inbox: mpsc::Receiver<StateRequest>,
    ) {
        // The watcher's snapshots, one a second at least, are the heartbeats. This timer begins again with
        // each of them, and replaces those that fail to come.
        let mut beat = tokio::time::interval(HEARTBEAT_INTERVAL);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut impaired = self.impairments.changes();
        loop {
            tokio::select! {
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        // Without the watcher nothing can be reported; the aggregator notices the missing
                        // reports.
                        tracing::error!("the thread that follows the host ended");
                        return;
                    }
                    let snapshot = snapshots.borrow_and_update().clone();
                    self.snapshot = snapshot.or(self.snapshot);
                    self.missed_heartbeats = 0;
                    beat.reset_after(LATE_SNAPSHOT);
                }
                request = inbox.recv() => match request {
                    None => return,
                    Some(request) => self.handle_request(request).await,
                },
                () = self.probes.changed() => {}
                Ok(()) = self.units.changed() => {}
                Ok(()) = self.limits.changed() => {}
                Ok(()) = self.autostarts.changed() => {}
                Ok(()) = self.certificate_ends.changed() => {}
                Ok(()) = impaired.changed() => {}
                () = self.runs.apply_next_inquiry() => {}
                _ = beat.tick() => self.missed_heartbeats += 1,
            }
            self.heartbeat.beat();
            self.publish();
        }
    }

    async fn handle_request(&mut self, request: StateRequest) {
        match request {
            StateRequest::Reserve(component, hold, answer) => match self.actions.get(&component) {
                // The requester may have gone.
                Some(held) => drop(answer.send(Err(held.clone()))),
                None if answer.send(Ok(())).is_ok() => {
                    self.actions.insert(component, hold);
                }
                None => {}
            },
            StateRequest::Release(component, passed, failed) => {
                self.actions.remove(&component);
                if let Some(failed) = failed {
                    self.runs.start_failed(&component, failed);
                }
                self.probes.record_passed(&component, &passed);
            }
            StateRequest::LastProcesses(component, answer) => {
                // The requester may have gone.
                let _ = answer.send(self.runs.last_processes(&component));
            }
            StateRequest::Configure(Err(reason), answer) => {
                tracing::error!(reason, "new configuration rejected; the previous one stays in use");
                self.config_error = Some(reason);
                // The requester may have gone.
                let _ = answer.send(Vec::new());
            }
            StateRequest::Configure(Ok(config), answer) => {
                let config = Arc::new(config);
                let changes = host_changes(&self.config.borrow(), &config);
                for change in &changes {
                    tracing::info!(change, "the configuration changes");
                }
                tracing::info!(digest = config.digest, "configuration reloaded");
                self.config_error = None;
                self.probes.configure(&config.components);
                self.runs.configure(&config);
                // The configuration is replaced together with its first snapshot, so that no report mixes the
                // two.
                if let Ok(snapshot) = self.configure_watcher(Arc::clone(&config)).await {
                    self.snapshot = Some(snapshot);
                    self.missed_heartbeats = 0;
                }
                self.config.send_replace(config);
                // The requester may have gone.
                let _ = answer.send(changes);
            }
        }
    }

    /// Replaces the watcher's configuration, and returns its first snapshot. Counts heartbeats meanwhile: if
    /// a read of /proc hangs, the report says so, and the old state does not stay on display.
    async fn configure_watcher(
        &mut self,
        config: Arc<HostConfig>,
    ) -> Result<Arc<WatchSnapshot>, AgentStopped> {
        let watcher = self.watcher.clone();
        let mut configured = std::pin::pin!(watcher.configure(config));
        let mut beat =
            tokio::time::interval_at(tokio::time::Instant::now() + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL);
        loop {
            tokio::select! {
                snapshot = &mut configured => return snapshot,
                _ = beat.tick() => {
                    self.missed_heartbeats += 1;
                    self.heartbeat.beat();
                    // A report of components would mix the old and the new configuration.
                    if self.missed_heartbeats >= HUNG_AFTER_HEARTBEATS {
                        self.publish();
                    }
                }
            }
        }
    }

    /// Publishes the current report; nothing before the first snapshot and the first probe results.
    fn publish(&mut self) {
        let Some(snapshot) = self.snapshot.clone() else { return };
        self.hung_since = match self.hung_since {
            _ if self.missed_heartbeats < HUNG_AFTER_HEARTBEATS => None,
            Some(since) => Some(since),
            None => Some(Timestamp::now()),
        };
        let report = Arc::new(Report {
            host: snapshot.config.host.clone(),
            boot_id: self.boot_id.clone(),
            scan: snapshot.figures,
            components: match (&snapshot.matches, self.hung_since) {
                (_, Some(since)) => Err(format!(
                    "cannot see the processes: a read of /proc has been hanging since {}",
                    since.strftime("%H:%M:%S UTC")
                )),
                (Err(reason), None) => Err(reason.clone()),
                (Ok(matches), None) => Ok(self.component_reports(&snapshot, matches)),
            },
            watch: snapshot.watch.clone(),
            config: ConfigStatus { digest: snapshot.config.digest.clone(), error: self.config_error.clone() },
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            certificate_ends: *self.certificate_ends.borrow(),
            impairments: self.impairments.all(),
        });
        let is_first = self.publisher.borrow().is_none();
        if is_first && self.started_at.elapsed() < FIRST_PROBES_TIMEOUT && self.probes.is_any_pending() {
            return;
        }
        log_changes(self.publisher.borrow().as_deref(), &report);
        self.publisher.send_replace(Some(report));
        self.runs.store();
    }

    fn component_reports(
        &mut self,
        snapshot: &WatchSnapshot,
        matches: &crate::watch::ComponentMatches,
    ) -> Vec<ComponentReport> {
        let components = snapshot.config.components.iter().zip(matches).enumerate();
        let mut report = |at: usize, component: &HostComponent, matches: &[Vec<Process>]| {
            let mut report = ComponentReport::new(
                component,
                matches,
                ComponentContext {
                    action: self.actions.get(&component.name).cloned(),
                    unseen: snapshot.unreadable.reason_for(at),
                    unit: self.units.borrow().get(&component.name).cloned(),
                    autostart: self.autostarts.borrow().get(&component.name).cloned(),
                    ..ComponentContext::default()
                },
            );
            // The oldest process represents the run: children come and go. While an action is running, or
            // while not all processes can be seen, the probe continues and keeps its result; otherwise a
            // start of an already running component would discard it.
            let oldest = report.processes.iter().min_by_key(|process| process.id.start_ticks);
            let oldest = oldest.map(|process| (process.id, process.started_at));
            let (name, state) = (&component.name, report.state);
            if oldest.is_none() || (state.is_known() && !state.is_running() && !state.is_transient()) {
                self.probes.set_running(name, None);
            } else if state.is_running() {
                // The line that an earlier agent found may not be in the log any more.
                let id = oldest.map(|(id, _)| id).filter(|id| self.probes.is_new_run(name, *id));
                if let Some(id) = id.filter(|id| self.runs.is_line_found(component, *id)) {
                    self.probes.record_passed(name, &[id.pid]);
                }
                self.probes.set_running(name, oldest);
            }
            report.set_probe(self.probes.report(name).filter(|_| state.is_running()));
            report.exceeded_limits = self.limits.borrow().get(name).cloned().unwrap_or_default();
            self.runs.observe(component, &mut report);
            report
        };
        components.map(|(at, (component, matches))| report(at, component, matches)).collect()
    }
}

/// Measures resource usage every few seconds, and compares it with the limits of the components. A limit that
/// cannot be checked is an impairment.
async fn sample_usage(
    mut reports: watch::Receiver<Option<Arc<Report>>>,
    config: watch::Receiver<Arc<HostConfig>>,
    probe_durations: watch::Receiver<ProbeDurations>,
    publisher: watch::Sender<Option<Arc<HostUsage>>>,
    limits: watch::Sender<LimitReports>,
    impairments: ImpairmentList,
) {
    let (mut sampler, mut cpu_times) = (UsageSampler::new(), CpuTimes::default());
    let (mut tracker, began) = (LimitTracker::default(), Instant::now());
    let mut pace = tokio::time::interval(USAGE_INTERVAL);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    if reports.wait_for(Option::is_some).await.is_err() {
        return;
    }
    loop {
        let mut used = sampler;
        pace.tick().await;
        let (config, report) = (Arc::clone(&config.borrow()), reports.borrow().clone());
        let seen = report.as_deref().and_then(|report| report.components.as_ref().ok());
        let all = seen.map(|seen| process_ids(seen));
        let seen = seen.map(Vec::as_slice).unwrap_or_default();
        let find = |name: &Name| config.components.iter().find(|component| component.name == *name);
        // A report of the configuration before may have other components.
        let known: Vec<(&HostComponent, &ComponentReport)> =
            seen.iter().filter_map(|report| Some((find(&report.component)?, report))).collect();
        let limited = known.iter().filter(|(component, _)| component.limits.has_open_files_share());
        let limited: Vec<u32> =
            limited.flat_map(|(_, report)| report.processes.iter().map(|process| process.id.pid)).collect();
        let (used, times, mut usage, open_file_limits) = run_blocking(move || {
            let processes = all.iter().flatten().flat_map(|(_, processes)| processes);
            let mut usage = used.measure(&processes.map(|id| id.pid).collect::<Vec<_>>());
            if let Some(components) = all {
                usage.cpu_times = cpu_times.add(&components, |pid| used.cpu_seconds(pid));
            }
            let open: HashMap<u32, u64> =
                limited.into_iter().filter_map(|pid| Some((pid, open_file_limit(pid)?))).collect();
            (used, cpu_times, usage, open)
        })
        .await;
        (sampler, cpu_times) = (used, times);
        usage.probe_durations = last_durations(&known, &probe_durations.borrow());
        let measured =
            MeasuredUsage { usage: &usage, open_file_limits: &open_file_limits, at: began.elapsed() };
        let LimitFindings { exceeded, unchecked } = tracker.measure(known, measured);
        impairments.set(ImpairedPart::Limits, unchecked_sentence(&unchecked));
        limits.send_if_modified(|current| {
            let is_changed = *current != exceeded;
            if is_changed {
                log_limits(current, &exceeded);
                *current = exceeded;
            }
            is_changed
        });
        publisher.send_replace(Some(Arc::new(usage)));
    }
}

/// Returns the matched processes of each component.
fn process_ids(components: &[ComponentReport]) -> Vec<(Name, Vec<ProcessId>)> {
    let ids = |component: &ComponentReport| component.processes.iter().map(|process| process.id).collect();
    components.iter().map(|component| (component.component.clone(), ids(component))).collect()
}

/// Returns the duration of the last attempt of each probe.
fn last_durations(
    known: &[(&HostComponent, &ComponentReport)],
    durations: &ProbeDurations,
) -> Vec<ProbeDuration> {
    let probed = known.iter().filter(|(_, report)| report.probe.is_some());
    let last = probed.filter_map(|(component, _)| {
        let seconds = durations.get(&component.name)?.as_secs_f64();
        Some(ProbeDuration { component: component.name.clone(), seconds })
    });
    last.collect()
}

/// Logs each limit that begins or ends to be exceeded.
fn log_limits(before: &LimitReports, after: &LimitReports) {
    let has = |reports: &LimitReports, component: &Name, kind: LimitKind| {
        reports.get(component).is_some_and(|limits| limits.iter().any(|limit| limit.kind == kind))
    };
    for (component, limit) in after.iter().flat_map(|(name, all)| all.iter().map(move |one| (name, one))) {
        if !has(before, component, limit.kind) {
            tracing::warn!(%component, limit = %limit.kind, reason = limit.reason, "a limit is exceeded");
        }
    }
    for (component, limit) in before.iter().flat_map(|(name, all)| all.iter().map(move |one| (name, one))) {
        if !has(after, component, limit.kind) {
            tracing::info!(%component, limit = %limit.kind, "a limit is not exceeded any more");
        }
    }
}

fn read_boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Logs one line for each component that changed.
fn log_changes(before: Option<&Report>, after: &Report) {
    let components = match &after.components {
        Ok(components) => components,
        Err(reason) => {
            if before.is_none_or(|before| before.components != after.components) {
                tracing::error!(reason, "blind");
            }
            return;
        }
    };
    let old = before.and_then(|before| before.components.as_ref().ok());
    for new in components {
        let old = old.and_then(|old| old.iter().find(|old| old.component == new.component));
        let from = old.map(|old| old.state);
        if from != Some(new.state) && !(from.is_none() && new.state.is_stopped()) {
            let pids: Vec<u32> = new.processes.iter().map(|process| process.id.pid).collect();
            let from = from.map_or("unseen", State::word);
            tracing::info!(component = %new.component, from, to = new.state.word(), ?pids, "state changed");
        }
    }
}
