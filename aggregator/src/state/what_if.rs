//! Assumptions about the platform: reports as they would be after a plan, or without a host. Pure.
//!
//! Only the input of the evaluation is changed. The rules that are applied to it are those of the live
//! overview.

use std::cmp::Reverse;
use std::collections::HashMap;

use jiff::Timestamp;
use rta_shared::action::{ActionKind, Requester};
use rta_shared::down_cause::{DownCause, DownKind};
use rta_shared::name::Name;
use rta_shared::overview::{EnvironmentOverview, InstanceId};
use rta_shared::plan::{Plan, Step};
use rta_shared::report::{ComponentReport, State};
use rta_shared::snapshot::Snapshot;
use rta_shared::what_if::HealthChange;

use crate::state::evaluation_input::EvaluationInput;
use crate::state::host_state::{AgentUpdate, HostState};

/// User of assumed stops, so that nobody takes them for real ones.
pub(crate) const ASSUMED_USER: &str = "this what-if";

/// Changes the reports of `input` to those after `plan` without a failure, at the time `now`. Returns the
/// steps whose effect cannot be told, one sentence each.
pub(crate) fn assume_plan(input: &mut EvaluationInput, plan: &Plan, now: Timestamp) -> Vec<String> {
    let hosts = input.platform.hosts().enumerate();
    let positions: HashMap<&Name, usize> = hosts.map(|(at, host)| (&host.name, at)).collect();
    let mut notes = Vec::new();
    for step in &plan.steps {
        let position = positions.get(&step.instance.host).copied();
        let Some(host) = position.and_then(|at| input.host_states.get_mut(at)) else { continue };
        notes.extend(assume_step(host, step, now));
    }
    notes
}

/// Changes the report of an instance to that after a step. Returns a sentence if its effect cannot be told.
fn assume_step(host: &mut HostState, step: &Step, now: Timestamp) -> Option<String> {
    let InstanceId { host: name, component, .. } = &step.instance;
    // A report has times of its host's clock.
    let now = now.checked_add(host.skew().skew_ahead()).unwrap_or(now);
    let unchanged =
        |why: &str| Some(format!("{} is assumed to stay as it is: {why}", step.instance.name_in_text()));
    let Some(components) = host.components_mut() else {
        return unchanged(&format!("the agent on {name} does not answer, or cannot see its processes"));
    };
    let Some(report) = components.iter_mut().find(|report| report.component == *component) else {
        return unchanged(&format!("the agent on {name} does not know it"));
    };
    if !report.state.is_known() {
        return unchanged("it is not known whether it runs");
    }
    match step.action {
        ActionKind::Stop => assume_stopped(report, now),
        ActionKind::Start | ActionKind::Restart => assume_running(report),
    }
    None
}

/// Changes a report to that after a stop. One that is stopped already keeps the reason.
pub(crate) fn assume_stopped(report: &mut ComponentReport, now: Timestamp) {
    if let Some(autostart) = &mut report.autostart {
        autostart.wanted = false;
        autostart.next_at = None;
        autostart.given_up = false;
        autostart.flapping = false;
        autostart.waiting_for.clear();
    }
    if report.state.is_stopped() {
        return;
    }
    report.state = State::Stopped;
    report.processes.clear();
    for part in report.parts.iter_mut() {
        part.running = 0;
        part.pids.clear();
    }
    report.doubled = false;
    report.exceeded_limits.clear();
    report.action = None;
    report.probe = None;
    if let Some(unit) = &mut report.unit {
        unit.active_state = "inactive".to_owned();
        unit.sub_state = "dead".to_owned();
    }
    let by = Requester { user: ASSUMED_USER.to_owned(), address: String::new() };
    report.down_cause =
        Some(Box::new(DownCause { at: now, kind: DownKind::Stopped { by }, last_log_line: None }));
}

/// Changes a report to that after a start: it runs, and its probe passes. One that runs already stays as it
/// is.
pub(crate) fn assume_running(report: &mut ComponentReport) {
    if report.state.is_running() {
        return;
    }
    report.state = State::Running;
    for part in report.parts.iter_mut() {
        part.running = part.running.max(part.count.min);
    }
    report.unseen = None;
    report.exceeded_limits.clear();
    report.action = None;
    report.probe = None;
    report.down_cause = None;
    if let Some(autostart) = &mut report.autostart {
        autostart.wanted = true;
        autostart.next_at = None;
        autostart.given_up = false;
        autostart.flapping = false;
        autostart.waiting_for.clear();
    }
    if let Some(unit) = &mut report.unit {
        unit.active_state = "active".to_owned();
        unit.sub_state = "running".to_owned();
    }
}

/// Changes the state of the host at a position of the platform to that of one whose agent does not answer.
/// Returns a sentence if that is so already.
pub(crate) fn assume_host_down(input: &mut EvaluationInput, host: usize) -> Option<String> {
    let state = input.host_states.get_mut(host)?;
    let is_lost = !state.is_reachable();
    state.apply_update(AgentUpdate::Lost("the agent is assumed not to answer".to_owned()));
    is_lost.then(|| "its agent does not answer now either".to_owned())
}

/// Returns the instances whose health differs between two evaluations of one platform, the worst first.
pub(crate) fn health_changes(
    before: &[Snapshot<EnvironmentOverview>],
    after: &[Snapshot<EnvironmentOverview>],
) -> Vec<HealthChange> {
    let mut changes = Vec::new();
    for (before, after) in before.iter().zip(after) {
        for (before, host) in before.hosts.iter().zip(&after.hosts) {
            for (before, instance) in before.instances.iter().zip(&host.instances) {
                if before.health == instance.health {
                    continue;
                }
                changes.push(HealthChange {
                    instance: InstanceId {
                        environment: after.name.clone(),
                        host: host.name.clone(),
                        component: instance.component.clone(),
                    },
                    before: before.health,
                    after: instance.health,
                    reason: instance.reason.clone(),
                    cause: instance.cause.as_deref().cloned(),
                });
            }
        }
    }
    changes.sort_by_key(|change| Reverse(change.after));
    changes
}
