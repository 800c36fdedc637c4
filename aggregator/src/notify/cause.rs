//! Root causes as the notifier compares them: without references into an overview, and stored as JSON.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::config::notify::Severity;
use rta_shared::name::Name;
use rta_shared::overview::{Health, Overview};
use rta_shared::root_cause::{CauseId, RootCause};
use serde::{Deserialize, Serialize};

use crate::causes::{
    CauseOutcome, CauseState, actual_root_causes, cause_outcome, cause_state, has_same_causes, on_purpose,
};

/// Maximum number of affected instances that a message names.
pub(crate) const MAX_NAMED: usize = 20;

/// Number of affected instances by health, with the names of the first ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Affected {
    /// Number of all.
    pub(crate) count: usize,
    pub(crate) degraded: usize,
    pub(crate) unknown: usize,
    pub(crate) down: usize,
    /// Full names, at most [`MAX_NAMED`].
    pub(crate) names: Vec<String>,
}

/// Reason why a root cause is not notified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "text", rename_all = "snake_case")]
pub(crate) enum Quiet {
    /// In maintenance; with the sentence.
    Maintenance(String),
    /// Stopped on purpose; with the sentence.
    OnPurpose(String),
}

/// Notes in the configuration about a root cause that messages show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CauseNotes {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) runbook: Option<String>,
}

/// Root cause at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cause {
    pub(crate) id: CauseId,
    /// Role of the host.
    pub(crate) role: Option<Name>,
    pub(crate) health: Health,
    pub(crate) severity: Severity,
    /// Reason as a sentence, without ages.
    pub(crate) reason: String,
    /// Time since which the health is so; `None`: since before the aggregator started.
    pub(crate) since: Option<Timestamp>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) runbook: Option<String>,
    pub(crate) affected: Affected,
    /// Components of a lost host, for the routes.
    pub(crate) components: Vec<Name>,
    pub(crate) quiet: Option<Quiet>,
    /// True while somebody starts, stops or restarts it.
    pub(crate) is_acted_on: bool,
}

/// Root causes at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct CauseSnapshot {
    pub(crate) causes: BTreeMap<CauseId, Cause>,
    /// Those of the requested ones that are no root causes any more; a missing one is over.
    pub(crate) outcomes: HashMap<CauseId, CauseOutcome>,
    /// States of those that are not over.
    pub(crate) undecided: HashMap<CauseId, CauseState>,
}

impl CauseSnapshot {
    /// Reads the root causes of `overview`. `notes` returns the notes of a root cause.
    fn new(overview: &Overview, notes: &dyn Fn(&CauseId) -> CauseNotes) -> Self {
        let roots = actual_root_causes(overview);
        let causes = roots.iter().map(|root| to_cause(root, notes)).map(|cause| (cause.id.clone(), cause));
        Self { causes: causes.collect(), ..Self::default() }
    }

    /// Reads what has become of the earlier root causes in `open`.
    fn follow<'o>(&mut self, overview: &Overview, open: impl Iterator<Item = &'o CauseId>) {
        let earlier = open.filter(|id| !self.causes.contains_key(*id));
        self.outcomes = earlier.map(|id| (id.clone(), cause_outcome(overview, id))).collect();
        let undecided = self.outcomes.iter().filter(|(_, outcome)| **outcome == CauseOutcome::Undecided);
        let undecided = undecided.filter_map(|(id, _)| Some((id.clone(), cause_state(overview, id)?)));
        self.undecided = undecided.collect();
    }
}

/// Reader of root causes, which does not search an overview that has the same ones as the one before.
#[derive(Debug, Default)]
pub(crate) struct CauseReader {
    last: Option<(Arc<Overview>, CauseSnapshot)>,
}

impl CauseReader {
    /// Reads the root causes of `overview`, and what has become of those in `open`. `notes` returns the notes
    /// of a root cause.
    pub(crate) fn read<'o>(
        &mut self,
        overview: &Arc<Overview>,
        open: impl Iterator<Item = &'o CauseId>,
        notes: &dyn Fn(&CauseId) -> CauseNotes,
    ) -> &CauseSnapshot {
        let last = self.last.take().filter(|(before, _)| has_same_causes(before, overview));
        let mut snapshot = last.map_or_else(|| CauseSnapshot::new(overview, notes), |(_, snapshot)| snapshot);
        snapshot.follow(overview, open);
        &self.last.insert((Arc::clone(overview), snapshot)).1
    }
}

fn to_cause(root: &RootCause<'_>, notes: &dyn Fn(&CauseId) -> CauseNotes) -> Cause {
    let id = CauseId::of(root);
    let CauseNotes { labels, runbook } = notes(&id);
    let maintenance = root.maintenance().map(|maintenance| Quiet::Maintenance(maintenance.sentence()));
    let quiet = maintenance.or_else(|| root.instance.and_then(on_purpose).map(Quiet::OnPurpose));
    let health = root.health();
    let severity = match (&quiet, root.instance, health) {
        (Some(Quiet::OnPurpose(_)), ..) => Severity::Info,
        (_, None, _) | (_, _, Health::Down) => Severity::Critical,
        _ => Severity::Warning,
    };
    let reason = match root.instance {
        Some(instance) => instance.reason.clone(),
        None => root.host.error.clone().unwrap_or_default(),
    };
    let acting = root.instance.and_then(|instance| instance.action.as_ref());
    let of = |health| root.affected.iter().filter(|one| one.instance.health == health).count();
    Cause {
        role: root.host.role.clone(),
        health,
        severity,
        reason,
        since: root.instance.and_then(|instance| instance.since),
        labels,
        runbook,
        affected: Affected {
            count: root.affected.len(),
            degraded: of(Health::Degraded),
            unknown: of(Health::Unknown),
            down: of(Health::Down),
            names: root.affected.iter().take(MAX_NAMED).map(|one| one.id().to_string()).collect(),
        },
        components: match root.instance {
            Some(_) => Vec::new(),
            None => root.host.instances.iter().map(|instance| instance.component.clone()).collect(),
        },
        quiet,
        is_acted_on: acting.is_some_and(|action| action.by != Requester::autostart()),
        id,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rta_shared::action::ActionKind;
    use rta_shared::action::ActionLock;
    use rta_shared::maintenance::Maintenance;
    use rta_shared::overview::{InstanceId, InstanceOverview};
    use rta_shared::planned_stop::PlannedStop;

    use super::*;
    use crate::sample_overview::sample;

    fn id(host: &str, component: Option<&str>) -> CauseId {
        CauseId { environment: "DEV".into(), host: host.into(), component: component.map(Name::from) }
    }

    fn snapshot(overview: &Overview, open: &[CauseId]) -> CauseSnapshot {
        let overview = Arc::new(overview.clone());
        CauseReader::default().read(&overview, open.iter(), &|_| CauseNotes::default()).clone()
    }

    #[test]
    fn overview_in_which_no_root_cause_changed_is_not_searched() {
        let searches = Cell::new(0);
        let notes = |_: &CauseId| {
            searches.set(searches.get() + 1);
            CauseNotes::default()
        };
        let mut reader = CauseReader::default();
        let mut overview = sample();
        let causes = reader.read(&Arc::new(overview.clone()), [].iter(), &notes).causes.clone();
        assert_eq!((searches.get(), causes.len()), (2, 2));
        // Times and usage, and what is asked for.
        overview.generated_at += jiff::SignedDuration::from_secs(1);
        overview.environments[0].hosts[0].scanned_at = Some(overview.generated_at);
        let open = [id("gone", None)];
        let same = reader.read(&Arc::new(overview.clone()), open.iter(), &notes);
        assert_eq!((&same.causes, same.outcomes[&open[0]]), (&causes, CauseOutcome::Removed));
        assert_eq!(searches.get(), 2);
        // Each of these may change a root cause, or what is said of it.
        kafka(&mut overview).reason = "it ended".to_owned();
        let kafka = id("c9t21193", Some("kafka server"));
        let changed = reader.read(&Arc::new(overview.clone()), [].iter(), &notes);
        assert_eq!((searches.get(), changed.causes[&kafka].reason.as_str()), (4, "it ended"));
        overview.environments[0].hosts[0].error = Some("gone".to_owned());
        reader.read(&Arc::new(overview.clone()), [].iter(), &notes);
        assert!(searches.get() > 4);
        let before = searches.get();
        overview.config_digest.push('x');
        reader.read(&Arc::new(overview), [].iter(), &notes);
        assert!(searches.get() > before);
    }

    fn kafka(overview: &mut Overview) -> &mut InstanceOverview {
        &mut overview.environments[0].hosts[0].instances[0]
    }

    fn maintenance() -> Maintenance {
        Maintenance {
            environment: "DEV".into(),
            host: "c9t21193".into(),
            component: None,
            since: Timestamp::UNIX_EPOCH,
            until: None,
            reason: "disks".to_owned(),
            by: Requester::default(),
        }
    }

    #[test]
    fn cause_has_what_it_affects_and_its_severity() {
        let found = snapshot(&sample(), &[]).causes;
        let kafka = &found[&id("c9t21193", Some("kafka server"))];
        assert_eq!(
            (kafka.severity, kafka.affected.count, kafka.affected.degraded),
            (Severity::Critical, 1, 1)
        );
        assert_eq!((kafka.reason.as_str(), &kafka.quiet), ("it is not running", &None));
        let host = &found[&id("c2t08979", None)];
        assert_eq!((host.severity, host.health), (Severity::Critical, Health::Unknown));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn host_that_has_not_been_heard_of_is_neither_good_nor_bad() {
        let mut overview = sample();
        for environment in &mut overview.environments {
            for host in &mut environment.hosts {
                (host.reachable, host.error) = (false, None);
            }
        }
        let open = [id("c9t21193", Some("kafka server")), id("c2t08979", None), id("gone", None)];
        let found = snapshot(&overview, &open);
        assert!(found.causes.is_empty(), "{found:?}");
        let outcomes = open.each_ref().map(|id| found.outcomes[id]);
        assert_eq!(outcomes, [CauseOutcome::Undecided, CauseOutcome::Undecided, CauseOutcome::Removed]);
    }

    #[test]
    fn down_instance_is_not_over_because_it_lacks_something_else() {
        let mut overview = sample();
        let open = [id("c9t21193", Some("kafka server"))];
        kafka(&mut overview).cause = Some(Box::new(InstanceId {
            environment: "DEV".into(),
            host: "z".into(),
            component: "zoo".into(),
        }));
        assert_eq!(snapshot(&overview, &open).outcomes[&open[0]], CauseOutcome::Undecided);
        kafka(&mut overview).health = Health::Degraded;
        assert_eq!(snapshot(&overview, &open).outcomes[&open[0]], CauseOutcome::Over);
    }

    #[test]
    fn maintenance_and_deliberate_stops_are_quiet_and_failures_of_their_own_are_not() {
        let mut overview = sample();
        kafka(&mut overview).maintenance = Some(Box::new(maintenance()));
        let detector = &mut overview.environments[0].hosts[1].instances[0];
        let name = detector.component.clone();
        let host = overview.environments[0].hosts[1].name.clone();
        let found = snapshot(&overview, &[]).causes;
        let expected = Some(Quiet::Maintenance("in maintenance: disks".to_owned()));
        assert_eq!(found[&id("c9t21193", Some("kafka server"))].quiet, expected);
        overview.environments[0].hosts[1].instances[0].health = Health::Down;
        let found = snapshot(&overview, &[]).causes;
        assert_eq!(found[&id(host.as_str(), Some(name.as_str()))].quiet, None);

        let mut overview = sample();
        let by = Requester { user: "ann".to_owned(), address: String::new() };
        let stop = PlannedStop { plan: 3, by: by.clone(), at: Timestamp::UNIX_EPOCH };
        kafka(&mut overview).stopped_by = Some(Box::new(stop));
        kafka(&mut overview).action =
            Some(Box::new(ActionLock { kind: ActionKind::Stop, by, since: Timestamp::UNIX_EPOCH }));
        let cause = &snapshot(&overview, &[]).causes[&id("c9t21193", Some("kafka server"))];
        assert_eq!(cause.quiet, Some(Quiet::OnPurpose("stopped by ann (plan 3)".to_owned())));
        assert_eq!((cause.severity, cause.is_acted_on), (Severity::Info, true));
    }

    #[test]
    fn environments_are_told_apart() {
        let mut overview = sample();
        let mut other = overview.environments[0].clone();
        other.name = "ITG".into();
        overview.environments.push(other);
        let environments: Vec<_> =
            snapshot(&overview, &[]).causes.into_keys().map(|id| id.environment.to_string()).collect();
        assert_eq!(environments, ["DEV", "DEV", "ITG", "ITG"]);
    }
}
