//! State of the platform and its evaluation. Pure: the state actor owns it and performs what follows from it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use rta_shared::config::Platform;
use rta_shared::dependency::DependencyGraph;
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;
use rta_shared::planned_stop::PlannedStop;

use crate::agent_id::AgentId;
use crate::clock::ClockPair;
use crate::state::evaluate::platform_view::{Annotations, PlatformView, StaleHosts, ViewChanges};
use crate::state::evaluation_input::EvaluationInput;
use crate::state::host_state::{AgentUpdate, HostChanges, HostStates};
use crate::state::maintenance::ActiveMaintenance;
use crate::state::planned_stops::PlannedStops;
use crate::state::prerequisites::{PrerequisiteChanges, RemotePrerequisiteIndex};
use crate::state::transitions::TransitionTracker;
use crate::timeline::TimelineState;

/// State of the platform, and its last evaluation. Each change marks the hosts that it concerns; the next
/// update evaluates these and what depends on them.
#[derive(Debug)]
pub(crate) struct PlatformState {
    platform: Arc<Platform>,
    graph: Arc<DependencyGraph>,
    host_states: HostStates,
    /// Last evaluation.
    view: PlatformView,
    /// Hosts that have changed since.
    stale: StaleHosts,
    maintenance: ActiveMaintenance,
    planned_stops: PlannedStops,
    transitions: TransitionTracker,
    /// Samples of instances that were removed from the configuration since.
    removed_samples: Vec<(InstanceId, TimelineState)>,
    remote_prerequisites: RemotePrerequisiteIndex,
}

impl PlatformState {
    /// Creates the state of a platform whose hosts have these `agents`, with what an earlier aggregator left.
    pub(crate) fn new(
        platform: Arc<Platform>,
        agents: Vec<AgentId>,
        maintenance: ActiveMaintenance,
        planned_stops: PlannedStops,
        mut transitions: TransitionTracker,
    ) -> Self {
        let graph = Arc::new(DependencyGraph::new(&platform));
        let view = PlatformView::new(&platform, &graph);
        let removed_samples = transitions.follow_config(view.environments());
        Self {
            host_states: HostStates::for_agents(agents.into_iter(), Timestamp::now()),
            remote_prerequisites: RemotePrerequisiteIndex::new(&platform, &graph),
            view,
            stale: StaleHosts::all(),
            maintenance,
            planned_stops,
            transitions,
            removed_samples,
            graph,
            platform,
        }
    }

    /// Replaces the platform; `agents` are those of its hosts, in their order. The caller ends what concerns
    /// hosts and instances that were removed.
    pub(crate) fn replace_platform(&mut self, platform: Arc<Platform>, agents: Vec<AgentId>) {
        self.graph = Arc::new(DependencyGraph::new(&platform));
        self.view = PlatformView::new(&platform, &self.graph);
        self.stale = StaleHosts::all();
        self.host_states = std::mem::take(&mut self.host_states).with_agents(agents.into_iter());
        self.maintenance.follow_platform(&platform);
        self.removed_samples.extend(self.transitions.follow_config(self.view.environments()));
        self.remote_prerequisites = RemotePrerequisiteIndex::new(&platform, &self.graph);
        self.platform = platform;
    }

    /// Returns the platform.
    pub(crate) fn platform(&self) -> &Arc<Platform> {
        &self.platform
    }

    /// Returns the last evaluation.
    pub(crate) fn view(&self) -> &PlatformView {
        &self.view
    }

    /// Returns a copy of what an evaluation needs, which shares the reports.
    pub(crate) fn copy_input(&self) -> EvaluationInput {
        EvaluationInput {
            platform: Arc::clone(&self.platform),
            graph: Arc::clone(&self.graph),
            host_states: self.host_states.hosts().to_vec(),
            maintenance: self.maintenance.clone(),
            planned_stops: self.planned_stops.clone(),
            shown: self.view.environments().to_vec(),
        }
    }

    /// Returns the active maintenance.
    pub(crate) fn maintenance(&self) -> &ActiveMaintenance {
        &self.maintenance
    }

    /// Returns the timeline states of all instances.
    pub(crate) fn timeline_states(&self) -> Vec<(InstanceId, TimelineState)> {
        self.transitions.timeline_states()
    }

    /// Applies an update of an agent that arrives at `now`. Returns true if it can affect anything but times and
    /// usage.
    pub(crate) fn apply_update(&mut self, agent: AgentId, update: AgentUpdate, now: Instant) -> bool {
        let applied = self.host_states.apply_update(agent, update, now);
        self.note_applied(applied)
    }

    /// Applies updates that the leader of the host's environment passes on, as [`Self::apply_update`].
    pub(crate) fn apply_relayed_updates(&mut self, agent: AgentId, updates: Vec<AgentUpdate>) -> bool {
        let applied = self.host_states.apply_relayed_updates(agent, updates);
        self.note_applied(applied)
    }

    /// Returns the changes of the hosts' states since this version.
    pub(crate) fn host_changes_since(&self, since: u64) -> HostChanges {
        self.host_states.changes_since(since, &self.platform)
    }

    fn note_applied(&mut self, applied: Option<(usize, bool)>) -> bool {
        match applied {
            None => false,
            Some((host, true)) => {
                self.stale.add(host);
                true
            }
            Some((host, false)) => {
                self.stale.add_times(host);
                false
            }
        }
    }

    /// Begins maintenance; each replaces that of the same instance or host.
    pub(crate) fn begin_maintenance(&mut self, new: &[Maintenance]) {
        self.maintenance.begin(new);
        new.iter().for_each(|one| self.mark_stale(&one.host));
    }

    /// Ends and returns the maintenance for which `is_over` returns true.
    pub(crate) fn end_maintenance(&mut self, is_over: impl Fn(&Maintenance) -> bool) -> Vec<Maintenance> {
        let ended = self.maintenance.end(is_over);
        ended.iter().for_each(|one| self.mark_stale(&one.host));
        ended
    }

    /// Marks the maintenance of these hosts as known. Returns true if that of any host was unknown.
    pub(crate) fn mark_maintenance_known(&mut self, hosts: impl IntoIterator<Item = Name>) -> bool {
        self.maintenance.mark_known(hosts)
    }

    /// Adds a stop of an instance by a plan, made at `now`.
    pub(crate) fn add_planned_stop(&mut self, id: InstanceId, stop: PlannedStop, now: ClockPair) {
        self.mark_stale(&id.host);
        self.planned_stops.add(id, stop, now.at);
    }

    /// Replaces maintenance and planned stops by those that the leader has recorded.
    pub(crate) fn follow_record(
        &mut self,
        maintenance: &[Maintenance],
        planned_stops: &HashMap<InstanceId, PlannedStop>,
        now: Instant,
    ) {
        let mut hosts = self.maintenance.replace(maintenance);
        // A host may have moved to another environment since.
        self.maintenance.follow_platform(&self.platform);
        hosts.extend(self.planned_stops.follow_record(planned_stops, now));
        hosts.iter().for_each(|host| self.mark_stale(host));
    }

    /// Removes and returns the planned stops of instances that the platform does not have.
    pub(crate) fn drop_removed_stops(&mut self) -> Vec<InstanceId> {
        self.planned_stops.drop_removed(&self.graph)
    }

    /// Applies a step of this host's clock, so that ages stay the same. Times before `began`, the start of this
    /// aggregator, were recorded by an earlier one and stay.
    pub(crate) fn shift_clock(&mut self, step: SignedDuration, began: Timestamp) {
        self.host_states.shift_clock(step);
        self.transitions.shift_clock(step, began);
        self.planned_stops.shift_clock(step, began);
        self.stale = StaleHosts::all();
    }

    /// Evaluates what has changed since the last update. Without `with_times` hosts of which nothing but times and
    /// usage has changed wait for a later one.
    pub(crate) fn update(&mut self, now: ClockPair, with_times: bool) -> ViewChanges {
        let unseen = self.planned_stops.unseen_hosts().filter_map(|host| self.view.position_of_host(host));
        unseen.for_each(|host| self.stale.add(host));
        let mut annotations = Annotations {
            maintenance: &self.maintenance,
            planned_stops: &mut self.planned_stops,
            transitions: &mut self.transitions,
            now,
        };
        let (stale, hosts) = (self.stale.take(with_times), self.host_states.hosts());
        let mut changes = self.view.update(&self.platform, &self.graph, hosts, stale, &mut annotations);
        changes.transitions.samples.splice(0..0, std::mem::take(&mut self.removed_samples));
        for at in &changes.instances {
            let (host, instance) = self.view.instance(*at);
            self.remote_prerequisites.update(*at, host, instance);
        }
        changes
    }

    /// Returns the prerequisites of the hosts for which they have changed since the last time.
    pub(crate) fn take_prerequisite_changes(&mut self) -> PrerequisiteChanges {
        self.remote_prerequisites.take_changes()
    }

    fn mark_stale(&mut self, host: &Name) {
        if let Some(host) = self.view.position_of_host(host) {
            self.stale.add(host);
        }
    }
}
