//! Active maintenance. Pure: the state actor owns it, because the overview shows it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::config::Platform;
use rta_shared::event::{Event, EventKind};
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::selector::{HostRef, NameIndex, Purpose, Selector};
use tonic::Code;

use crate::operation_error::{OperationError, not_found};
use crate::store::HostOrInstance;

/// Active maintenance, as it is sent to the agents.
pub(crate) type MaintenanceSnapshot = Arc<KnownMaintenance>;

/// Known maintenance. The absence of maintenance may be unknown: an aggregator that cannot read its store, or
/// has none, does not know which maintenance an earlier one began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownMaintenance {
    all: Vec<Maintenance>,
    /// Hosts whose maintenance is known: those that were in maintenance, with a component or as a whole.
    hosts: HashSet<Name>,
}

impl KnownMaintenance {
    pub(crate) fn all(&self) -> &[Maintenance] {
        &self.all
    }

    /// Returns the maintenance on `host`; `None` if it is unknown, so that the agent keeps the last received
    /// one.
    pub(crate) fn of_host(&self, host: &Name) -> Option<Vec<Maintenance>> {
        let own: Vec<Maintenance> = self.all.iter().filter(|one| one.host == *host).cloned().collect();
        (!own.is_empty() || self.hosts.contains(host)).then_some(own)
    }
}

/// Resolves the selected instances, or without a component the selected hosts, in the configuration's order;
/// at least one. With `all` several instances may match, or everything.
///
/// # Errors
/// Returns an error if nothing is named, if a name is unknown, or if several instances match without `all`.
pub(crate) fn resolve_places(
    platform: &Platform,
    selector: &Selector,
    all: bool,
) -> Result<Vec<HostOrInstance>, OperationError> {
    if selector.is_empty() && !all {
        let message = "name a component, a host or an environment, or write --all";
        return Err(OperationError::new(Code::InvalidArgument, message));
    }
    let index = NameIndex::from(platform);
    let selection = selector.resolve(&index, Purpose::Acting)?;
    if selection.component.is_some() && !all {
        selection.one("name the environment or the host, or write --all")?;
    }
    let place = |host: &HostRef<'_>| HostOrInstance {
        environment: host.environment.clone(),
        host: host.name.clone(),
        component: selection.component.cloned(),
    };
    match selection.hosts.is_empty() {
        true => Err(not_found("there is no host".to_owned())),
        false => Ok(selection.hosts.iter().map(place).collect()),
    }
}

/// Maintenance that is active now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActiveMaintenance {
    known: KnownMaintenance,
    /// Positions in the known maintenance, by host.
    by_host: HashMap<Name, Vec<usize>>,
    next_end: Option<Timestamp>,
}

impl ActiveMaintenance {
    /// Creates the maintenance `all`; that of `hosts` is known.
    pub(crate) fn new(all: Vec<Maintenance>, hosts: HashSet<Name>) -> Self {
        let mut active = Self { known: KnownMaintenance { all, hosts }, ..Self::default() };
        active.update_index();
        active
    }

    pub(crate) fn known(&self) -> &KnownMaintenance {
        &self.known
    }

    /// Begins maintenance; each replaces that of the same instance or host.
    pub(crate) fn begin(&mut self, new: &[Maintenance]) {
        let same = |a: &Maintenance, b: &Maintenance| a.host == b.host && a.component == b.component;
        self.known.all.retain(|old| !new.iter().any(|new| same(new, old)));
        self.known.all.extend_from_slice(new);
        self.known.hosts.extend(new.iter().map(|one| one.host.clone()));
        self.update_index();
    }

    /// Ends and returns the maintenance for which `is_over` returns true.
    pub(crate) fn end(&mut self, is_over: impl Fn(&Maintenance) -> bool) -> Vec<Maintenance> {
        let ended: Vec<Maintenance> = self.known.all.extract_if(.., |one| is_over(one)).collect();
        self.known.hosts.extend(ended.iter().map(|one| one.host.clone()));
        self.update_index();
        ended
    }

    /// Replaces all maintenance by that which another aggregator has recorded. Returns the hosts whose
    /// maintenance has changed.
    pub(crate) fn replace(&mut self, all: &[Maintenance]) -> Vec<Name> {
        let before = std::mem::replace(&mut self.known.all, all.to_vec());
        self.known.hosts.extend(all.iter().map(|one| one.host.clone()));
        self.update_index();
        let ended = before.iter().filter(|one| !all.contains(one));
        let begun = all.iter().filter(|one| !before.contains(one));
        ended.chain(begun).map(|one| one.host.clone()).collect()
    }

    /// Marks the maintenance of these hosts as known. Returns true if that of any host was unknown.
    pub(crate) fn mark_known(&mut self, hosts: impl IntoIterator<Item = Name>) -> bool {
        let before = self.known.hosts.len();
        self.known.hosts.extend(hosts);
        self.known.hosts.len() > before
    }

    /// Moves hosts to the environments that `platform` has them in.
    pub(crate) fn follow_platform(&mut self, platform: &Platform) {
        for one in &mut self.known.all {
            if let Some(host) = platform.hosts().find(|host| host.name == one.host) {
                one.environment = host.environment.clone();
            }
        }
    }

    /// Returns the next end by expiry.
    pub(crate) fn next_end(&self) -> Option<Timestamp> {
        self.next_end
    }

    /// Returns the maintenance of a whole host.
    pub(crate) fn of_whole_host(&self, host: &Name) -> Option<&Maintenance> {
        self.of_host(host).find(|one| one.component.is_none())
    }

    /// Returns the maintenance of an instance itself; that of its host applies too.
    pub(crate) fn of_instance(&self, host: &Name, component: &Name) -> Option<&Maintenance> {
        self.of_host(host).find(|one| one.component.as_ref() == Some(component))
    }

    fn of_host(&self, host: &Name) -> impl Iterator<Item = &Maintenance> {
        let positions = self.by_host.get(host).into_iter().flatten();
        positions.filter_map(|at| self.known.all.get(*at))
    }

    fn update_index(&mut self) {
        self.by_host.clear();
        for (at, one) in self.known.all.iter().enumerate() {
            self.by_host.entry(one.host.clone()).or_default().push(at);
        }
        self.next_end = self.known.all.iter().filter_map(|one| one.until).min();
    }
}

/// Returns true if an end of `off` ends this maintenance; the end of a host includes its instances.
pub(crate) fn is_ended_by(one: &Maintenance, off: &HostOrInstance) -> bool {
    one.host == off.host && (off.component.is_none() || one.component == off.component)
}

/// Returns the reason why nothing ends although `off` is in maintenance, as part of its host; `None` if it is
/// not.
pub(crate) fn explain_host_maintenance(all: &[Maintenance], off: &[HostOrInstance]) -> Option<String> {
    let place = off.iter().find(|place| {
        place.component.is_some() && all.iter().any(|one| one.host == place.host && one.component.is_none())
    })?;
    Some(format!(
        "{place} is in maintenance with its whole host: end that of host {}, without naming a component",
        place.host
    ))
}

/// Returns true if the platform still has the host or instance.
pub(crate) fn is_configured(platform: &Platform, one: &Maintenance) -> bool {
    platform.hosts().any(|host| {
        host.name == one.host && one.component.as_ref().is_none_or(|component| host.carries(component))
    })
}

fn place(one: &Maintenance) -> HostOrInstance {
    let Maintenance { environment, host, component, .. } = one;
    HostOrInstance { environment: environment.clone(), host: host.clone(), component: component.clone() }
}

/// Creates the event of a begin.
pub(crate) fn begin_event(one: &Maintenance) -> Event {
    let mut text = format!("maintenance of {} began", place(one));
    match one.until {
        Some(until) => text.push_str(&until.strftime(", until %Y-%m-%d %H:%M:%S UTC").to_string()),
        None => text.push_str(", until it is ended"),
    }
    if !one.reason.is_empty() {
        text = format!("{text}: {}", one.reason);
    }
    new_event(one, one.since, ("off", "on"), text, Some(one.by.clone()))
}

/// Creates the event of an end, by a requester or for the reason `why`.
pub(crate) fn end_event(one: &Maintenance, at: Timestamp, why: &str, by: Option<&Requester>) -> Event {
    let text = match why {
        "" => format!("maintenance of {} ended", place(one)),
        why => format!("maintenance of {} ended: {why}", place(one)),
    };
    new_event(one, at, ("on", "off"), text, by.cloned())
}

fn new_event(
    one: &Maintenance,
    at: Timestamp,
    (from, to): (&str, &str),
    text: String,
    by: Option<Requester>,
) -> Event {
    let HostOrInstance { environment, host, component } = place(one);
    Event {
        id: 0,
        at,
        kind: EventKind::Maintenance,
        environment: Some(environment),
        host: Some(host),
        component,
        from: Some(from.to_owned()),
        to: Some(to.to_owned()),
        text,
        by,
        plan: None,
        incident: None,
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
            name = "kafka server"
            aliases = ["kafka"]
            criteria = [{ regex = 'kafka' }]
            [[component]]
            name = "spark"
            criteria = [{ regex = 'spark' }]
            [[environment]]
            name = "DEV"
            host = [{ name = "d1", components = ["kafka server", "spark"] }, { name = "d2", components = ["kafka server"] }]
            [[environment]]
            name = "ITG"
            host = [{ name = "i1", components = ["kafka server"] }]
        "#;
        load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]).unwrap()
    }

    fn found(component: &str, environment: &str, host: &str, all: bool) -> Result<Vec<String>, String> {
        let selector = Selector {
            environment: environment.to_owned(),
            host: host.to_owned(),
            component: component.to_owned(),
        };
        let places = resolve_places(&platform(), &selector, all).map_err(|error| error.message)?;
        Ok(places.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn names_mean_instances_or_whole_hosts() {
        assert_eq!(found("spark", "", "", false).unwrap(), ["spark on d1"]);
        assert_eq!(found("Kafka", "dev", "", true).unwrap(), ["kafka server on d1", "kafka server on d2"]);
        assert_eq!(found("", "", "D1.example.net", false).unwrap(), ["host d1"]);
        assert_eq!(found("", "dev", "", false).unwrap(), ["host d1", "host d2"]);
        assert_eq!(found("", "", "", true).unwrap(), ["host d1", "host d2", "host i1"]);
    }

    #[test]
    fn names_that_mean_nothing_or_too_much_are_refused() {
        for (named, expected) in [
            (
                found("kafka", "", "", false),
                "is on several hosts, name the environment or the host, or write --all: DEV/d1",
            ),
            (found("", "", "", false), "name a component, a host or an environment"),
            (found("", "", "d3", false), "host \"d3\" is not known"),
            (found("", "itg", "d1", false), "host d1 is not in environment ITG; it is in DEV"),
            (found("sprak", "", "", true), "did you mean \"spark\"?"),
        ] {
            let error = named.unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    fn maintenance(host: &str, component: Option<&str>, seconds: Option<i64>) -> Maintenance {
        let since = Timestamp::UNIX_EPOCH;
        Maintenance {
            environment: "DEV".into(),
            host: host.into(),
            component: component.map(Into::into),
            since,
            until: seconds.map(|seconds| since + SignedDuration::from_secs(seconds)),
            reason: format!("{host} {seconds:?}"),
            by: Requester::default(),
        }
    }

    #[test]
    fn of_a_host_that_nobody_ever_spoke_of_nothing_is_known() {
        let of = |current: &ActiveMaintenance, host: &str| {
            current.known().of_host(&host.into()).map(|own| own.len())
        };
        let mut current =
            ActiveMaintenance::new(vec![maintenance("d1", None, Some(5))], HashSet::from(["d2".into()]));
        assert_eq!((of(&current, "d1"), of(&current, "d2"), of(&current, "d3")), (Some(1), Some(0), None));
        current.end(|one| one.host == *"d1");
        assert_eq!(of(&current, "d1"), Some(0));
        assert!(current.mark_known(["d3".into()]) && !current.mark_known(["d3".into()]));
        assert_eq!(of(&current, "d3"), Some(0));
    }

    #[test]
    fn it_goes_with_a_host_into_another_environment() {
        let mut current = ActiveMaintenance::default();
        let elsewhere = Maintenance { environment: "ITG".into(), ..maintenance("d1", None, None) };
        current.begin(&[elsewhere]);
        current.follow_platform(&platform());
        assert_eq!(current.known().all()[0].environment, *"DEV");
        current.begin(&[maintenance("d1", None, Some(5))]);
        assert_eq!(current.known().all().len(), 1);
    }

    #[test]
    fn maintenance_is_found_by_host_and_component() {
        let mut current = ActiveMaintenance::default();
        current.begin(&[maintenance("c9t21193", None, None)]);
        current.begin(&[maintenance("c2t08978", Some("Novelty Detector"), Some(5))]);
        let reason = |one: Option<&Maintenance>| one.map(|one| one.reason.clone());
        let explained: Vec<_> =
            [("c9t21193", "kafka"), ("c2t08978", "novelty detector"), ("c2t08978", "kafka")]
                .iter()
                .map(|(host, component)| {
                    let (host, component) = ((*host).into(), (*component).into());
                    (reason(current.of_whole_host(&host)), reason(current.of_instance(&host, &component)))
                })
                .collect();
        let whole = Some("c9t21193 None".to_owned());
        let own = Some("c2t08978 Some(5)".to_owned());
        assert_eq!(explained, [(whole, None), (None, own), (None, None)]);
    }

    #[test]
    fn what_is_set_again_is_replaced_and_what_is_over_ends() {
        let mut current = ActiveMaintenance::default();
        current.begin(&[maintenance("a", None, Some(9)), maintenance("a", Some("c"), Some(3))]);
        current.begin(&[maintenance("A", None, Some(5))]);
        assert_eq!(current.next_end(), Some(Timestamp::UNIX_EPOCH + SignedDuration::from_secs(3)));
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(5);
        assert_eq!(current.end(|one| one.is_over(now)).len(), 2);
        assert_eq!((current.known().all().len(), current.next_end()), (0, None));
    }

    #[test]
    fn off_for_a_host_ends_everything_on_it_and_off_for_an_instance_itself() {
        let all =
            [maintenance("a", None, None), maintenance("a", Some("c"), None), maintenance("b", None, None)];
        let off = |host: &str, component: Option<&str>| HostOrInstance {
            environment: "DEV".into(),
            host: host.into(),
            component: component.map(Into::into),
        };
        let ended =
            |place: &HostOrInstance| all.iter().map(|one| is_ended_by(one, place)).collect::<Vec<_>>();
        assert_eq!(ended(&off("a", None)), [true, true, false]);
        assert_eq!(ended(&off("a", Some("c"))), [false, true, false]);
        assert_eq!(ended(&off("b", Some("c"))), [false; 3]);
        let explained = explain_host_maintenance(&all, &[off("b", Some("c"))]).unwrap();
        assert!(
            explained.starts_with("c on b is in maintenance with its whole host: end that of host b"),
            "{explained}"
        );
        assert_eq!(explain_host_maintenance(&all, &[off("z", Some("c")), off("z", None)]), None);
    }

    #[test]
    fn events_say_what_until_when_and_why() {
        let one = maintenance("a", None, Some(5));
        assert_eq!(
            begin_event(&one).text,
            "maintenance of host a began, until 1970-01-01 00:00:05 UTC: a Some(5)"
        );
        let event = end_event(&one, Timestamp::UNIX_EPOCH, "its time is over", None);
        assert_eq!(event.text, "maintenance of host a ended: its time is over");
        assert_eq!((event.from.as_deref(), event.to.as_deref()), (Some("on"), Some("off")));
    }
}
