//! Plans: what is started, stopped and restarted for one wish, in which order, and what became of it.

use std::collections::HashSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::action::{ActionKind, ActionProgress, Requester};
use crate::format::counted;
use crate::overview::InstanceId;
use crate::selector::Selector;

/// Steps in an order in which they can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What was wished.
    pub kind: ActionKind,
    /// Each after all that it waits for.
    pub steps: Vec<Step>,
}

/// One action on one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// On which.
    pub instance: InstanceId,
    /// What is done.
    pub action: ActionKind,
    /// It was asked for; if not, another one needs it.
    pub named: bool,
    /// The positions of the steps that must be done before; each is smaller than its own.
    pub after: Vec<usize>,
    /// Why it is done where it was not asked for, or what else is to be known of it, as a sentence; empty:
    /// nothing.
    pub why: String,
    /// Why rta cannot start the instance again that this step stops, as a sentence; empty: it can, or nothing is
    /// stopped.
    #[serde(default)]
    pub irreversible: String,
}

impl Plan {
    /// The instances that it touches although they were not named, each once.
    pub fn implied_instances(&self) -> Vec<&InstanceId> {
        self.instances(false)
    }

    /// The instances that were named and that it touches, each once.
    pub fn requested_instances(&self) -> Vec<&InstanceId> {
        self.instances(true)
    }

    /// The instances that somebody has to agree to, each once: those that were not named; where the plan stops several
    /// that were named, these; and those that rta cannot start again.
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

    /// The steps that stop what rta cannot start again.
    pub fn irreversible_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| !step.irreversible.is_empty())
    }

    fn instances(&self, named: bool) -> Vec<&InstanceId> {
        let mut known = HashSet::new();
        let steps = self.steps.iter().filter(|step| step.named == named);
        steps.map(|step| &step.instance).filter(|instance| known.insert(*instance)).collect()
    }
}

/// What is to be started, stopped or restarted, as a person names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionRequest {
    /// Name or alias; empty: every component of the place.
    pub component: String,
    /// Empty: any.
    pub environment: String,
    /// Empty: any.
    pub host: String,
    /// Every instance that the rest fits; without it a component must be one instance, and a wish without
    /// component needs an environment or a host.
    pub all: bool,
    /// The named ones alone, whatever they need and whatever needs them.
    pub no_dependencies: bool,
    /// Of the rest only what the plan of this number has stopped, and what has not run since; 0: whatever the rest says.
    pub stopped_by: u64,
}

impl ActionRequest {
    /// Returns the selector of the named instances.
    pub fn selector(&self) -> Selector {
        let Self { component, environment, host, .. } = self.clone();
        Selector { environment, host, component }
    }
}

/// How a plan is to be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionOptions {
    /// Whatever the plan touches is right; otherwise one is refused of whose [`Plan::instances_to_confirm`] not all is agreed.
    pub everything: bool,
    /// What somebody agreed to.
    pub agreed: Vec<InstanceId>,
    /// After a failure the steps that do not depend on it are done all the same. After one for which an agent
    /// could not be reached they are in any case.
    pub keep_going: bool,
    /// How many steps may be under way at once; 0: the aggregator's default.
    pub parallel: u32,
}

/// How a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Its turn has not come.
    Waiting,
    /// Its agent was asked.
    UnderWay,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It was not attempted, since one before it failed, or since the plan was cancelled.
    Skipped,
    /// The aggregator ended in the meantime, and it is not known how it went.
    Interrupted,
}

impl StepState {
    /// Every value.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::UnderWay, Self::Done, Self::Failed, Self::Skipped, Self::Interrupted];

    /// The word shown to people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::UnderWay => "under way",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
        }
    }

    /// Whether nothing more is to come.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Waiting | Self::UnderWay)
    }
}

impl fmt::Display for StepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepChange {
    /// Its position in the plan.
    pub step: usize,
    /// When, by the aggregator's clock.
    pub at: Timestamp,
    /// How it stands now.
    pub state: StepState,
    /// While it is under way: how far its agent says that it is.
    pub progress: Option<ActionProgress>,
    /// The same as a sentence; of a failure its reason, and below it the log's last lines, each a line.
    pub text: String,
}

/// How a plan ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanEnd {
    /// When.
    pub at: Timestamp,
    /// Steps that were done.
    pub done: usize,
    /// Steps that failed.
    pub failed: usize,
    /// Steps that were not attempted.
    pub skipped: usize,
    /// Steps of which it is not known how they went.
    pub interrupted: usize,
    /// Somebody cancelled it, and something was skipped for that.
    pub cancelled: bool,
}

impl PlanEnd {
    /// Whether every step was done.
    pub fn is_complete(&self) -> bool {
        self.failed + self.skipped + self.interrupted == 0
    }
}

impl fmt::Display for PlanEnd {
    /// `cancelled: 2 steps done, 1 skipped`.
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

/// The beginning of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanStart {
    /// Tells it from every other plan of the aggregator.
    pub id: u64,
    /// What is to be done.
    pub plan: Plan,
    /// When it began.
    pub at: Timestamp,
    /// Who asked.
    pub by: Requester,
    /// Why it was not on disk before its first step began, as a sentence: should the aggregator end, nobody will know
    /// what this plan did. `None` where it was.
    pub unrecorded: Option<String>,
}

/// A plan that is carried out, as it is told: its beginning, each change, its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanEvent {
    /// The first.
    Begun(PlanStart),
    /// One for each thing that happens.
    Step(StepChange),
    /// The last.
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
