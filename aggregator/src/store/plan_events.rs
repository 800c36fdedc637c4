//! Recorded course of plans and their steps: the user, the actions, their times and outcomes.

use rta_shared::action::Requester;
use rta_shared::event::{Event, EventKind};
use rta_shared::format::counted;
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{Plan, PlanEnd, PlanStart, StepChange, StepState};

/// Plan in progress with the states of its steps.
#[derive(Clone, Debug)]
pub(crate) struct RunningPlan {
    pub(crate) begun: PlanStart,
    pub(crate) states: Vec<(StepState, String)>,
    /// Subject of the plan, computed once, since the event of every step contains it.
    subject: PlanSubject,
}

/// Subject of a plan.
#[derive(Clone, Debug)]
struct PlanSubject {
    /// Text such as `stop of kafka server on h1`.
    title: String,
    /// Parts that all named instances have in common.
    environment: Option<Name>,
    host: Option<Name>,
    component: Option<Name>,
}

impl PlanSubject {
    fn of(plan: &Plan) -> Self {
        let named = plan.requested_instances();
        let title = match named.as_slice() {
            [one] => format!("{} of {}", plan.kind, one.name_in_text()),
            several => format!("{} of {}", plan.kind, counted(several.len(), "instance")),
        };
        Self {
            title,
            environment: common_part(&named, |id| &id.environment),
            host: common_part(&named, |id| &id.host),
            component: common_part(&named, |id| &id.component),
        }
    }
}

impl RunningPlan {
    pub(crate) fn new(begun: PlanStart) -> Self {
        let states = vec![(StepState::Waiting, String::new()); begun.plan.steps.len()];
        Self::with_states(begun, states)
    }

    /// Creates a plan whose steps already have these states.
    pub(crate) fn with_states(begun: PlanStart, states: Vec<(StepState, String)>) -> Self {
        Self { subject: PlanSubject::of(&begun.plan), begun, states }
    }

    /// Returns the event of its begin: `stop of kafka server on h1: 3 steps`.
    pub(crate) fn begin_event(&self) -> Event {
        let text = format!("{}: {}", self.subject.title, counted(self.begun.plan.steps.len(), "step"));
        self.new_event(EventKind::Plan, self.begun.at, None, Some("under way"), text)
    }

    /// Returns the event of its end: `stop of kafka server on h1: 2 steps done, 1 failed`.
    pub(crate) fn end_event(&self, end: &PlanEnd) -> Event {
        let outcome = match end {
            PlanEnd { cancelled: true, .. } => "cancelled",
            PlanEnd { interrupted: 1.., .. } => "interrupted",
            end if end.is_complete() => "done",
            _ => "failed",
        };
        let text = format!("{}: {end}", self.subject.title);
        self.new_event(EventKind::Plan, end.at, Some("under way"), Some(outcome), text)
    }

    /// Applies a change of a step. Returns an event if the step began or ended by it.
    pub(crate) fn apply_change(&mut self, change: &StepChange) -> Option<Event> {
        let known = self.states.get_mut(change.step)?;
        let (before, said) = std::mem::replace(known, (change.state, change.text.clone()));
        // An interruption makes two events: one at once, one when the present state is known.
        let is_news = before != change.state || (before == StepState::Interrupted && said != change.text);
        if !is_news || change.state == StepState::Waiting {
            return None;
        }
        let step = self.begun.plan.steps.get(change.step)?;
        let mut text = format!("{} of {}: {}", step.action, step.instance.name_in_text(), change.state);
        if !change.text.is_empty() {
            text = format!("{text}: {}", change.text);
        }
        let InstanceId { environment, host, component } = step.instance.clone();
        Some(Event {
            environment: Some(environment),
            host: Some(host),
            component: Some(component),
            ..self.new_event(EventKind::Step, change.at, Some(before.word()), Some(change.state.word()), text)
        })
    }

    fn new_event(
        &self,
        kind: EventKind,
        at: jiff::Timestamp,
        from: Option<&str>,
        to: Option<&str>,
        text: String,
    ) -> Event {
        let PlanSubject { environment, host, component, .. } = self.subject.clone();
        Event {
            id: 0,
            at,
            kind,
            environment,
            host,
            component,
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            text,
            by: Some(self.begun.by.clone()).filter(|by| *by != Requester::default()),
            plan: Some(self.begun.id),
        }
    }
}

/// Returns the part that all instances have in common, if there is one.
fn common_part(instances: &[&InstanceId], part: impl Fn(&InstanceId) -> &Name) -> Option<Name> {
    let first = part(instances.first()?);
    instances.iter().all(|id| part(id) == first).then(|| first.clone())
}
