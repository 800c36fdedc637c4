//! The task that owns the state of the host, and publishes its report.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::action::ActionLock;
use rta_shared::config::{HostComponent, HostConfig, host_changes};
use rta_shared::impairment::ImpairmentList;
use rta_shared::lifecycle::tasks::Heartbeat;
use rta_shared::name::Name;
use rta_shared::process::Process;
use rta_shared::report::{ComponentContext, ComponentReport, ConfigStatus, Report, State};
use rta_shared::timing::{FIRST_PROBES_TIMEOUT, HEARTBEAT_INTERVAL};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{AutostartReports, StateRequest};
use crate::host::systemd::UnitReports;
use crate::limits::LimitReports;
use crate::probe::Probes;
use crate::run_recorder::RunRecorder;
use crate::watch::{AgentStopped, ComponentMatches, WatchSnapshot, Watcher};

/// Missed heartbeats after which the watcher counts as hung in a read of /proc; it publishes each second.
/// Counted in this task's own ticks instead of seconds, so that a suspended agent does not report a hang.
const HUNG_AFTER_HEARTBEATS: u32 = 4;
/// Time after a snapshot at which the next one, due after [`HEARTBEAT_INTERVAL`], counts as missed.
const LATE_SNAPSHOT: Duration = Duration::from_millis(1500);

/// Inputs and outputs of the actor.
pub(super) struct ActorInputs {
    pub(super) boot_id: String,
    pub(super) agent_run_id: String,
    pub(super) config: watch::Sender<Arc<HostConfig>>,
    pub(super) watcher: Watcher,
    pub(super) probes: Probes,
    pub(super) units: watch::Receiver<UnitReports>,
    pub(super) autostarts: watch::Receiver<AutostartReports>,
    pub(super) certificate_ends: watch::Receiver<Option<Timestamp>>,
    pub(super) impairments: ImpairmentList,
    pub(super) limits: watch::Receiver<LimitReports>,
    pub(super) runs: RunRecorder,
    pub(super) heartbeat: Heartbeat,
    pub(super) publisher: watch::Sender<Option<Arc<Report>>>,
}

/// Owner of the state.
pub(super) struct AgentStateActor {
    inputs: ActorInputs,
    /// Reason why a newer configuration was refused.
    config_error: Option<String>,
    actions: HashMap<Name, ActionLock>,
    snapshot: Option<Arc<WatchSnapshot>>,
    /// Heartbeats since the last snapshot of the watcher.
    missed_heartbeats: u32,
    /// Time since which the watcher counts as hung.
    hung_since: Option<Timestamp>,
    started_at: Instant,
}

impl AgentStateActor {
    /// Creates an actor that has seen nothing yet.
    pub(super) fn new(inputs: ActorInputs) -> Self {
        Self {
            inputs,
            config_error: None,
            actions: HashMap::new(),
            snapshot: None,
            missed_heartbeats: 0,
            hung_since: None,
            started_at: Instant::now(),
        }
    }

    /// Publishes reports until the watcher or all handles are gone.
    pub(super) async fn run(
        mut self,
        mut snapshots: watch::Receiver<Option<Arc<WatchSnapshot>>>,
        mut inbox: mpsc::Receiver<StateRequest>,
    ) {
        // The watcher's snapshots, one a second at least, are the heartbeats. This timer begins again with
        // each of them, and replaces those that fail to come.
        let mut beat = tokio::time::interval(HEARTBEAT_INTERVAL);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut impaired = self.inputs.impairments.changes();
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
                () = self.inputs.probes.changed() => {}
                Ok(()) = self.inputs.units.changed() => {}
                Ok(()) = self.inputs.limits.changed() => {}
                Ok(()) = self.inputs.autostarts.changed() => {}
                Ok(()) = self.inputs.certificate_ends.changed() => {}
                Ok(()) = impaired.changed() => {}
                () = self.inputs.runs.apply_next_inquiry() => {}
                _ = beat.tick() => self.missed_heartbeats += 1,
            }
            self.inputs.heartbeat.beat();
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
                    self.inputs.runs.start_failed(&component, failed);
                }
                self.inputs.probes.record_passed(&component, &passed);
            }
            StateRequest::LastProcesses(component, answer) => {
                // The requester may have gone.
                let _ = answer.send(self.inputs.runs.last_processes(&component));
            }
            StateRequest::Configure(Err(reason), answer) => {
                tracing::error!(reason, "new configuration rejected; the previous one stays in use");
                self.config_error = Some(reason);
                // The requester may have gone.
                let _ = answer.send(Vec::new());
            }
            StateRequest::Configure(Ok(config), answer) => {
                let config = Arc::new(config);
                let changes = host_changes(&self.inputs.config.borrow(), &config);
                for change in &changes {
                    tracing::info!(change, "the configuration changes");
                }
                tracing::info!(digest = config.digest, "configuration reloaded");
                self.config_error = None;
                self.inputs.probes.configure(&config.components);
                self.inputs.runs.configure(&config);
                // The configuration is replaced together with its first snapshot, so that no report mixes the
                // two.
                if let Ok(snapshot) = self.configure_watcher(Arc::clone(&config)).await {
                    self.snapshot = Some(snapshot);
                    self.missed_heartbeats = 0;
                }
                self.inputs.config.send_replace(config);
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
        let watcher = self.inputs.watcher.clone();
        let mut configured = std::pin::pin!(watcher.configure(config));
        let mut beat = tokio::time::interval_at(Instant::now() + HEARTBEAT_INTERVAL, HEARTBEAT_INTERVAL);
        loop {
            tokio::select! {
                snapshot = &mut configured => return snapshot,
                _ = beat.tick() => {
                    self.missed_heartbeats += 1;
                    self.inputs.heartbeat.beat();
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
            boot_id: self.inputs.boot_id.clone(),
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
            agent_run_id: self.inputs.agent_run_id.clone(),
            certificate_ends: *self.inputs.certificate_ends.borrow(),
            impairments: self.inputs.impairments.all(),
        });
        let is_first = self.inputs.publisher.borrow().is_none();
        if is_first && self.started_at.elapsed() < FIRST_PROBES_TIMEOUT && self.inputs.probes.is_any_pending()
        {
            return;
        }
        log_changes(self.inputs.publisher.borrow().as_deref(), &report);
        self.inputs.publisher.send_replace(Some(report));
        self.inputs.runs.store();
    }

    fn component_reports(
        &mut self,
        snapshot: &WatchSnapshot,
        matches: &ComponentMatches,
    ) -> Vec<ComponentReport> {
        let components = snapshot.config.components.iter().zip(matches).enumerate();
        let mut report = |at: usize, component: &HostComponent, matches: &[Vec<Process>]| {
            let mut report = ComponentReport::new(
                component,
                matches,
                ComponentContext {
                    action: self.actions.get(&component.name).cloned(),
                    unseen: snapshot.unreadable.reason_for(at),
                    unit: self.inputs.units.borrow().get(&component.name).cloned(),
                    autostart: self.inputs.autostarts.borrow().get(&component.name).cloned(),
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
                self.inputs.probes.set_running(name, None);
            } else if state.is_running() {
                let id = oldest.map(|(id, _)| id);
                if let Some(id) = id.filter(|id| self.inputs.probes.is_new_run(name, *id)) {
                    // The line that an earlier agent found may not be in the log any more.
                    if self.inputs.runs.is_line_found(component, id) {
                        self.inputs.probes.record_passed(name, &[id.pid]);
                    } else if let Some(earlier) = self.inputs.runs.recorded_probe(name, id) {
                        self.inputs.probes.record_earlier(name, id, earlier);
                    }
                }
                self.inputs.probes.set_running(name, oldest);
            }
            report.set_probe(self.inputs.probes.report(name).filter(|_| state.is_running()));
            report.exceeded_limits = self.inputs.limits.borrow().get(name).cloned().unwrap_or_default();
            self.inputs.runs.observe(component, &mut report);
            report
        };
        components.map(|(at, (component, matches))| report(at, component, matches)).collect()
    }
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
