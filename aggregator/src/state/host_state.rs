//! State of the hosts as reported by their agents.

use std::collections::HashMap;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use rta_shared::config::Platform;
use rta_shared::impairment::{ImpairedPart, Impairment};
use rta_shared::name::Name;
use rta_shared::overview::AgentOverview;
use rta_shared::report::{ComponentReport, Report, ScanFigures};
use rta_shared::snapshot::Snapshot;
use rta_shared::usage::HostUsage;

use crate::agent_id::AgentId;
use crate::clock::{ClockSkew, MessageReceipt};
use crate::state::flapping::{ContactHistory, FLAPPING_REASON};

/// Update from one agent's task.
#[derive(Clone, Debug)]
pub(crate) enum AgentUpdate {
    /// Report from the stream.
    Report(Snapshot<Report>, MessageReceipt),
    /// Report that was requested separately.
    Scanned(Snapshot<Report>, MessageReceipt),
    /// Heartbeat: the agent's last report is still valid.
    Heartbeat(ScanFigures, MessageReceipt),
    /// Resource usage of the host and its matched processes.
    Usage(HostUsage),
    /// The agent does not answer, or its answer is invalid; the reason as a sentence.
    Lost(String),
}

/// State of every host. Updates are addressed by agent ID: when the configuration changes, positions shift
/// and names move from one machine to another.
#[derive(Debug, Default)]
pub(crate) struct HostStates {
    positions: HashMap<AgentId, usize>,
    hosts: Vec<HostState>,
    /// Versions of each host's state, in the same order.
    versions: Vec<HostVersions>,
    /// Version of the states of all hosts: the number of changes so far, after the time of the creation in
    /// microseconds. So the versions of one leader's term are higher than those of the terms before, as far as the
    /// clocks of the leaders agree.
    version: u64,
    /// First version with these hosts.
    first_version: u64,
}

/// Versions of [`HostStates`] that changed parts of one host's state last; 0: none.
#[derive(Clone, Copy, Debug, Default)]
struct HostVersions {
    any: u64,
    report: u64,
    usage: u64,
}

impl HostStates {
    /// Creates the state of hosts with these agents, without any report yet, at the time `now`.
    pub(crate) fn for_agents(agents: impl Iterator<Item = AgentId>, now: Timestamp) -> Self {
        let version = u64::try_from(now.as_microsecond()).unwrap_or_default();
        Self { version, ..Self::default() }.with_agents(agents)
    }

    /// Keeps the state of the hosts with these agents. Adds new ones without a report, and drops all others.
    pub(crate) fn with_agents(mut self, agents: impl Iterator<Item = AgentId>) -> Self {
        let version = self.version + 1;
        let mut after = Self { version, first_version: version, ..Self::default() };
        for (at, agent) in agents.enumerate() {
            let at_before = self.positions.get(&agent).copied();
            let known = at_before.and_then(|at| self.hosts.get_mut(at));
            after.hosts.push(known.map(std::mem::take).unwrap_or_default());
            let versions = at_before.and_then(|at| self.versions.get(at));
            after.versions.push(versions.copied().unwrap_or_default());
            after.positions.insert(agent, at);
        }
        after
    }

    /// Applies an update; drops it if the agent's host was removed. Returns the position of the host, and true
    /// if the update can affect anything but times and usage.
    pub(crate) fn apply_update(
        &mut self,
        agent: AgentId,
        update: AgentUpdate,
        now: Instant,
    ) -> Option<(usize, bool)> {
        let at = *self.positions.get(&agent)?;
        self.note_version(at, &update);
        Some((at, self.hosts.get_mut(at)?.apply_update_at(update, now)))
    }

    /// Applies updates as the leader of the host's environment passes them on; as [`Self::apply_update`], but whether
    /// the agent is flapping is for the leader to say.
    pub(crate) fn apply_relayed_updates(
        &mut self,
        agent: AgentId,
        updates: Vec<AgentUpdate>,
    ) -> Option<(usize, bool)> {
        let at = *self.positions.get(&agent)?;
        // A lost host is so after the heartbeat of its last report, too: what is before and after counts.
        let before = self.hosts.get(at)?.facts();
        for update in updates {
            self.note_version(at, &update);
            self.hosts.get_mut(at)?.apply_update(update);
        }
        Some((at, !before.is_same(&self.hosts.get(at)?.facts())))
    }

    fn note_version(&mut self, at: usize, update: &AgentUpdate) {
        self.version += 1;
        let Some(versions) = self.versions.get_mut(at) else { return };
        versions.any = self.version;
        match update {
            AgentUpdate::Report(..) | AgentUpdate::Scanned(..) => versions.report = self.version,
            AgentUpdate::Usage(_) => versions.usage = self.version,
            AgentUpdate::Heartbeat(..) | AgentUpdate::Lost(_) => {}
        }
    }

    /// Returns the updates that bring the state of the hosts of `platform` from the version `since` to the current
    /// one; those of all hosts if they were other ones then.
    pub(crate) fn changes_since(&self, since: u64, platform: &Platform) -> HostChanges {
        let is_complete = since < self.first_version;
        let since = if is_complete { 0 } else { since };
        let hosts = platform.hosts().zip(&self.hosts).zip(&self.versions);
        let changed = hosts.filter(|(_, versions)| is_complete || versions.any > since);
        let changed = changed.map(|((host, state), versions)| {
            (host.name.clone(), state.updates(versions.report > since, versions.usage > since))
        });
        HostChanges { version: self.version, is_complete, hosts: changed.collect() }
    }

    /// Applies a step of the aggregator's own clock: ages of received messages stay the same.
    pub(crate) fn shift_clock(&mut self, step: SignedDuration) {
        self.hosts.iter_mut().for_each(|host| host.shift_clock(step));
    }

    /// Returns the state of each host, in the order in which the agents were given.
    pub(crate) fn hosts(&self) -> &[HostState] {
        &self.hosts
    }
}

/// Changes of the states of hosts since an earlier version.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostChanges {
    /// Version after the changes.
    pub(crate) version: u64,
    /// True if these are all hosts: there are no others.
    pub(crate) is_complete: bool,
    /// Hosts that have changed, each with its updates in their order.
    pub(crate) hosts: Vec<(Name, Vec<AgentUpdate>)>,
}

/// State of one host at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostState {
    /// Shared, so that a copy of the state of all hosts is cheap.
    report: Option<Snapshot<Report>>,
    /// Scan that confirmed the report last.
    scan: Option<ScanFigures>,
    /// Receipt of the last message.
    receipt: Option<MessageReceipt>,
    skew: ClockSkew,
    freshness: Freshness,
    usage: Option<HostUsage>,
    contact: ContactHistory,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Freshness {
    /// No answer and no failure yet.
    #[default]
    NeverReported,
    /// The last report is valid.
    Fresh,
    /// The last report is out of date; the reason.
    Lost(String),
}

/// What an evaluation reads of a host's state beside times and usage.
struct HostFacts {
    report: Option<Snapshot<Report>>,
    freshness: Freshness,
    ahead: SignedDuration,
}

impl HostFacts {
    fn is_same(&self, other: &Self) -> bool {
        is_same_report(self.report.as_ref(), other.report.as_ref())
            && self.freshness == other.freshness
            && self.ahead == other.ahead
    }
}

/// Returns true if two reports differ in times at most.
fn is_same_report(one: Option<&Snapshot<Report>>, other: Option<&Snapshot<Report>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Snapshot::ptr_eq(one, other) || one.equals_except_times(other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

impl HostState {
    fn facts(&self) -> HostFacts {
        let (report, freshness) = (self.report.clone(), self.freshness.clone());
        HostFacts { report, freshness, ahead: self.skew.skew_ahead() }
    }

    /// Applies an update that arrives at `now`. The host of a flapping agent is unknown all the time. Returns
    /// true if the update can affect anything but times and usage.
    fn apply_update_at(&mut self, update: AgentUpdate, now: Instant) -> bool {
        match &update {
            AgentUpdate::Report(..) | AgentUpdate::Scanned(..) | AgentUpdate::Heartbeat(..) => {
                self.contact.note_answer();
            }
            AgentUpdate::Lost(_) => self.contact.note_loss(now),
            AgentUpdate::Usage(_) => {}
        }
        let before = self.freshness.clone();
        let is_changed = self.apply_update(update);
        if !self.contact.update(now) {
            return is_changed;
        }
        self.freshness = Freshness::Lost(FLAPPING_REASON.to_owned());
        self.freshness != before
    }

    /// Applies an update. Returns true if it can affect anything but times and usage.
    pub(crate) fn apply_update(&mut self, update: AgentUpdate) -> bool {
        match update {
            AgentUpdate::Scanned(report, _) if self.has_newer_report(&report) => false,
            AgentUpdate::Report(report, receipt) | AgentUpdate::Scanned(report, receipt) => {
                let is_skew_new = self.note_receipt(receipt);
                let same = matches!(self.freshness, Freshness::Fresh)
                    && self.report.as_ref().is_some_and(|old| old.equals_except_times(&report));
                self.scan = Some(report.scan);
                let mut report = report;
                // A report that others share is that of another evaluation, which has done so.
                if let (Some(before), Some(report)) = (&self.report, Snapshot::get_mut(&mut report)) {
                    report.share_unchanged(before);
                }
                self.report = Some(report);
                self.freshness = Freshness::Fresh;
                !same || is_skew_new
            }
            AgentUpdate::Heartbeat(scan, receipt) => match self.report {
                // A heartbeat confirms a report; without one it has no meaning.
                None => false,
                Some(_) => {
                    self.scan = Some(scan);
                    let was_fresh = matches!(self.freshness, Freshness::Fresh);
                    self.freshness = Freshness::Fresh;
                    self.note_receipt(receipt) || !was_fresh
                }
            },
            AgentUpdate::Usage(usage) => {
                self.usage = Some(usage);
                false
            }
            AgentUpdate::Lost(reason) => {
                let same = matches!(&self.freshness, Freshness::Lost(old) if *old == reason);
                self.freshness = Freshness::Lost(reason);
                !same
            }
        }
    }

    /// Returns the updates that lead to this state, from one with the same report and usage, except where these are
    /// new.
    fn updates(&self, is_report_new: bool, is_usage_new: bool) -> Vec<AgentUpdate> {
        let mut updates = Vec::new();
        if let (Some(report), Some(scan), Some(receipt)) = (&self.report, self.scan, self.receipt) {
            if is_report_new {
                updates.push(AgentUpdate::Report(report.clone(), receipt));
            }
            if !is_report_new || scan != report.scan {
                updates.push(AgentUpdate::Heartbeat(scan, receipt));
            }
        }
        if let Freshness::Lost(reason) = &self.freshness {
            updates.push(AgentUpdate::Lost(reason.clone()));
        }
        updates.extend(self.usage.clone().filter(|_| is_usage_new).map(AgentUpdate::Usage));
        updates
    }

    /// Stores when a message was sent and received. Returns true if the reported skew changed.
    fn note_receipt(&mut self, receipt: MessageReceipt) -> bool {
        self.receipt = Some(receipt);
        self.skew.add_message(&receipt)
    }

    /// Applies a step of the aggregator's own clock.
    fn shift_clock(&mut self, step: SignedDuration) {
        self.skew.reset();
        if let Some(receipt) = &mut self.receipt {
            let received = &mut receipt.received.wall;
            *received = received.checked_add(step).unwrap_or(*received);
        }
    }

    /// Returns true if the stream's report is newer than a requested one, which then arrived late. To apply
    /// it would be an error that nothing corrects, since the agent has sent the newer state already.
    fn has_newer_report(&self, report: &Report) -> bool {
        self.is_reachable()
            && self.report.as_ref().zip(self.scan).is_some_and(|(known, scan)| {
                known.boot_id == report.boot_id && scan.seen_at > report.scan.seen_at
            })
    }

    /// Returns the reported components, to change them as an action would; `None` if the host is unknown.
    pub(crate) fn components_mut(&mut self) -> Option<&mut Vec<ComponentReport>> {
        if !self.is_reachable() {
            return None;
        }
        self.report.as_mut()?.components.as_mut().ok()
    }

    /// Returns true if the agent answers and its report is valid.
    pub(crate) fn is_reachable(&self) -> bool {
        matches!(self.freshness, Freshness::Fresh)
    }

    /// Returns the agent's last data about itself; `digest` is that of the aggregator's configuration.
    pub(crate) fn agent_overview(&self, digest: &str) -> Option<AgentOverview> {
        let (report, scan) = self.report.as_ref().zip(self.scan)?;
        Some(AgentOverview {
            version: report.agent_version.clone(),
            watch: report.watch.clone(),
            seen_at: self.to_own_clock(scan.seen_at)?,
            scan_micros: u64::try_from(scan.duration.as_micros()).unwrap_or(u64::MAX),
            processes_seen: scan.processes_seen,
            config_digest: report.config.digest.clone(),
            config_error: report.config.error.clone(),
            // An older agent sends no digest; that is no difference.
            config_differs: !report.config.digest.is_empty() && report.config.digest != digest,
            certificate_ends: report.certificate_ends,
            boot_id: report.boot_id.clone(),
            clock_ahead_millis: self
                .skew
                .measured_ahead()
                .map(|skew| i64::try_from(skew.as_millis()).unwrap_or_default()),
        })
    }

    /// Returns the impairments in watching the host; `digest` is that of the aggregator's configuration.
    /// Empty while the host is unknown, since they may have changed.
    pub(crate) fn impairments(&self, digest: &str) -> Vec<Impairment> {
        let Some(report) = self.report.as_ref().filter(|_| self.is_reachable()) else { return Vec::new() };
        let mut impairments = report.impairments.clone();
        for impairment in &mut impairments {
            impairment.since = impairment.since.map(|at| self.skew.correct_time(at));
        }
        impairments.extend(self.skew.impairment());
        let configuration = |message: String| Impairment::new(ImpairedPart::Configuration, message);
        if let Some(error) = &report.config.error {
            let first = error.lines().next().unwrap_or_default();
            impairments.push(configuration(format!("the agent refused a new configuration: {first}")));
        }
        if !report.config.digest.is_empty() && report.config.digest != digest {
            let message = "the agent's configuration differs from the aggregator's; give both the same files, then \
                           run rta config reload";
            impairments.push(configuration(message.to_owned()));
        }
        impairments.sort();
        impairments
    }

    /// Returns the usage of the host, with times of the aggregator's clock; `None` if it may be out of date.
    pub(crate) fn usage(&self) -> Option<HostUsage> {
        let mut usage = self.usage.clone().filter(|_| self.is_reachable())?;
        usage.measured_at = self.skew.correct_time(usage.measured_at);
        usage.booted_at = usage.booted_at.map(|at| self.skew.correct_time(at));
        Some(usage)
    }

    /// Returns the end of the last reported full scan, by the aggregator's clock.
    pub(crate) fn scanned_at(&self) -> Option<Timestamp> {
        self.to_own_clock(self.scan?.scanned_at)
    }

    /// Converts a time of the last report's scan to the aggregator's clock.
    fn to_own_clock(&self, then: Timestamp) -> Option<Timestamp> {
        let seen = self.scan?.seen_at;
        Some(self.receipt.as_ref()?.local_time_of(then, seen))
    }

    /// Returns the skew of the host's clock, to correct the times in its report.
    pub(crate) fn skew(&self) -> &ClockSkew {
        &self.skew
    }

    /// Returns the reason why the host is unknown; `None` if it is known, and before the first answer.
    pub(crate) fn unknown_reason(&self) -> Option<&str> {
        match &self.freshness {
            Freshness::Lost(reason) => Some(reason),
            Freshness::NeverReported => None,
            Freshness::Fresh => {
                self.report.as_ref().and_then(|report| report.components.as_ref().err()).map(String::as_str)
            }
        }
    }

    /// Returns the agent's report of a component, or the reason why there is none as `Err`. `at` is the position
    /// of the component in the configuration, and with the same configuration in the report too.
    pub(crate) fn component_report(
        &self,
        host: &Name,
        component: &Name,
        at: usize,
    ) -> Result<&ComponentReport, String> {
        match (&self.freshness, &self.report) {
            (Freshness::Lost(_), _) => Err(format!("the agent on {host} does not answer")),
            (Freshness::NeverReported, _) | (_, None) => Err(format!("the agent on {host} has not answered yet")),
            (Freshness::Fresh, Some(report)) => match &report.components {
                Err(_) => Err(format!("the agent on {host} cannot see its processes")),
                Ok(components) => components
                    .get(at)
                    .into_iter()
                    .chain(components)
                    .find(|seen| seen.component == *component)
                    .ok_or_else(|| {
                        format!(
                            "the agent on {host} does not know this component; its configuration is another one"
                        )
                    }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::ClockPair;
    use crate::sample_platform::{empty_report, platform_of_hosts, scan_at};

    fn lost(reason: &str) -> AgentUpdate {
        AgentUpdate::Lost(reason.to_owned())
    }

    fn errors(host_states: &HostStates) -> Vec<Option<&str>> {
        host_states.hosts().iter().map(HostState::unknown_reason).collect()
    }

    #[test]
    fn knowledge_moves_with_its_agent_and_late_news_reaches_nobody_else() {
        let [a, b, c, replaced] = [(); 4].map(|()| AgentId::new_unique());
        let mut host_states = HostStates::for_agents([a, b, c].into_iter(), Timestamp::UNIX_EPOCH);
        let now = Instant::now();
        for (agent, reason) in [(a, "a"), (b, "b"), (c, "c")] {
            assert!(host_states.apply_update(agent, lost(reason), now).is_some_and(|(_, is_new)| is_new));
        }
        // The host of a is removed, b gets another address, c moves to the front.
        let mut host_states = host_states.with_agents([c, replaced].into_iter());
        assert_eq!(errors(&host_states), [Some("c"), None]);
        for gone in [a, b] {
            assert_eq!(host_states.apply_update(gone, lost("late"), now), None);
        }
        assert_eq!(errors(&host_states), [Some("c"), None]);
        assert_eq!(host_states.apply_update(replaced, lost("new"), now), Some((1, true)));
        assert_eq!(errors(&host_states), [Some("c"), Some("new")]);
    }

    #[test]
    fn host_of_a_flapping_agent_is_unknown_without_a_break() {
        let agent = AgentId::new_unique();
        let mut host_states = HostStates::for_agents([agent].into_iter(), Timestamp::UNIX_EPOCH);
        let start = Instant::now();
        let mut send = |update, seconds| {
            let now = start + Duration::from_secs(seconds);
            host_states.apply_update(agent, update, now).is_some_and(|(_, is_new)| is_new)
        };
        let answer = || AgentUpdate::Report(report().into(), MessageReceipt::now(None));
        let changes: Vec<bool> =
            (0..20).flat_map(|at| [send(answer(), at), send(lost("gone"), at)]).collect();
        // Five losses; the fifth is reported as flapping.
        assert_eq!(changes.iter().filter(|is_new| **is_new).count(), 10);
        assert!(changes[..10].iter().all(|is_new| *is_new));
        assert!(!send(answer(), 21) && send(answer(), 30));
        assert_eq!(errors(&host_states), [None]);
    }

    fn report() -> Report {
        empty_report("h", ScanFigures { processes_seen: 1, ..scan_at(Timestamp::UNIX_EPOCH) })
    }

    const HOSTS: usize = 3;

    /// Returns an update of this kind that differs from others with another `at`.
    fn update_of_kind(kind: u8, at: u32) -> AgentUpdate {
        let time = Timestamp::from_second(i64::from(at)).unwrap();
        let receipt = MessageReceipt { received: ClockPair::sample(time), sent: Some(time) };
        let scan = ScanFigures { processes_seen: at, ..scan_at(time) };
        match kind {
            0 => AgentUpdate::Report(Report { scan, ..report() }.into(), receipt),
            1 => AgentUpdate::Scanned(Report { scan, ..report() }.into(), receipt),
            2 => AgentUpdate::Heartbeat(scan, receipt),
            3 => lost(&format!("gone {at}")),
            _ => AgentUpdate::Usage(HostUsage {
                measured_at: time,
                cpus: at,
                load: [0.0; 3],
                memory_total_bytes: 0,
                memory_available_bytes: 0,
                booted_at: None,
                processes: vec![],
                cpu_times: vec![],
                probe_durations: vec![],
            }),
        }
    }

    type Known = (
        Option<Snapshot<Report>>,
        Option<ScanFigures>,
        Option<(Timestamp, Option<Timestamp>)>,
        Freshness,
        Option<HostUsage>,
    );

    /// Returns everything that an evaluation reads.
    fn known(host: &HostState) -> Known {
        let report = host.report.clone();
        let receipt = host.receipt.map(|receipt| (receipt.received.wall, receipt.sent));
        (report, host.scan, receipt, host.freshness.clone(), host.usage.clone())
    }

    #[test]
    fn versions_of_a_later_term_are_higher() {
        let platform = platform_of_hosts(&[("h", 1)]);
        let agent = AgentId::new_unique();
        let version = |second: i64, updates: u32| {
            let begun_at = Timestamp::from_second(second).unwrap();
            let mut states = HostStates::for_agents([agent].into_iter(), begun_at);
            (0..updates).for_each(|at| _ = states.apply_update(agent, update_of_kind(2, at), Instant::now()));
            let changes = states.changes_since(0, &platform);
            assert!(changes.is_complete);
            changes.version
        };
        assert_eq!(version(100, 1000) - version(100, 0), 1000);
        assert!(version(101, 0) > version(100, 1000));
    }

    proptest! {
        #[test]
        fn hosts_that_are_told_the_changes_are_in_the_same_state(
            steps in proptest::collection::vec((0..HOSTS, 0_u8..5, any::<bool>(), proptest::bool::weighted(0.1)), 1..60),
        ) {
            let platform = platform_of_hosts(&[("h0", 1), ("h1", 2), ("h2", 3)]);
            let [of_leader, own] = [(); 2].map(|()| [(); HOSTS].map(|()| AgentId::new_unique()));
            let mut leader = HostStates::for_agents(of_leader.into_iter(), Timestamp::UNIX_EPOCH);
            let mut mirror = HostStates::for_agents(own.into_iter(), Timestamp::UNIX_EPOCH);
            let (now, mut version) = (Instant::now(), 0);
            let last = steps.len() - 1;
            for (at, (host, kind, is_told, is_restarted)) in steps.into_iter().enumerate() {
                leader.apply_update(of_leader[host], update_of_kind(kind, u32::try_from(at).unwrap()), now);
                if is_restarted {
                    leader = leader.with_agents(of_leader.into_iter());
                }
                if !is_told && at != last {
                    continue;
                }
                let changes = leader.changes_since(version, &platform);
                prop_assert_eq!(changes.is_complete, version < leader.first_version);
                prop_assert!(!changes.is_complete || changes.hosts.len() == HOSTS);
                version = changes.version;
                for (name, updates) in changes.hosts {
                    let at = platform.hosts().position(|host| host.name == name).unwrap();
                    let before = known(&mirror.hosts()[at]);
                    let (_, is_changed) = mirror.apply_relayed_updates(own[at], updates).unwrap();
                    let after = known(&mirror.hosts()[at]);
                    prop_assert!(is_changed || (before.3 == after.3 && is_same_report(before.0.as_ref(), after.0.as_ref())));
                    prop_assert!(!is_changed || before != after);
                }
                prop_assert!(leader.changes_since(version, &platform).hosts.is_empty());
                for (leader, mirror) in leader.hosts().iter().zip(mirror.hosts()) {
                    prop_assert_eq!(known(leader), known(mirror));
                }
            }
        }
    }
}
