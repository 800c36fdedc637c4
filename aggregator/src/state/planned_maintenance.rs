//! Planned maintenance. Pure: the state actor owns it, because it begins the windows.

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::config::Platform;
use rta_shared::event::{Event, EventKind};
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::planned_maintenance::{
    DueWindow, MaintenanceWindow, PlannedMaintenance, Recurrence, UpcomingMaintenance, local_time,
};
use rta_shared::sanitize::printable;

use crate::state::maintenance::resolve_places;
use crate::store::HostOrInstance;

/// Number of next windows that are listed.
const LISTED_WINDOWS: usize = 3;

/// Planned maintenance, in the order of its IDs.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlannedMaintenances {
    all: Vec<PlannedMaintenance>,
    /// Highest ID in use.
    last_id: u64,
}

/// Windows that have begun since the last check, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct DueMaintenance {
    /// Maintenance to begin.
    pub(crate) begin: Vec<Maintenance>,
    /// Events of windows that did not begin.
    pub(crate) events: Vec<Event>,
    /// True if the planned maintenance has changed.
    pub(crate) is_changed: bool,
}

impl PlannedMaintenances {
    /// Creates what an earlier aggregator left; `last_id` is the highest ID in use.
    pub(crate) fn new((all, last_id): (Vec<PlannedMaintenance>, u64)) -> Self {
        Self { all, last_id }
    }

    pub(crate) fn all(&self) -> &[PlannedMaintenance] {
        &self.all
    }

    pub(crate) fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Adds the environment of a platform that has one to the plans that name none, and removes those that
    /// are of another one.
    pub(crate) fn adopt_plans(&mut self, platform: &Platform) {
        let [environment] = platform.environments.as_slice() else { return };
        self.all.retain_mut(|planned| {
            if !planned.environment.is_empty() {
                return true;
            }
            let is_known = resolve_places(platform, &planned.selector(), planned.all).is_ok();
            planned.environment = environment.name.as_str().to_owned();
            is_known
        });
    }

    /// Adds a plan under its ID, or under a new one if that is 0, and returns it.
    pub(crate) fn add(&mut self, planned: PlannedMaintenance) -> PlannedMaintenance {
        let id = if planned.id == 0 { self.last_id + 1 } else { planned.id };
        self.last_id = self.last_id.max(id);
        let planned = PlannedMaintenance { id, ..planned };
        self.all.push(planned.clone());
        planned
    }

    /// Removes and returns the plan with this ID.
    pub(crate) fn cancel(&mut self, id: u64) -> Option<PlannedMaintenance> {
        let at = self.all.iter().position(|planned| planned.id == id)?;
        Some(self.all.remove(at))
    }

    /// Returns the begin of the next window of all plans, which is past for one that is due; `None` if there
    /// is none.
    pub(crate) fn next_begin(&self, now: Timestamp) -> Option<Timestamp> {
        let next = |planned: &PlannedMaintenance| match planned.due_window(now).ok()? {
            Some(DueWindow::Current(window) | DueWindow::Missed(window)) => Some(window),
            None => planned.next_windows(now, 1).ok()?.first().copied(),
        };
        self.all.iter().filter_map(next).map(|window| window.begin).min()
    }

    /// Takes the windows that have begun. What is in `active` maintenance for as long already stays in that.
    pub(crate) fn take_due(
        &mut self,
        platform: &Platform,
        active: &[Maintenance],
        now: Timestamp,
    ) -> DueMaintenance {
        let mut due = DueMaintenance::default();
        for planned in &mut self.all {
            planned.correct_clock(now);
            match planned.due_window(now) {
                Ok(Some(DueWindow::Current(window))) => {
                    match resolve_places(platform, &planned.selector(), planned.all) {
                        Ok(places) => {
                            let new = places
                                .into_iter()
                                .map(|place| window_maintenance(planned, place, window, now));
                            for new in new.filter(|new| !is_covered(new, active)) {
                                // Another plan that is due may cover it, or be covered by it.
                                if !is_covered(&new, &due.begin) {
                                    due.begin.retain(|one| !is_covered(one, std::slice::from_ref(&new)));
                                    due.begin.push(new);
                                }
                            }
                        }
                        Err(error) => due.events.push(unbegun_event(planned, window, now, &error.message)),
                    }
                    planned.mark_handled(window.begin);
                    due.is_changed = true;
                }
                Ok(Some(DueWindow::Missed(window))) => {
                    let why = "no aggregator ran that could begin it";
                    due.events.push(unbegun_event(planned, window, now, why));
                    planned.mark_handled(window.begin);
                    due.is_changed = true;
                }
                // An unknown time zone is an impairment.
                Ok(None) | Err(_) => {}
            }
        }
        // A single window that has begun is active maintenance, or was reported.
        let is_done = |planned: &PlannedMaintenance| {
            matches!(planned.recurrence, Recurrence::At(_)) && planned.handled > planned.created_at
        };
        self.all.retain(|planned| !is_done(planned));
        due
    }

    /// Returns the plans with their next windows.
    pub(crate) fn upcoming(&self, platform: &Platform, now: Timestamp) -> Vec<UpcomingMaintenance> {
        self.all.iter().map(|planned| upcoming(planned, platform, now)).collect()
    }

    /// Returns a sentence about the plans that cannot begin; `None` if all can.
    pub(crate) fn problem(&self, platform: &Platform, now: Timestamp) -> Option<String> {
        let mut problems = self.all.iter().filter_map(|planned| {
            let problem = upcoming(planned, platform, now).problem?;
            Some(format!("planned maintenance {} of {} cannot begin: {problem}", planned.id, planned.place()))
        });
        let first = problems.next()?;
        Some(match problems.count() {
            0 => first,
            more => format!("{first} (and {more} more: see rta maintenance list)"),
        })
    }
}

/// Returns a plan with its next windows.
pub(crate) fn upcoming(
    planned: &PlannedMaintenance,
    platform: &Platform,
    now: Timestamp,
) -> UpcomingMaintenance {
    let resolved = resolve_places(platform, &planned.selector(), planned.all).map_err(|error| error.message);
    let windows = planned.next_windows(now, LISTED_WINDOWS);
    let problem = windows.as_ref().err().cloned().or(resolved.err());
    UpcomingMaintenance { planned: planned.clone(), next: windows.unwrap_or_default(), problem }
}

fn window_maintenance(
    planned: &PlannedMaintenance,
    place: HostOrInstance,
    window: MaintenanceWindow,
    now: Timestamp,
) -> Maintenance {
    let HostOrInstance { environment, host, component } = place;
    Maintenance {
        environment,
        host,
        component,
        since: now,
        until: Some(window.end),
        reason: planned.reason.clone(),
        by: planned.by.clone(),
    }
}

/// Returns true if the place is in maintenance until then, or longer, already.
fn is_covered(new: &Maintenance, active: &[Maintenance]) -> bool {
    active.iter().any(|one| {
        one.host == new.host
            && one.component == new.component
            && (one.until.is_none() || one.until >= new.until)
    })
}

/// Creates the event of a new plan.
pub(crate) fn planned_event(planned: &PlannedMaintenance, next: Option<MaintenanceWindow>) -> Event {
    let mut text =
        format!("maintenance {} of {} planned: {}", planned.id, shown_place(planned), planned.sentence());
    if let Some(window) = next {
        text.push_str(&format!("; next {}", local_time(window.begin, &planned.time_zone)));
    }
    new_event(planned, planned.created_at, text, Some(planned.by.clone()))
}

/// Creates the event of a cancelled plan.
pub(crate) fn cancelled_event(planned: &PlannedMaintenance, at: Timestamp, by: Requester) -> Event {
    let text = format!(
        "planned maintenance {} of {} cancelled: {}",
        planned.id,
        shown_place(planned),
        planned.sentence()
    );
    new_event(planned, at, text, Some(by))
}

fn unbegun_event(planned: &PlannedMaintenance, window: MaintenanceWindow, at: Timestamp, why: &str) -> Event {
    let text = format!(
        "planned maintenance {} of {} from {} to {} did not begin: {why}",
        planned.id,
        shown_place(planned),
        local_time(window.begin, &planned.time_zone),
        local_time(window.end, &planned.time_zone)
    );
    new_event(planned, at, text, None)
}

fn shown_place(planned: &PlannedMaintenance) -> String {
    printable(&planned.place()).into_owned()
}

fn new_event(planned: &PlannedMaintenance, at: Timestamp, text: String, by: Option<Requester>) -> Event {
    let name = |name: &str| (!name.is_empty()).then(|| Name::from(name));
    // Without `from` and `to`: nothing begins or ends by it.
    Event {
        environment: name(&planned.environment),
        host: name(&planned.host),
        component: name(&planned.component),
        by,
        ..Event::new(at, EventKind::Maintenance, text)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use rta_shared::config::{Source, load_sources};

    use super::*;

    fn platform() -> Platform {
        let text = r#"
            [[component]]
            name = "kafka"
            criteria = [{ regex = 'kafka' }]
            [[environment]]
            name = "DEV"
            host = [{ name = "d1", components = ["kafka"] }, { name = "d2", components = ["kafka"] }]
        "#;
        load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn plan(recurrence: Recurrence) -> PlannedMaintenance {
        PlannedMaintenance {
            id: 0,
            environment: "DEV".to_owned(),
            host: String::new(),
            component: String::new(),
            all: false,
            recurrence,
            length_seconds: 7200,
            time_zone: "UTC".to_owned(),
            reason: "patches".to_owned(),
            by: Requester { user: "ann".to_owned(), address: String::new() },
            created_at: at("2026-11-29T12:00:00Z"),
            handled: at("2026-11-29T12:00:00Z"),
        }
    }

    #[test]
    fn due_window_is_the_next_to_begin_and_the_longest_of_a_place_begins_alone() {
        let noon = at("2026-11-30T12:00:00Z");
        let mut planned = PlannedMaintenances::default();
        for length_seconds in [3600, 7200, 1800] {
            planned.add(PlannedMaintenance {
                host: "d1".to_owned(),
                length_seconds,
                ..plan(Recurrence::At(jiff::civil::date(2026, 11, 30).at(12, 0, 0, 0)))
            });
        }
        let late = noon + SignedDuration::from_secs(5);
        assert_eq!(planned.next_begin(late), Some(noon), "a due window is not forgotten");
        let due = planned.take_due(&platform(), &[], late);
        let ends: Vec<_> = due.begin.iter().map(|one| one.until).collect();
        assert_eq!(ends, [Some(noon + SignedDuration::from_hours(2))]);
        assert_eq!(planned.next_begin(late), None);
    }

    fn weekly() -> PlannedMaintenances {
        let mut planned = PlannedMaintenances::default();
        planned.add(plan(Recurrence::parse_every("sat 02:00").unwrap()));
        planned
    }

    #[test]
    fn window_begins_on_all_hosts_once_and_late_for_its_rest() {
        let mut planned = weekly();
        assert_eq!(planned.next_begin(at("2026-11-30T00:00:00Z")), Some(at("2026-12-05T02:00:00Z")));
        assert!(!planned.take_due(&platform(), &[], at("2026-12-05T01:59:59Z")).is_changed);
        let now = at("2026-12-05T03:30:00Z");
        let due = planned.take_due(&platform(), &[], now);
        let begun: Vec<_> = due.begin.iter().map(|one| (one.host.as_str(), one.since, one.until)).collect();
        let end = Some(at("2026-12-05T04:00:00Z"));
        assert_eq!(begun, [("d1", now, end), ("d2", now, end)]);
        assert!(due.events.is_empty() && due.is_changed);
        // An operator has ended it early; it does not begin again.
        let later = planned.take_due(&platform(), &[], now + SignedDuration::from_secs(60));
        assert!(later.begin.is_empty() && !later.is_changed);
        assert_eq!(planned.next_begin(now), Some(at("2026-12-12T02:00:00Z")));
    }

    #[test]
    fn longer_maintenance_is_not_shortened() {
        let mut planned = weekly();
        let now = at("2026-12-05T02:00:00Z");
        let active = |host: &str, until: Option<&str>| Maintenance {
            environment: "DEV".into(),
            host: host.into(),
            component: None,
            since: now,
            until: until.map(at),
            reason: "disks".to_owned(),
            by: Requester::default(),
        };
        let active = [active("d1", None), active("d2", Some("2026-12-05T03:00:00Z"))];
        let due = planned.take_due(&platform(), &active, now);
        assert_eq!(due.begin.iter().map(|one| one.host.as_str()).collect::<Vec<_>>(), ["d2"]);
    }

    #[test]
    fn missed_window_and_removed_hosts_are_reported() {
        let mut planned = weekly();
        let due = planned.take_due(&platform(), &[], at("2026-12-05T04:00:00Z"));
        assert!(due.begin.is_empty());
        assert_eq!(
            due.events[0].text,
            "planned maintenance 1 of DEV from Sat 2026-12-05 02:00 UTC to Sat 2026-12-05 04:00 UTC did not begin: \
             no aggregator ran that could begin it"
        );
        assert_eq!(due.events[0].to, None);
        planned.add(PlannedMaintenance {
            host: "gone".to_owned(),
            ..plan(Recurrence::parse_every("day 05:00").unwrap())
        });
        let now = at("2026-12-06T00:00:00Z");
        let problem = planned.problem(&platform(), now).unwrap();
        assert!(
            problem.starts_with("planned maintenance 2 of DEV/gone cannot begin: host \"gone\""),
            "{problem}"
        );
        let due = planned.take_due(&platform(), &[], at("2026-12-06T05:00:00Z"));
        assert!(due.begin.is_empty() && due.events[0].text.contains("did not begin: host \"gone\""));
        planned.cancel(2).unwrap();
        assert_eq!(planned.problem(&platform(), now), None);
    }

    #[test]
    fn single_window_is_removed_once_it_began_and_ids_are_not_used_again() {
        let mut planned = PlannedMaintenances::default();
        let once = planned.add(plan(Recurrence::parse_at("2026-12-05 02:00").unwrap()));
        assert_eq!((once.id, planned.cancel(7)), (1, None));
        assert_eq!(planned.take_due(&platform(), &[], at("2026-12-05T02:00:00Z")).begin.len(), 2);
        assert!(planned.all().is_empty());
        assert_eq!(planned.add(PlannedMaintenance { id: 0, ..once }).id, 2);
    }
}
