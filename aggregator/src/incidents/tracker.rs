//! The rules of incidents as a state machine: root causes, events and times go in, changes of incidents come
//! out. Pure.
//!
//! A root cause belongs to one incident. It joins an open one if that explains it: a plan that stops it, an
//! incident that affected it until now, the loss of its host, or that of another host at the same moment.
//! What comes back soon after its end continues its incident; everything else begins a new one. An incident
//! is over when none of its root causes is left and the plan that caused it has ended.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rta_shared::action::Requester;
use rta_shared::event::Event;
use rta_shared::format::joined_first;
use rta_shared::incident::{Incident, IncidentKind, MAX_NAMED_INSTANCES};
use rta_shared::name::Name;
use rta_shared::overview::{Health, InstanceId};
use rta_shared::root_cause::CauseId;

use super::observation::{Observation, ObservedCause};
use super::plans::FollowedPlans;
use crate::causes::CauseOutcome;
use crate::store::{IncidentChange, StoredIncidents};

/// Time after its end within which a root cause that comes back continues its incident.
pub(super) const COMES_BACK_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// Time after a host's return within which what is not up on it is found.
const HOST_AFTERMATH: SignedDuration = SignedDuration::from_secs(30);
/// Time after a host's return within which its agent reports what is not up on it. What goes down later has
/// failed by itself.
const RETURN_SETTLES: SignedDuration = SignedDuration::from_secs(5);
/// Time after the loss of a host within which the loss of another one in the same environment has the same
/// cause. Their agents fall silent at the same moment, and count as lost some seconds later.
const SAME_LOSS: SignedDuration = SignedDuration::from_secs(5);
/// Number of hosts that the sentence of an incident names.
const MAX_NAMED_HOSTS: usize = 5;
/// Time within which the cause of a new incident may still become known in more detail.
const CAUSE_SETTLES: SignedDuration = SignedDuration::from_secs(10);
/// Maximum number of incidents that are over and remembered.
const MAX_RECENT: usize = 1000;

/// Open incidents, those that ended recently, and the events that may belong to them.
#[derive(Clone, Debug, Default)]
pub(super) struct IncidentTracker {
    pub(super) open: Vec<TrackedIncident>,
    /// Those that are over, the last one last.
    pub(super) recent: VecDeque<TrackedIncident>,
    pub(super) plans: FollowedPlans,
    /// IDs of the incidents by the places that they touch. [`IncidentTracker::index_places`] brings it up to date.
    pub(super) by_place: HashMap<CauseId, Vec<u64>>,
    /// Events that no incident was searched for yet.
    pub(super) fresh: VecDeque<Arc<Event>>,
    /// Events that belonged to no incident when it was searched for.
    pub(super) unmatched: VecDeque<Arc<Event>>,
    last_id: u64,
    /// Time of the last observation.
    pub(super) observed_at: Option<Timestamp>,
    /// Sentence about the time in which no aggregator ran; `None`: there was none.
    absence: Option<String>,
    changed: BTreeSet<u64>,
    /// Events with their incidents that were not taken yet: the incident's ID, then the event's.
    pub(super) attributed: Vec<(u64, u64)>,
}

/// Incident with what is known of its causes at the moment.
#[derive(Clone, Debug)]
pub(super) struct TrackedIncident {
    pub(super) incident: Incident,
    /// How it was at its begin or at its worst, as a sentence.
    began_as: String,
    /// Root causes that are not over.
    pub(super) present: BTreeSet<CauseId>,
    /// Instances whose bad health they explain.
    pub(super) affected: HashSet<CauseId>,
    /// All places that were root causes or affected.
    touched: HashSet<CauseId>,
    /// Those of them that are not in [`IncidentTracker::by_place`] yet.
    unindexed: Vec<CauseId>,
    /// Worst health of its first root cause.
    health: Health,
    /// True once a root cause of it was seen by this aggregator.
    is_confirmed: bool,
    /// Times at which lost hosts came back.
    returns: HashMap<Name, Timestamp>,
}

impl TrackedIncident {
    fn new(incident: Incident, health: Health, is_confirmed: bool) -> Self {
        let affected = incident.affected_instances.iter().cloned().map(CauseId::from);
        let touched: HashSet<CauseId> = incident.causes.iter().cloned().chain(affected).collect();
        let present = incident.causes.iter().filter(|_| incident.is_open()).cloned().collect();
        Self {
            present,
            affected: HashSet::new(),
            unindexed: touched.iter().cloned().collect(),
            touched,
            health,
            is_confirmed,
            returns: HashMap::new(),
            began_as: incident.began_as.as_ref().unwrap_or(&incident.text).clone(),
            incident,
        }
    }

    /// Returns true if a root cause on a host that came back from its loss belongs to the loss.
    fn is_aftermath(&self, host: &CauseId, cause: &ObservedCause, now: Timestamp) -> bool {
        let Some(back) = self.returns.get(&host.host).copied().or(self.incident.ended_at) else {
            return false;
        };
        self.incident.causes.contains(host)
            && now.duration_since(back) <= HOST_AFTERMATH
            && cause.since.is_none_or(|since| since.duration_since(back) <= RETURN_SETTLES)
    }

    /// Removes the root causes that are over.
    fn drop_ended(&mut self, observation: &Observation) {
        let at = observation.at;
        let returns = &mut self.returns;
        self.present.retain(|id| {
            let is_present = observation.causes.contains_key(id)
                || observation.outcomes.get(id) == Some(&CauseOutcome::Undecided);
            if !is_present && id.component.is_none() {
                returns.insert(id.host.clone(), at);
            }
            is_present
        });
    }

    /// Returns the plan that caused it.
    pub(super) fn causing_plan(&self) -> Option<u64> {
        self.incident.plans.first().copied().filter(|_| self.incident.kind == IncidentKind::Plan)
    }

    fn ended_within(&self, limit: SignedDuration, now: Timestamp) -> bool {
        self.incident.ended_at.is_some_and(|end| now.duration_since(end) <= limit)
    }

    fn add_cause(&mut self, id: &CauseId) {
        if !self.incident.causes.contains(id) {
            self.incident.causes.push(id.clone());
        }
        self.touch([id.clone()]);
        self.present.insert(id.clone());
        self.is_confirmed = true;
    }

    /// Adds places that it touches.
    fn touch(&mut self, places: impl IntoIterator<Item = CauseId>) {
        for place in places {
            if !self.touched.contains(&place) {
                self.touched.insert(place.clone());
                self.unindexed.push(place);
            }
        }
    }

    /// Returns true if the loss of this host, which is noticed now, belongs to it: it began with the loss of
    /// another one.
    fn is_same_loss(&self, id: &CauseId, now: Timestamp) -> bool {
        self.incident.kind == IncidentKind::Host
            && now.duration_since(self.incident.begun_at) <= SAME_LOSS
            && self.incident.causes.iter().all(|cause| cause.environment == id.environment)
    }

    /// Names all hosts that were lost at the same moment.
    fn add_host_names(&mut self, reason: &str) {
        let hosts = self.incident.causes.iter().filter(|cause| cause.component.is_none());
        if let Some(sentence) = hosts_sentence(hosts, reason) {
            self.began_as = sentence;
        }
    }

    /// Takes in what its root causes affect now. Returns true if that changes the incident.
    fn update_affected(&mut self, causes: &Observation) -> bool {
        let own = self.present.iter().filter_map(|id| causes.causes.get(id));
        let affected: BTreeSet<&InstanceId> = own.flat_map(|cause| &cause.affected).collect();
        self.affected = affected.iter().map(|id| CauseId::from((*id).clone())).collect();
        let now_affected: Vec<CauseId> = self.affected.difference(&self.touched).cloned().collect();
        self.touch(now_affected);
        let is_peak = affected.len() > self.incident.affected;
        if is_peak {
            self.incident.affected = affected.len();
            let names = affected.into_iter().take(MAX_NAMED_INSTANCES).cloned();
            self.incident.affected_instances = names.collect();
        }
        is_peak
    }

    /// Takes in how its first root cause is now, as far as that tells more of its begin, or is worse.
    fn update_begin(&mut self, observation: &Observation) {
        let seen = || self.incident.causes.iter().filter_map(|id| Some((id, observation.causes.get(id)?)));
        let is_failed = |(id, cause): &(&CauseId, &ObservedCause)| {
            !matches!(cause.kind(id), IncidentKind::Maintenance | IncidentKind::Plan)
        };
        // The first one may be over when another one is not up after its maintenance.
        let failed =
            (self.incident.kind == IncidentKind::Maintenance).then(|| seen().find(is_failed)).flatten();
        let first = || seen().next().filter(|(id, _)| self.incident.causes.first() == Some(id));
        let Some((first, cause)) = failed.or_else(first) else { return };
        let (kind, sentence) = (cause.kind(first), cause.sentence(first));
        let is_plan = [kind, self.incident.kind].contains(&IncidentKind::Plan);
        // What is still not up when its maintenance is over has failed.
        let is_failure_now = self.incident.kind == IncidentKind::Maintenance && kind != self.incident.kind;
        let settles = observation.at.duration_since(self.incident.begun_at) <= CAUSE_SETTLES;
        // Why a process ended is known a moment later. That it is being started is no cause.
        let has_more_detail = settles && sentence.starts_with(&self.began_as);
        let is_same_kind = kind == self.incident.kind;
        if !is_plan && (is_failure_now || (is_same_kind && (cause.health > self.health || has_more_detail))) {
            self.health = if is_failure_now { cause.health } else { self.health.max(cause.health) };
            (self.incident.kind, self.began_as) = (kind, sentence);
        }
    }

    /// Makes the text say how it is now. Returns true if that changes the incident.
    fn update_text(&mut self, observation: &Observation, plans: &FollowedPlans) -> bool {
        let before = (self.incident.kind, self.incident.text.clone(), self.incident.began_as.clone());
        self.update_begin(observation);
        let text = self.present_text(observation, plans);
        self.incident.began_as = (text != self.began_as).then(|| self.began_as.clone());
        self.incident.text = text;
        before != (self.incident.kind, self.incident.text.clone(), self.incident.began_as.clone())
    }

    /// Returns how it is now, as a sentence.
    fn present_text(&self, observation: &Observation, plans: &FollowedPlans) -> String {
        let present = || self.incident.causes.iter().filter(|id| self.present.contains(id));
        let seen = || present().filter_map(|id| Some((id, observation.causes.get(id)?)));
        if self.incident.kind == IncidentKind::Plan {
            // What the plan left stopped is what the text says of the plan.
            let is_under_way = self.causing_plan().is_some_and(|plan| plans.is_under_way(plan));
            let failed = seen().find(|(_, cause)| !cause.is_on_purpose && !is_under_way);
            return match failed {
                Some((id, cause)) => format!("{}; {}", self.began_as, cause.sentence(id)),
                None => self.began_as.clone(),
            };
        }
        let lost = seen().filter(|(id, _)| id.component.is_none());
        if let Some((_, first)) = lost.clone().next()
            && let Some(sentence) = hosts_sentence(lost.map(|(id, _)| id), &first.reason)
        {
            return sentence;
        }
        let undecided = || present().find_map(|id| Some((id, observation.undecided.get(id)?)));
        match seen().next().or_else(undecided) {
            Some((id, cause)) => cause.sentence(id),
            None => self.began_as.clone(),
        }
    }

    /// Ends it. The text then says how it was.
    fn end(&mut self, at: Timestamp, note: Option<String>) {
        self.incident.ended_at = Some(at.max(self.incident.begun_at));
        self.incident.end_note = note;
        (self.incident.text, self.incident.began_as) = (self.began_as.clone(), None);
        self.affected.clear();
    }
}

/// Returns the sentence of several lost hosts; `None`: they are not several.
fn hosts_sentence<'c>(hosts: impl Iterator<Item = &'c CauseId> + Clone, reason: &str) -> Option<String> {
    if hosts.clone().count() < 2 {
        return None;
    }
    let names = joined_first(MAX_NAMED_HOSTS, hosts.map(|cause| &cause.host), ", ");
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    Some(format!("hosts {names} are unknown{reason}"))
}

impl IncidentTracker {
    /// Creates a tracker that continues the incidents of an earlier aggregator.
    pub(super) fn new(stored: StoredIncidents, now: Timestamp) -> Self {
        let until = |at: Timestamp| {
            let (from, to) = (at.strftime("%Y-%m-%d %H:%M:%S"), now.strftime("%H:%M:%S UTC"));
            format!("it ended while rta was not running, from {from} to {to}")
        };
        let mut tracker =
            Self { last_id: stored.last_id, absence: stored.last_active.map(until), ..Self::default() };
        for incident in stored.incidents {
            let is_open = incident.is_open();
            let tracked = TrackedIncident::new(incident, Health::Down, false);
            if is_open { tracker.open.push(tracked) } else { tracker.recent.push_back(tracked) }
        }
        tracker
    }

    /// Returns the root causes of all open incidents.
    pub(super) fn present_causes(&self) -> Vec<CauseId> {
        self.open.iter().flat_map(|tracked| &tracked.present).cloned().collect()
    }

    /// Takes in the root causes at one moment.
    pub(super) fn observe(&mut self, observation: &Observation) {
        let now = observation.at;
        self.observed_at = Some(now);
        let known: HashMap<CauseId, usize> = (self.open.iter().enumerate())
            .flat_map(|(at, tracked)| tracked.present.iter().map(move |id| (id.clone(), at)))
            .collect();
        for id in observation.causes.keys() {
            if let Some(tracked) = known.get(id).and_then(|at| self.open.get_mut(*at)) {
                tracked.is_confirmed = true;
            }
        }
        // A host comes before its instances, which join the incident of its loss.
        for (id, cause) in observation.causes.iter().filter(|(id, _)| !known.contains_key(*id)) {
            self.add_cause(id, cause, now);
        }
        let mut is_grown = false;
        for tracked in &mut self.open {
            tracked.drop_ended(observation);
            let is_changed = tracked.update_text(observation, &self.plans);
            let touched = tracked.touched.len();
            if tracked.update_affected(observation) || is_changed {
                self.changed.insert(tracked.incident.id);
            }
            is_grown |= tracked.touched.len() > touched;
        }
        if is_grown {
            self.retry_unmatched();
        }
        self.close_ended(observation);
        self.forget_before(now);
    }

    /// Closes the incidents that are over.
    fn close_ended(&mut self, observation: &Observation) {
        let plans = &self.plans;
        let is_over = |tracked: &mut TrackedIncident| {
            tracked.present.is_empty() && !tracked.causing_plan().is_some_and(|plan| plans.is_under_way(plan))
        };
        let ended: Vec<TrackedIncident> = self.open.extract_if(.., is_over).collect();
        for mut tracked in ended {
            let causes = &tracked.incident.causes;
            let is_removed = |id| observation.outcomes.get(id) == Some(&CauseOutcome::Removed);
            let note = match &self.absence {
                _ if causes.iter().all(is_removed) => {
                    Some("it was removed from the configuration".to_owned())
                }
                Some(absence) if !tracked.is_confirmed => Some(absence.clone()),
                _ => None,
            };
            tracked.end(observation.at, note);
            self.changed.insert(tracked.incident.id);
            self.recent.push_back(tracked);
        }
    }

    /// Adds a root cause to the incident to which it belongs, or begins one.
    fn add_cause(&mut self, id: &CauseId, cause: &ObservedCause, now: Timestamp) {
        let stopping =
            cause.stop.as_ref().map(|stop| stop.plan).or_else(|| self.plans.stopping(id, cause.since, now));
        let at = match stopping {
            Some(plan) => self.of_plan(plan, now),
            None => self.explaining(id, cause, now),
        };
        match at.and_then(|at| self.open.get_mut(at)) {
            Some(tracked) => {
                tracked.add_cause(id);
                if id.component.is_none() {
                    tracked.add_host_names(&cause.reason);
                }
                self.changed.insert(tracked.incident.id);
                self.retry_unmatched();
            }
            None => self.begin(id, cause, stopping, now),
        }
    }

    /// Returns the open incident that a plan caused, after opening it again if it is over.
    fn of_plan(&mut self, plan: u64, now: Timestamp) -> Option<usize> {
        let is_its = |tracked: &TrackedIncident| tracked.causing_plan() == Some(plan);
        self.open.iter().rposition(is_its).or_else(|| {
            let at = self.recent.iter().rposition(is_its)?;
            self.open_again(at, now, false)
        })
    }

    /// Returns the open incident that explains a new root cause, after opening it again if it is over.
    fn explaining(&mut self, id: &CauseId, cause: &ObservedCause, now: Timestamp) -> Option<usize> {
        let host = CauseId { component: None, ..id.clone() };
        // What ended by itself is no consequence of a deliberate stop.
        let may_follow = |tracked: &TrackedIncident| {
            cause.health != Health::Down || tracked.incident.kind != IncidentKind::Plan
        };
        let explains = |tracked: &TrackedIncident| {
            (may_follow(tracked) && tracked.affected.contains(id))
                || tracked.present.contains(&host)
                || (tracked.incident.kind != IncidentKind::Plan && tracked.incident.causes.contains(id))
        };
        if let Some(at) = self.open.iter().rposition(explains) {
            return Some(at);
        }
        let is_host_back = |tracked: &TrackedIncident| tracked.is_aftermath(&host, cause, now);
        if id.component.is_some()
            && let Some(at) = self.recent.iter().rposition(is_host_back)
        {
            return self.open_again(at, now, false);
        }
        let is_back = |tracked: &TrackedIncident| {
            tracked.incident.kind == cause.kind(id)
                && tracked.incident.kind != IncidentKind::Plan
                && tracked.incident.causes.contains(id)
                && tracked.ended_within(COMES_BACK_WITHIN, now)
        };
        let Some(at) = self.recent.iter().rposition(is_back) else {
            let is_host = cause.kind(id) == IncidentKind::Host;
            return self.open.iter().rposition(|tracked| is_host && tracked.is_same_loss(id, now));
        };
        let at = self.open_again(at, now, true)?;
        let tracked = self.open.get_mut(at)?;
        if tracked.incident.causes.first() == Some(id) {
            // The reason may be another one now.
            (tracked.began_as, tracked.health) = (cause.sentence(id), cause.health);
        }
        Some(at)
    }

    /// Opens an incident again that was over. Returns its place among the open ones.
    fn open_again(&mut self, at: usize, now: Timestamp, is_new_begin: bool) -> Option<usize> {
        let mut tracked = self.recent.remove(at)?;
        tracing::info!(incident = tracked.incident.id, %now, "an incident came back");
        (tracked.incident.ended_at, tracked.incident.end_note) = (None, None);
        if is_new_begin {
            tracked.incident.begins = tracked.incident.begins.saturating_add(1);
        }
        self.open.push(tracked);
        Some(self.open.len() - 1)
    }

    fn begin(&mut self, id: &CauseId, cause: &ObservedCause, plan: Option<u64>, now: Timestamp) {
        self.last_id += 1;
        let followed = plan.and_then(|plan| self.plans.get(plan));
        let stop = cause.stop.as_ref();
        let person = stop.map(|stop| stop.by.user.clone());
        let person = person.or_else(|| followed.and_then(|followed| followed.person.clone()));
        let begun_at = match (followed, stop) {
            (Some(followed), _) => Some(followed.begun_at),
            (None, Some(stop)) => Some(stop.at),
            (None, None) => cause.since,
        };
        let title = followed.map(|followed| followed.title.as_str()).filter(|title| !title.is_empty());
        let text = match (plan, title) {
            (Some(plan), Some(title)) => match &person {
                Some(person) if !person.is_empty() => format!("{title} by {person} (plan {plan})"),
                _ => format!("{title} (plan {plan})"),
            },
            _ => cause.sentence(id),
        };
        let incident = Incident {
            id: self.last_id,
            kind: if plan.is_some() { IncidentKind::Plan } else { cause.kind(id) },
            text,
            began_as: None,
            begun_at: begun_at.unwrap_or(now).min(now),
            ended_at: None,
            end_note: None,
            begins: 1,
            causes: vec![id.clone()],
            affected: 0,
            affected_instances: Vec::new(),
            plans: Vec::new(),
            persons: Vec::new(),
            notifications: 0,
        };
        let mut tracked = TrackedIncident::new(incident, cause.health, true);
        let events = followed.map(|followed| followed.events.clone()).unwrap_or_default();
        tracked.add_plan(plan, &events, &mut self.attributed);
        if let Some(person) = &person {
            tracked.add_person(person);
        }
        self.changed.insert(tracked.incident.id);
        self.open.push(tracked);
        self.retry_unmatched();
    }

    fn forget_before(&mut self, now: Timestamp) {
        let mut surplus = self.recent.len().saturating_sub(MAX_RECENT);
        for tracked in std::mem::take(&mut self.recent) {
            // The end of one that has changed is not recorded yet.
            let is_kept = self.changed.contains(&tracked.incident.id) || {
                let is_surplus = surplus > 0;
                surplus -= usize::from(is_surplus);
                !is_surplus && tracked.ended_within(COMES_BACK_WITHIN, now)
            };
            if is_kept {
                self.recent.push_back(tracked);
            } else {
                self.remove_from_index(&tracked);
            }
        }
        self.plans.forget_before(now);
    }

    /// Adds the places that incidents have touched since the last call to the index.
    pub(super) fn index_places(&mut self) {
        for tracked in self.open.iter_mut().chain(&mut self.recent) {
            for place in tracked.unindexed.drain(..) {
                self.by_place.entry(place).or_default().push(tracked.incident.id);
            }
        }
    }

    fn remove_from_index(&mut self, tracked: &TrackedIncident) {
        for place in &tracked.touched {
            let Some(incidents) = self.by_place.get_mut(place) else { continue };
            incidents.retain(|id| *id != tracked.incident.id);
            if incidents.is_empty() {
                self.by_place.remove(place);
            }
        }
    }

    /// Takes all plans for ended, because events have been missed.
    pub(super) fn end_plans(&mut self, now: Timestamp) {
        self.plans.end_all(now);
    }

    /// Marks an incident as changed.
    pub(super) fn mark_changed(&mut self, id: u64) {
        self.changed.insert(id);
    }

    /// Returns and removes what has changed since the last call.
    pub(super) fn take_change(&mut self) -> IncidentChange {
        let changed = std::mem::take(&mut self.changed);
        let all = self.open.iter().chain(&self.recent).map(|tracked| &tracked.incident);
        let incidents = all.filter(|incident| changed.contains(&incident.id)).cloned().collect();
        IncidentChange { incidents, events: std::mem::take(&mut self.attributed) }
    }
}

impl TrackedIncident {
    /// Adds a plan, with the events of its begin and end.
    pub(super) fn add_plan(
        &mut self,
        plan: Option<u64>,
        events: &[u64],
        attributed: &mut Vec<(u64, u64)>,
    ) -> bool {
        let Some(plan) = plan.filter(|plan| !self.incident.plans.contains(plan)) else { return false };
        self.incident.plans.push(plan);
        attributed.extend(events.iter().map(|event| (self.incident.id, *event)));
        true
    }

    /// Adds a person who acted.
    pub(super) fn add_person(&mut self, user: &str) -> bool {
        let is_person = !user.is_empty() && user != Requester::autostart().user;
        let is_new = is_person && !self.incident.has_person(user);
        if is_new {
            self.incident.persons.push(user.to_owned());
        }
        is_new
    }
}
