//! Events of plans and their steps: the user, the actions, their times and outcomes. Pure.

use rta_shared::action::Requester;
use rta_shared::event::{Event, EventKind};
use rta_shared::format::counted;
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{Plan, PlanEnd, PlanStart, StepChange, StepState};

/// Writer of the events of one plan.
#[derive(Debug)]
pub(crate) struct PlanEvents {
    pub(crate) begun: PlanStart,
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

impl PlanEvents {
    pub(crate) fn new(begun: PlanStart) -> Self {
        Self { subject: PlanSubject::of(&begun.plan), begun }
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

    /// Returns the event of a step's change; `None` if the step neither began nor ended by it. `before` is the
    /// step's state and text before the change.
    pub(crate) fn step_event(&self, before: &(StepState, String), change: &StepChange) -> Option<Event> {
        let (state, text) = before;
        // An interruption makes two events: one at once, one when the present state is known.
        let is_news = *state != change.state || (*state == StepState::Interrupted && *text != change.text);
        if !is_news || change.state == StepState::Waiting {
            return None;
        }
        let step = self.begun.plan.steps.get(change.step)?;
        let mut sentence = format!("{} of {}: {}", step.word(), step.instance.name_in_text(), change.state);
        if !change.text.is_empty() {
            sentence = format!("{sentence}: {}", change.text);
        }
        let InstanceId { environment, host, component } = step.instance.clone();
        Some(Event {
            environment: Some(environment),
            host: Some(host),
            component: Some(component),
            ..self.new_event(
                EventKind::Step,
                change.at,
                Some(state.word()),
                Some(change.state.word()),
                sentence,
            )
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
            environment,
            host,
            component,
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            by: Some(self.begun.by.clone()).filter(|by| *by != Requester::default()),
            plan: Some(self.begun.id),
            ..Event::new(at, kind, text)
        }
    }
}

/// Returns the part that all instances have in common, if there is one.
fn common_part(instances: &[&InstanceId], part: impl Fn(&InstanceId) -> &Name) -> Option<Name> {
    let first = part(instances.first()?);
    instances.iter().all(|id| part(id) == first).then(|| first.clone())
}
