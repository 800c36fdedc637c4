//! Instances that plans have stopped on purpose and that have not run since.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rta_shared::dependency::DependencyGraph;
use rta_shared::down_cause::{DownCause, DownKind};
use rta_shared::name::Name;
use rta_shared::overview::{InstanceId, InstanceOverview};
use rta_shared::planned_stop::PlannedStop;

/// Time after a stop within which a report that does not show it may be older than the stop.
const REPORT_DELAY: Duration = Duration::from_secs(5);

/// Maximum error of an agent's time after its correction: below the skew that is corrected.
const CLOCK_ERROR: SignedDuration = SignedDuration::from_secs(5);

/// Valid planned stops, by host name: every overview looks up those of each host.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlannedStops {
    by_host: HashMap<Name, Vec<TrackedStop>>,
    /// Stops as another aggregator, which is followed, has recorded them.
    recorded: HashMap<InstanceId, PlannedStop>,
}

/// Valid planned stop.
#[derive(Clone, Debug)]
struct TrackedStop {
    id: InstanceId,
    stop: PlannedStop,
    /// Time at which the stop was added; `None` once a report has shown it.
    unseen_since: Option<Instant>,
}

impl PlannedStops {
    /// Creates a set with the stops that an earlier aggregator recorded.
    pub(crate) fn new(earlier: HashMap<InstanceId, PlannedStop>) -> Self {
        let mut stops = Self { recorded: earlier.clone(), ..Self::default() };
        earlier.into_iter().for_each(|(id, stop)| stops.insert(id, stop, None));
        stops
    }

    /// Adds a stop of an instance by a plan, made at `now`.
    pub(crate) fn add(&mut self, id: InstanceId, stop: PlannedStop, now: Instant) {
        self.insert(id, stop, Some(now));
    }

    fn insert(&mut self, id: InstanceId, stop: PlannedStop, unseen_since: Option<Instant>) {
        let of_host = self.by_host.entry(id.host.clone()).or_default();
        of_host.retain(|held| held.id != id);
        of_host.push(TrackedStop { id, stop, unseen_since });
    }

    /// Replaces all stops by those that another aggregator has recorded, as of `now`. Returns the hosts whose
    /// stops have changed. A stop that was recorded before and ended here, because its instance runs again,
    /// stays ended: the other aggregator soon ends it too.
    pub(crate) fn follow_record(
        &mut self,
        recorded: &HashMap<InstanceId, PlannedStop>,
        now: Instant,
    ) -> Vec<Name> {
        let mut changed = Vec::new();
        let followed = std::mem::replace(&mut self.recorded, recorded.clone());
        // Compared with the earlier record and not with what is held, whose times follow this host's clock.
        let is_unchanged =
            |id: &InstanceId| recorded.get(id).is_some_and(|stop| followed.get(id) == Some(stop));
        for (host, of_host) in &mut self.by_host {
            let before = of_host.len();
            of_host.retain(|held| is_unchanged(&held.id));
            if of_host.len() != before {
                changed.push(host.clone());
            }
        }
        self.by_host.retain(|_, of_host| !of_host.is_empty());
        for (id, stop) in recorded.iter().filter(|(id, stop)| followed.get(id) != Some(stop)) {
            self.insert(id.clone(), stop.clone(), Some(now));
            changed.push(id.host.clone());
        }
        changed
    }

    /// Returns the hosts with stops that a report has yet to show: time alone can end these.
    pub(crate) fn unseen_hosts(&self) -> impl Iterator<Item = &Name> {
        let is_unseen = |of_host: &[TrackedStop]| of_host.iter().any(|held| held.unseen_since.is_some());
        self.by_host.iter().filter(move |(_, of_host)| is_unseen(of_host)).map(|(host, _)| host)
    }

    /// Sets the stop of an instance that was evaluated at `now`, which is `wall` by this host's clock. If the
    /// instance runs or is being started again, removes the stop and returns the instance.
    pub(crate) fn apply_to(
        &mut self,
        id: &InstanceId,
        instance: &mut InstanceOverview,
        now: Instant,
        wall: Timestamp,
    ) -> Option<InstanceId> {
        let of_host = self.by_host.get_mut(&id.host)?;
        let at = of_host.iter().position(|held| held.id == *id)?;
        let held = &mut of_host[at];
        let cause = instance.down_cause.as_ref();
        let is_over = match instance.state {
            Some(state) if state.is_stopped() => {
                let is_over = cause.is_some_and(|cause| ended_in_later_run(cause, &held.stop, wall));
                if !is_over {
                    held.unseen_since = None;
                    let own = cause.map_or_else(|| "it is not running".to_owned(), ToString::to_string);
                    instance.reason = instance.reason.replacen(&own, &held.stop.to_string(), 1);
                    instance.stopped_by = Some(Box::new(held.stop.clone()));
                }
                is_over
            }
            Some(state) if state.is_started() => {
                let may_be_older = |since| now.saturating_duration_since(since) < REPORT_DELAY;
                !held.unseen_since.is_some_and(may_be_older)
            }
            // The state is unknown, or the instance is being stopped again.
            Some(_) | None => false,
        };
        let ended = is_over.then(|| of_host.swap_remove(at).id);
        if of_host.is_empty() {
            self.by_host.remove(&id.host);
        }
        ended
    }

    /// Follows a step of this host's clock, so that stops keep their ages.
    pub(crate) fn shift_clock(&mut self, step: SignedDuration, began: Timestamp) {
        let stops = self.by_host.values_mut().flatten().map(|held| &mut held.stop.at);
        stops.filter(|at| **at >= began).for_each(|at| *at = at.checked_add(step).unwrap_or(*at));
    }

    /// Removes the stops of instances that are not in `graph` any more. Returns those instances.
    pub(crate) fn drop_removed(&mut self, graph: &DependencyGraph) -> Vec<InstanceId> {
        if self.by_host.is_empty() {
            return Vec::new();
        }
        let known: HashSet<&InstanceId> = (0..graph.len()).map(|at| graph.id(at)).collect();
        let mut removed = Vec::new();
        self.by_host.retain(|_, of_host| {
            of_host.retain(|held| {
                let is_known = known.contains(&held.id);
                if !is_known {
                    removed.push(held.id.clone());
                }
                is_known
            });
            !of_host.is_empty()
        });
        removed
    }
}

/// Returns true if the instance ran again after `stop`, unobserved, and ended after that.
fn ended_in_later_run(cause: &DownCause, stop: &PlannedStop, now: Timestamp) -> bool {
    let is_after = |time: Timestamp, other| time.duration_since(other) > CLOCK_ERROR;
    // A stop of the future was noted by a clock that was wrong, and says nothing of the order.
    let is_later = is_after(cause.at, stop.at) || is_after(stop.at, now);
    let is_another = match &cause.kind {
        DownKind::NeverSeen => false,
        DownKind::Stopped { by } => by.user != stop.by.user || is_after(cause.at, stop.at),
        DownKind::StartFailed { .. }
        | DownKind::Exited { .. }
        | DownKind::Killed { .. }
        | DownKind::Rebooted
        | DownKind::Unwatched
        | DownKind::Unknown
        | DownKind::Unmatched { .. } => true,
    };
    is_another && (is_later || matches!(cause.kind, DownKind::Stopped { .. }))
}

#[cfg(test)]
mod tests {
    use rta_shared::action::Requester;
    use rta_shared::overview::Health;
    use rta_shared::report::State;

    use super::*;
    use crate::sample_overview::instance;

    /// A time after every stop of these tests.
    fn wall() -> Timestamp {
        Timestamp::from_second(10_000).unwrap()
    }

    #[test]
    fn stop_of_the_record_survives_a_step_of_the_followers_clock() {
        let id = InstanceId { environment: "DEV".into(), host: "h".into(), component: "app".into() };
        let stop = PlannedStop { plan: 5, by: Requester::default(), at: Timestamp::UNIX_EPOCH };
        let (now, recorded) = (Instant::now(), HashMap::from([(id.clone(), stop)]));
        let mut stops = PlannedStops::default();
        assert_eq!(stops.follow_record(&recorded, now), std::slice::from_ref(&id.host));
        stops.shift_clock(SignedDuration::from_secs(60), Timestamp::UNIX_EPOCH);
        assert!(stops.follow_record(&recorded, now).is_empty());
        let mut stopped = instance("app", Some(State::Stopped), Health::Down);
        assert_eq!(stops.apply_to(&id, &mut stopped, now, wall()), None);
        assert!(stopped.stopped_by.is_some());
    }

    #[test]
    fn stop_is_told_until_the_instance_runs_again() {
        let id = InstanceId { environment: "DEV".into(), host: "h".into(), component: "app".into() };
        let noted = Instant::now();
        let show = |stops: &mut PlannedStops, state, health, now: Instant| {
            let mut shown = instance("app", Some(state), health);
            shown.reason = "it is not running; it also lacks zoo".to_owned();
            let ended = stops.apply_to(&id, &mut shown, now, wall());
            (shown, ended)
        };
        let stop = PlannedStop {
            plan: 5,
            by: Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() },
            at: Timestamp::UNIX_EPOCH,
        };
        let mut stops = PlannedStops::new(HashMap::from([(id.clone(), stop.clone())]));
        let (shown, ended) = show(&mut stops, State::Stopped, Health::Down, noted);
        assert_eq!(shown.stopped_by.as_deref(), Some(&stop));
        assert_eq!(shown.reason, "stopped by ann (plan 5); it also lacks zoo");
        let later = Timestamp::from_second(120).unwrap();
        assert_eq!(shown.reason_at(later), "stopped by ann 2 min ago (plan 5); it also lacks zoo");
        assert_eq!(ended, None);
        let (shown, ended) = show(&mut stops, State::Running, Health::Up, noted);
        assert_eq!((shown.stopped_by, ended), (None, Some(id.clone())));
        // A later end by itself is no stop by the plan.
        let (shown, _) = show(&mut stops, State::Stopped, Health::Down, noted);
        assert_eq!(shown.stopped_by, None);
    }

    #[test]
    fn stop_is_over_where_the_agent_knows_a_later_end() {
        let id = InstanceId { environment: "DEV".into(), host: "h".into(), component: "app".into() };
        let at = Timestamp::from_second(1_000).unwrap();
        let holds_at = |kind, seconds_later: i64, at| {
            let stop = PlannedStop { plan: 5, by: Requester::default(), at };
            let mut down = instance("app", Some(State::Stopped), Health::Down);
            let at = Timestamp::from_second(1_000 + seconds_later).unwrap();
            let cause = DownCause { at, kind, last_log_line: None };
            down.reason = format!("{cause}; it also lacks zoo");
            down.down_cause = Some(Box::new(cause));
            let mut stops = PlannedStops::new(HashMap::from([(id.clone(), stop.clone())]));
            let ended = stops.apply_to(&id, &mut down, Instant::now(), wall());
            assert_eq!(ended.is_none(), down.stopped_by.is_some());
            let reason = "stopped by somebody (plan 5); it also lacks zoo";
            assert_eq!(down.reason == reason, ended.is_none(), "{}", down.reason);
            ended.is_none()
        };
        let holds = |kind, seconds_later| holds_at(kind, seconds_later, at);
        let killed = || DownKind::Killed { signal: 9, is_clean: false, out_of_memory: false };
        assert!(!holds(killed(), 60));
        assert!(holds(killed(), -1));
        assert!(!holds(DownKind::Unwatched, 60));
        let stopped_by = |user: &str| DownKind::Stopped {
            by: Requester { user: user.to_owned(), address: String::new() },
        };
        assert!(holds(stopped_by(""), 0));
        // Somebody started it, and stopped it again.
        assert!(!holds(stopped_by(""), 60));
        assert!(!holds(stopped_by("bob"), 60));
        assert!(holds(DownKind::NeverSeen, 60));
        // The stop was noted by a clock that was hours ahead.
        let ahead = Timestamp::from_second(20_000).unwrap();
        assert!(!holds_at(killed(), 60, ahead));
        assert!(holds_at(DownKind::NeverSeen, 60, ahead));
    }

    #[test]
    fn report_from_before_the_stop_does_not_end_it() {
        let id = || InstanceId { environment: "DEV".into(), host: "h".into(), component: "app".into() };
        let stop = PlannedStop { plan: 5, by: Requester::default(), at: Timestamp::UNIX_EPOCH };
        let mut stops = PlannedStops::default();
        let now = Instant::now();
        stops.add(id(), stop, now);
        let show = |stops: &mut PlannedStops, state, now| {
            let mut shown = instance("app", Some(state), Health::Up);
            let ended = stops.apply_to(&id(), &mut shown, now, wall());
            (ended, shown.stopped_by.is_some())
        };
        assert_eq!(show(&mut stops, State::Running, now), (None, false));
        assert_eq!(stops.unseen_hosts().collect::<Vec<_>>(), ["h"]);
        assert_eq!(show(&mut stops, State::Stopped, now), (None, true));
        assert_eq!(stops.unseen_hosts().count(), 0);
        assert_eq!(show(&mut stops, State::Starting, now), (Some(id()), false));
        // If no report shows the stop in time, an unobserved start followed it.
        stops.add(id(), PlannedStop { plan: 6, by: Requester::default(), at: Timestamp::UNIX_EPOCH }, now);
        assert_eq!(show(&mut stops, State::Running, now + 2 * REPORT_DELAY), (Some(id()), false));
    }
}
