//! Plans: the ordered actions that fulfil one request, and their results.

use std::collections::HashSet;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::action::{ActionKind, ActionProgress, Requester};
use crate::format::counted;
use crate::overview::InstanceId;
use crate::selector::Selector;
use crate::words::words;

/// Ordered actions that fulfil one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Requested kind of action.
    pub kind: ActionKind,
    /// Steps; each comes after all steps that it waits for.
    pub steps: Vec<Step>,
}

/// One action on one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Instance that the step acts on.
    pub instance: InstanceId,
    /// Action of the step.
    pub action: ActionKind,
    /// True if the request names the instance; false if another step needs this one.
    pub named: bool,
    /// Positions of the steps that must be done before; each is smaller than the step's own position.
    pub after: Vec<usize>,
    /// Reason for a step that the request does not name, or a remark about the step, as a sentence; empty if
    /// there is none.
    pub why: String,
    /// Reason why rta cannot start the instance again after this stop, as a sentence; empty if it can, or if
    /// the step stops nothing.
    #[serde(default)]
    pub irreversible: String,
    /// Batch of a rolling restart, counted from 1; 0 if the plan has no batches.
    #[serde(default, skip_serializing_if = "is_without_batch")]
    pub batch: u32,
    /// Gate of the batch. A step with a gate performs no action: it waits until the instance meets the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<BatchGate>,
}

fn is_without_batch(batch: &u32) -> bool {
    *batch == 0
}

impl Step {
    /// Returns the word for what the step does: that of its action, or `check` for a gate.
    pub fn word(&self) -> &'static str {
        if self.gate.is_some() { "check" } else { self.action.word() }
    }

    /// Returns the word for a step under way, such as `starting` or `checking`.
    pub fn in_progress_text(&self) -> &'static str {
        if self.gate.is_some() { "checking" } else { self.action.in_progress_text() }
    }
}

/// Restart in batches of hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollingRestart {
    /// Number of hosts of a batch, at least 1.
    pub batch: u32,
    /// Time for which the condition must hold between two batches.
    pub pause: SignedDuration,
    /// Condition for the next batch.
    pub condition: GateCondition,
}

/// Condition that each named instance of a batch must meet before the next batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GateCondition {
    /// It is up.
    Up,
    /// It is up, and its probe passes.
    Probe,
}

words!(GateCondition {
    Up => "up",
    Probe => "probe",
});

/// Gate of a batch, for one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchGate {
    /// Condition.
    pub condition: GateCondition,
    /// Time for which it must hold.
    pub pause: SignedDuration,
}

impl Plan {
    /// Returns the affected instances that the request does not name, each once.
    pub fn implied_instances(&self) -> Vec<&InstanceId> {
        self.instances(false)
    }

    /// Returns the affected instances that the request names, each once.
    pub fn requested_instances(&self) -> Vec<&InstanceId> {
        self.instances(true)
    }

    /// Returns the instances that the requester must confirm, each once: those that the request does not
    /// name; those that it names, if the plan stops several of them; and those that rta cannot start again.
    pub fn instances_to_confirm(&self) -> Vec<&InstanceId> {
        let stops = |step: &&Step| step.named && step.action != ActionKind::Start;
        let stopped: HashSet<&InstanceId> =
            self.steps.iter().filter(stops).map(|step| &step.instance).collect();
        let mut known = HashSet::new();
        let steps = self.steps.iter().filter(|step| {
            !step.named
                || !step.irreversible.is_empty()
                || (stopped.len() > 1 && stopped.contains(&step.instance))
        });
        steps.map(|step| &step.instance).filter(|instance| known.insert(*instance)).collect()
    }

    /// Returns the steps that stop an instance that rta cannot start again.
    pub fn irreversible_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| !step.irreversible.is_empty())
    }

    fn instances(&self, named: bool) -> Vec<&InstanceId> {
        let mut known = HashSet::new();
        let steps = self.steps.iter().filter(|step| step.named == named);
        steps.map(|step| &step.instance).filter(|instance| known.insert(*instance)).collect()
    }
}

/// Request to start, stop or restart instances, as a user writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionRequest {
    /// Name or alias; empty: every component of the host or environment.
    pub component: String,
    /// Empty: any.
    pub environment: String,
    /// Empty: any.
    pub host: String,
    /// Role of the hosts; empty: any.
    pub role: String,
    /// True to act on every matching instance. Otherwise a component must match exactly one instance, and a
    /// request without a component needs an environment or a host.
    pub all: bool,
    /// True to ignore dependencies: prerequisites are not started, and dependents are not stopped.
    pub no_dependencies: bool,
    /// ID of a plan: limits the request to instances that this plan stopped and that have not run since; 0:
    /// no limit.
    pub stopped_by: u64,
    /// Batches of a restart; `None`: all at once.
    pub rolling: Option<RollingRestart>,
}

impl ActionRequest {
    /// Returns the selector of the named instances.
    pub fn selector(&self) -> Selector {
        let Self { component, environment, host, .. } = self.clone();
        Selector { environment, host, component }
    }
}

/// Options for the execution of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionOptions {
    /// True to confirm every instance. Otherwise a plan is refused unless `agreed` contains all of its
    /// [`Plan::instances_to_confirm`].
    pub everything: bool,
    /// Instances that the requester has confirmed.
    pub agreed: Vec<InstanceId>,
    /// True to continue after a failure with the steps that do not depend on it. After a failure to reach an
    /// agent, they are continued in any case.
    pub keep_going: bool,
    /// Maximum number of concurrent steps; 0: the aggregator's default.
    pub parallel: u32,
}

/// State of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// Requested from the agent.
    UnderWay,
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// Not attempted, because an earlier step failed or the plan was cancelled.
    Skipped,
    /// Result unknown, because the aggregator ended in the meantime.
    Interrupted,
}

words!(StepState {
    Waiting => "waiting",
    UnderWay => "under way",
    Done => "done",
    Failed => "failed",
    Skipped => "skipped",
    Interrupted => "interrupted",
});

impl StepState {
    /// Returns true if the state cannot change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::UnderWay)
    }
}

/// Change of a step's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepChange {
    /// Position of the step in the plan.
    pub step: usize,
    /// Time of the change, by the aggregator's clock.
    pub at: Timestamp,
    /// New state.
    pub state: StepState,
    /// Progress as reported by the agent, while the step is under way.
    pub progress: Option<ActionProgress>,
    /// Description as a sentence. For a failure: its reason, followed by the last lines of the component's
    /// log.
    pub text: String,
}

/// Result of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanEnd {
    /// End of the plan, by the aggregator's clock.
    pub at: Timestamp,
    /// Number of steps that were done.
    pub done: usize,
    /// Number of steps that failed.
    pub failed: usize,
    /// Number of steps that were not attempted.
    pub skipped: usize,
    /// Number of steps with an unknown result.
    pub interrupted: usize,
    /// True if the plan was cancelled and steps were skipped for that reason.
    pub cancelled: bool,
}

impl PlanEnd {
    /// Returns true if every step was done.
    pub fn is_complete(&self) -> bool {
        self.failed + self.skipped + self.interrupted == 0
    }
}

impl fmt::Display for PlanEnd {
    /// Writes `cancelled: 2 steps done, 1 skipped`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cancelled {
            f.write_str("cancelled: ")?;
        }
        write!(f, "{} done", counted(self.done, "step"))?;
        for (count, word) in
            [(self.failed, "failed"), (self.skipped, "skipped"), (self.interrupted, "interrupted")]
        {
            if count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        Ok(())
    }
}

/// Start of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanStart {
    /// ID, unique among all plans of the aggregator.
    pub id: u64,
    /// Steps to perform.
    pub plan: Plan,
    /// Start time, by the aggregator's clock.
    pub at: Timestamp,
    /// Requester.
    pub by: Requester,
    /// Reason why the plan was not on disk before its first step, as a sentence: if the aggregator ends, the
    /// record of this plan is lost. `None` if it was on disk.
    pub unrecorded: Option<String>,
}

/// Event in the stream of a running plan: its start, each change, its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanEvent {
    /// Start; always the first event.
    Begun(PlanStart),
    /// Change of one step.
    Step(StepChange),
    /// End; always the last event.
    Ended(PlanEnd),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stops_several_or_cannot_be_started_again_is_to_be_agreed() {
        let step = |component: &str, action, named, irreversible: &str| Step {
            instance: InstanceId { environment: "E".into(), host: "h".into(), component: component.into() },
            action,
            named,
            after: vec![],
            why: String::new(),
            irreversible: irreversible.to_owned(),
            batch: 0,
            gate: None,
        };
        let asked = |kind, steps: Vec<Step>| -> Vec<String> {
            let plan = Plan { kind, steps };
            plan.instances_to_confirm().into_iter().map(|id| id.component.to_string()).collect()
        };
        use ActionKind::{Restart, Start, Stop};
        assert!(asked(Stop, vec![step("a", Stop, true, "")]).is_empty());
        assert_eq!(asked(Stop, vec![step("a", Stop, true, "no start command")]), ["a"]);
        assert_eq!(asked(Stop, vec![step("a", Stop, true, ""), step("b", Stop, true, "")]), ["a", "b"]);
        assert_eq!(asked(Stop, vec![step("b", Stop, false, ""), step("a", Stop, true, "")]), ["b"]);
        assert!(asked(Start, vec![step("a", Start, true, ""), step("b", Start, true, "")]).is_empty());
        assert!(asked(Restart, vec![step("a", Restart, true, "")]).is_empty());
        // One is stopped and one restarted, and the first is started again.
        let steps = vec![step("a", Stop, true, ""), step("b", Restart, true, ""), step("a", Start, true, "")];
        assert_eq!(asked(Restart, steps), ["a", "b"]);
    }

    #[test]
    fn an_end_reads_as_a_sentence() {
        let end = PlanEnd {
            at: Timestamp::UNIX_EPOCH,
            done: 1,
            failed: 1,
            skipped: 2,
            interrupted: 0,
            cancelled: false,
        };
        assert_eq!(end.to_string(), "1 step done, 1 failed, 2 skipped");
        assert!(!end.is_complete());
        let end = PlanEnd { failed: 0, skipped: 0, done: 2, ..end };
        assert_eq!((end.to_string().as_str(), end.is_complete()), ("2 steps done", true));
    }
}
