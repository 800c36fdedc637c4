//! Task that observes the reports and restarts components.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use rta_shared::action::{ActionEvent, ActionKind, ActionOutcome, Requester};
use rta_shared::config::{HostComponent, Prerequisite, RestartWhen};
use rta_shared::down_cause::DownKind;
use rta_shared::name::Name;
use rta_shared::prerequisite::Readiness;
use rta_shared::report::{ComponentReport, Report};
use rta_shared::sanitize::printable;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::policy::{ObservedState, RestartDecision, RestartPolicy, RunEnd, TimePoint};
use super::unmet_prerequisite::find_unmet;
use crate::actions::runner::{ActionOrigin, ActionRunner};
use crate::desired_state::{FinishedRun, StoredState, StoredStateReceiver};
use crate::maintenance::{active_window, next_window_end};
use crate::prerequisites::ReceivedReadiness;
use crate::state::AutostartReports;

/// Maximum sleep time, so that a stepping wall clock does not delay the end of a maintenance window.
const MAX_SLEEP: Duration = Duration::from_secs(60);
/// Maximum length of the stored reason of a failed start, in characters.
const MAX_REASON_LENGTH: usize = 300;

/// Keeps the host's components running by their restart rules. Starts them through `actions` like any other
/// requester, and publishes their restart status. Ends with the state actor.
pub(crate) async fn run_supervisor(actions: ActionRunner, publisher: watch::Sender<AutostartReports>) {
    let mut reports = actions.state.reports();
    let mut exits = actions.state.exits().subscribe();
    let mut config = actions.state.config_changes();
    let changes = actions.desired_state.subscribe();
    let prerequisites = actions.prerequisites.subscribe();
    let mut supervisor = SupervisorTask {
        actions,
        changes,
        prerequisites,
        components: HashMap::new(),
        attempts: JoinSet::new(),
        publisher,
    };
    loop {
        config.mark_unchanged();
        let report = reports.borrow_and_update().clone();
        let is_seen = report.is_some();
        let wake = report.map_or_else(|| Instant::now() + MAX_SLEEP, |report| supervisor.evaluate(&report));
        if is_seen && supervisor.components.is_empty() && supervisor.attempts.is_empty() {
            // No component has a restart rule, so reports need not wake the task.
            if config.changed().await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            changed = reports.changed() => if changed.is_err() { return },
            changed = config.changed() => if changed.is_err() { return },
            known = supervisor.changes.changed() => if !known { return },
            changed = exits.changed() => if changed.is_err() { return },
            changed = supervisor.prerequisites.changed() => if changed.is_err() { return },
            Some(ended) = supervisor.attempts.join_next() => if let Ok((component, outcome)) = ended {
                supervisor.record_attempt(&component, outcome);
            },
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

struct SupervisorTask {
    actions: ActionRunner,
    changes: StoredStateReceiver,
    /// Readiness of prerequisites on other hosts.
    prerequisites: watch::Receiver<ReceivedReadiness>,
    /// Components that have a restart rule.
    components: HashMap<Name, SupervisedComponent>,
    /// Running starts.
    attempts: JoinSet<(Name, StartAttempt)>,
    publisher: watch::Sender<AutostartReports>,
}

/// Result of a start.
enum StartAttempt {
    /// The component runs, with these PIDs.
    Started(Vec<u32>),
    /// Another action, such as a resumed start, had started the component, with these PIDs.
    AlreadyRunning(Vec<u32>),
    /// Another action was running.
    NotBegun,
    Failed(Status),
}

struct SupervisedComponent {
    policy: RestartPolicy,
    depends_on: Vec<Prerequisite>,
    /// PIDs of the last match since the last start.
    pids: Vec<u32>,
    /// True while a start of the component runs.
    is_starting: bool,
    is_given_up: bool,
    /// Prerequisite that the component waits for, as last logged.
    waiting_for: String,
}

impl SupervisorTask {
    /// Performs what is due by `report`; returns the time of the next step.
    fn evaluate(&mut self, report: &Report) -> Instant {
        let now = TimePoint::now();
        let known = self.changes.read();
        self.apply_config(&known, report);
        let mut wake = now.at + MAX_SLEEP;
        if let Some(end) = next_window_end(&known.maintenance, now.wall) {
            // The window is over at that time, not before.
            let wait = Duration::try_from(end.duration_since(now.wall)).unwrap_or_default();
            wake = wake.min(now.at + wait + Duration::from_millis(1));
        }
        let mut reports_by_name = AutostartReports::new();
        let remote = self.prerequisites.borrow_and_update().clone();
        // If the processes cannot be read, no state is known and nothing is done.
        let seen = report.components.as_ref().map(Vec::as_slice).unwrap_or_default();
        for component in seen {
            let name = &component.component;
            let Some(supervised) = self.components.get_mut(name) else { continue };
            if supervised.policy.record_decision(known.decisions.get(name)) {
                supervised.pids.clear();
            }
            let readiness = |host: &Name, needed: &Name| match *host == report.host {
                true => local_readiness(seen, needed),
                false => remote.readiness(host, needed, now.at),
            };
            supervised.policy.set_unmet(now.at, find_unmet(&supervised.depends_on, &report.host, readiness));
            let quiet = active_window(&known.maintenance, name, now.wall);
            let seen = supervised.observe(component, &self.actions);
            let decision = supervised.policy.observe(now, &seen, quiet.is_some());
            match decision {
                RestartDecision::Nothing | RestartDecision::GivenUp => {}
                RestartDecision::Wait(due) => wake = wake.min(due),
                RestartDecision::Start => {
                    supervised.is_starting = true;
                    supervised.pids.clear();
                    let (actions, name) = (self.actions.clone(), name.clone());
                    self.attempts.spawn(async move {
                        // Runs in a separate task, so that a panic ends as an error.
                        let attempt = tokio::spawn(start_component(actions, name.clone())).await;
                        let failed = |error| {
                            StartAttempt::Failed(Status::internal(format!("the agent failed: {error}")))
                        };
                        (name, attempt.unwrap_or_else(failed))
                    });
                }
            }
            let autostart = supervised.policy.report(quiet);
            let (reason, restarts) = (&autostart.last_end, autostart.restarts);
            match (decision, autostart.next_at) {
                (RestartDecision::Start, _) => {
                    tracing::info!(component = %name, reason, "it is started again")
                }
                (RestartDecision::GivenUp, _) if !supervised.is_given_up => {
                    tracing::error!(component = %name, restarts, reason, "it is given up: it ended too often");
                }
                _ => {}
            }
            if autostart.waiting_for != supervised.waiting_for && !autostart.waiting_for.is_empty() {
                let needed = autostart.waiting_for.as_str();
                tracing::info!(component = %name, needed, "it is not started before what it needs is up");
            }
            supervised.waiting_for.clone_from(&autostart.waiting_for);
            supervised.is_given_up = autostart.given_up;
            let finished = supervised.policy.clean_end();
            let finished = finished.map(|(at, how)| FinishedRun {
                at,
                boot_id: report.boot_id.clone(),
                how: how.to_owned(),
            });
            self.actions.desired_state.set_finished(name, finished.as_ref());
            reports_by_name.insert(name.clone(), autostart);
        }
        if report.components.is_ok() {
            self.publisher.send_if_modified(|published| {
                let is_changed = *published != reports_by_name;
                *published = reports_by_name;
                is_changed
            });
        }
        wake
    }

    /// Adds the components of the configuration, and drops those that are no longer configured.
    fn apply_config(&mut self, known: &StoredState, report: &Report) {
        let config = self.actions.state.config();
        // Without stored decisions an operator may have stopped what the configuration declares as running.
        let is_blind = self.actions.desired_state.is_unreadable();
        let is_kept = |component: &&HostComponent| {
            component.start.is_some() && component.restart.when != RestartWhen::Never
        };
        let components: HashMap<&Name, &HostComponent> =
            config.components.iter().filter(is_kept).map(|component| (&component.name, component)).collect();
        self.components.retain(|name, _| components.contains_key(name));
        for (name, component) in components {
            if let Some(supervised) = self.components.get_mut(name) {
                let is_declared = component.wanted && !is_blind;
                supervised.policy.configure(component.restart, is_declared);
                supervised.depends_on.clone_from(&component.depends_on);
                continue;
            }
            // A component that a shutdown ended has not ended by itself.
            let finished = known.finished.get(name).filter(|finished| finished.boot_id == report.boot_id);
            let begun = known.pending_starts.get(name).filter(|begun| begun.boot_id == report.boot_id);
            let longest = component.start.as_ref().map(|rule| rule.timeout + rule.settle).unwrap_or_default();
            let policy = RestartPolicy::new(
                component.restart,
                component.wanted && !is_blind,
                known.decisions.get(name).cloned(),
                finished.map(|finished| (finished.at, finished.how.clone())),
                begun.and_then(|begun| begun.at.checked_add(longest).ok()),
            );
            let supervised = SupervisedComponent {
                policy,
                depends_on: component.depends_on.clone(),
                pids: Vec::new(),
                is_starting: false,
                is_given_up: false,
                waiting_for: String::new(),
            };
            self.components.insert(name.clone(), supervised);
        }
    }

    /// Records the result of a start.
    fn record_attempt(&mut self, component: &Name, outcome: StartAttempt) {
        let Some(supervised) = self.components.get_mut(component) else { return };
        supervised.is_starting = false;
        match outcome {
            StartAttempt::Started(pids) => {
                supervised.pids.extend(pids);
                supervised.policy.record_started();
            }
            StartAttempt::AlreadyRunning(pids) => {
                supervised.pids.extend(pids);
                supervised.policy.record_already_running();
            }
            StartAttempt::NotBegun => supervised.policy.record_not_begun(),
            StartAttempt::Failed(status) => {
                let known =
                    format!("{} of {component} on {}: ", ActionKind::Start, self.actions.state.config().host);
                let reason = status.message();
                let reason = shorten_reason(reason.strip_prefix(&known).unwrap_or(reason));
                supervised.policy.record_failed(TimePoint::now(), reason);
            }
        }
    }
}

impl SupervisedComponent {
    /// Returns the observation of the component in `report`.
    fn observe(&mut self, report: &ComponentReport, actions: &ActionRunner) -> ObservedState {
        if !report.processes.is_empty() {
            self.pids = report.processes.iter().map(|process| process.id.pid).collect();
        }
        let state = report.state;
        if self.is_starting {
            ObservedState::Acting
        } else if state.is_running() || report.awaits_probe() {
            ObservedState::Running
        } else if state.is_stopped() && is_unmatched(report) {
            // It did not end: a start would run a second one beside it.
            ObservedState::Unmatched
        } else if state.is_stopped() {
            let success = &self.policy.rule().success;
            let status = actions.state.exits().status_among(&report.component, &self.pids);
            ObservedState::Stopped(status.map(|status| RunEnd::new(status, success)))
        } else if state.is_transient() {
            ObservedState::Acting
        } else {
            ObservedState::Unclear
        }
    }
}

/// Returns whether its process still exists and only stopped matching.
fn is_unmatched(report: &ComponentReport) -> bool {
    report.down_cause.as_ref().is_some_and(|cause| matches!(cause.kind, DownKind::Unmatched { .. }))
}

/// Returns the readiness of a component of this host.
fn local_readiness(seen: &[ComponentReport], needed: &Name) -> Readiness {
    let report = seen.iter().find(|report| report.component == *needed);
    report
        .map_or(Readiness::Unknown, |report| Readiness::from_state(Some(report.state), report.probe.as_ref()))
}

/// Starts the component, and waits for the result.
async fn start_component(actions: ActionRunner, component: Name) -> StartAttempt {
    let by = Requester::autostart();
    let begun = actions.perform(ActionKind::Start, component.as_str(), by, ActionOrigin::Agent).await;
    match begun {
        Ok(events) => {
            let mut events = std::pin::pin!(events);
            let mut outcome = StartAttempt::Started(Vec::new());
            while let Some(event) = events.next().await {
                match event {
                    Ok(ActionEvent::Progress(_)) => {}
                    Ok(ActionEvent::Done(done)) if done.outcome == ActionOutcome::AlreadyRunning => {
                        outcome = StartAttempt::AlreadyRunning(done.pids);
                    }
                    Ok(ActionEvent::Done(done)) => outcome = StartAttempt::Started(done.pids),
                    Err(status) => outcome = StartAttempt::Failed(status),
                }
            }
            outcome
        }
        Err(status) if status.code() == Code::Aborted => StartAttempt::NotBegun,
        Err(status) => StartAttempt::Failed(status),
    }
}

/// Returns the first line of a reason, shortened.
fn shorten_reason(reason: &str) -> String {
    let line = printable(reason.lines().next().unwrap_or_default());
    match line.char_indices().nth(MAX_REASON_LENGTH) {
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
        None => line.into_owned(),
    }
}
