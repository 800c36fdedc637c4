//! Plans as their events show them: what each does at which places, and when. Pure.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use rta_shared::action::ActionKind;
use rta_shared::event::{Event, EventKind};
use rta_shared::plan::StepState;
use rta_shared::root_cause::CauseId;

/// Time after the end of a step within which a root cause at its place is the step's: the overview may show
/// it later than the event.
const STEP_EFFECT: SignedDuration = SignedDuration::from_secs(10);
/// Time after the end of a step within which a change of health is still its effect. What goes down later, after
/// a restart for example, has failed by itself.
const CHANGE_DELAY: SignedDuration = SignedDuration::from_secs(2);
/// Time for which a plan is remembered after its end.
const PLAN_MEMORY: SignedDuration = SignedDuration::from_mins(10);

/// Plan as its events show it.
#[derive(Clone, Debug)]
pub(super) struct FollowedPlan {
    /// Text such as `stop of kafka server on h1`; empty: not known.
    pub(super) title: String,
    /// Name of its requester.
    pub(super) person: Option<String>,
    pub(super) begun_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
    /// IDs of the events of its begin and its end.
    pub(super) events: Vec<u64>,
    /// Steps that began, each with its end.
    steps: HashMap<CauseId, Option<Timestamp>>,
}

/// Plans under way, and those that ended recently, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct FollowedPlans(HashMap<u64, FollowedPlan>);

impl FollowedPlans {
    /// Takes in an event of a plan or of one of its steps; others change nothing.
    pub(super) fn observe(&mut self, event: &Event, place: Option<&CauseId>) {
        let Some(id) = event.plan else { return };
        let plan = self.0.entry(id).or_insert_with(|| FollowedPlan {
            title: String::new(),
            person: event.by.as_ref().map(|by| by.user.clone()).filter(|user| !user.is_empty()),
            begun_at: event.at,
            ended_at: None,
            events: Vec::new(),
            steps: HashMap::new(),
        });
        match (event.kind, place) {
            // A cancel, after which steps go on.
            (EventKind::Plan, _) if event.to.is_none() => plan.events.push(event.id),
            (EventKind::Plan, _) => {
                // What it does, or did, follows: `stop of kafka server on h1: cancelled: 2 steps`.
                let title = event.text.split_once(": ").map_or(event.text.as_str(), |(title, _)| title);
                title.clone_into(&mut plan.title);
                plan.events.push(event.id);
                if event.to.as_deref() != Some(StepState::UnderWay.word()) {
                    plan.ended_at = Some(event.at);
                }
            }
            (EventKind::Step, Some(place)) => {
                let is_under_way = event.to.as_deref() == Some(StepState::UnderWay.word());
                plan.steps.insert(place.clone(), (!is_under_way).then_some(event.at));
            }
            _ => {}
        }
    }

    /// Takes all plans for ended at `now`: the events of their ends may have been missed, and an incident
    /// would wait for them for ever.
    pub(super) fn end_all(&mut self, now: Timestamp) {
        for plan in self.0.values_mut() {
            plan.ended_at.get_or_insert(now);
            plan.steps.values_mut().for_each(|end| _ = end.get_or_insert(now));
        }
    }

    /// Returns a plan.
    pub(super) fn get(&self, id: u64) -> Option<&FollowedPlan> {
        self.0.get(&id)
    }

    /// Returns true if the plan is under way.
    pub(super) fn is_under_way(&self, id: u64) -> bool {
        self.0.get(&id).is_some_and(|plan| plan.ended_at.is_none())
    }

    /// Returns the newest plan whose stop or restart explains that something at `place` is not up at `at`, and
    /// has not been `since` then; `None`: not known.
    pub(super) fn stopping(&self, place: &CauseId, since: Option<Timestamp>, at: Timestamp) -> Option<u64> {
        let is_effect = |end: Timestamp| {
            at.duration_since(end) <= STEP_EFFECT
                && since.is_none_or(|since| since.duration_since(end) <= CHANGE_DELAY)
        };
        let acts = |plan: &FollowedPlan| {
            plan.steps.get(place).filter(|_| plan.stops()).is_some_and(|end| end.is_none_or(is_effect))
        };
        self.0.iter().filter(|(_, plan)| acts(plan)).map(|(id, _)| *id).max()
    }

    /// Forgets what ended long before `now`.
    pub(super) fn forget_before(&mut self, now: Timestamp) {
        self.0.retain(|_, plan| plan.ended_at.is_none_or(|end| now.duration_since(end) <= PLAN_MEMORY));
    }
}

impl FollowedPlan {
    fn stops(&self) -> bool {
        let kind = self.title.split(' ').next().unwrap_or_default();
        [ActionKind::Stop, ActionKind::Restart].iter().any(|stop| stop.to_string() == kind)
    }
}
