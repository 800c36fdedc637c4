//! Choice, for each environment, between its agents and a relay.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rta_shared::name::Name;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::progress::RelayProgress;
use super::source::{RelaySource, RelaySources};
use super::task::{RelayEvent, RelayTask};
use crate::agents::client::AgentClient;
use crate::agents::tasks::AgentTasks;
use crate::inventory::Inventory;
use crate::pauses::PauseWatch;
use crate::state::actor::StateInbox;

/// Capacity of the queue of the relay tasks' messages.
const EVENT_QUEUE: usize = 64;
/// Time for which a new aggregator waits for others to pass hosts on, or to lead environments itself, before it follows
/// the agents. With thousands of hosts, connections with all agents would cost more than the platform at rest.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// Owner of the tasks that follow the hosts of a platform, each by its agent or by the leader of its environment.
#[derive(Debug)]
pub(crate) struct HostFollower {
    agent_tasks: AgentTasks,
    inbox: StateInbox,
    inventory: watch::Receiver<Arc<Inventory>>,
    /// `None`: nobody passes hosts on.
    sources: Option<watch::Receiver<RelaySources>>,
    progress: RelayProgress,
    pauses: PauseWatch,
    /// Environments whose agents are followed.
    by_agents: HashSet<Name>,
    /// Environments whose hosts have been followed in either way.
    followed: HashSet<Name>,
    /// True until all agents are followed whose hosts nobody passes on.
    is_patient: bool,
    /// Relay tasks by environment.
    relays: HashMap<Name, RunningRelay>,
    /// Number of the last relay task.
    last_task: u64,
    event_sender: mpsc::Sender<RelayEvent>,
    events: mpsc::Receiver<RelayEvent>,
}

#[derive(Debug)]
struct RunningRelay {
    number: u64,
    source: RelaySource,
    state: RelayState,
    end: CancellationToken,
    task: JoinHandle<()>,
}

/// State of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RelayState {
    /// It has just begun, and soon passes states on or fails.
    Begun,
    /// Its states are used, and not those of the agents.
    Used,
    /// It passes nothing on, and tries again.
    Failed,
}

impl HostFollower {
    /// Creates the owner of `agent_tasks`, which has no tasks yet. Environments with one of `sources` are followed by
    /// it, as far as it works; states go to `inbox`, and `progress` tells how far they do. `pauses` are those of this
    /// aggregator, in which it received nothing.
    pub(crate) fn new(
        agent_tasks: AgentTasks,
        inbox: StateInbox,
        inventory: watch::Receiver<Arc<Inventory>>,
        sources: Option<watch::Receiver<RelaySources>>,
        progress: RelayProgress,
        pauses: PauseWatch,
    ) -> Self {
        let (event_sender, events) = mpsc::channel(EVENT_QUEUE);
        Self {
            agent_tasks,
            inbox,
            inventory,
            sources,
            progress,
            pauses,
            by_agents: HashSet::new(),
            followed: HashSet::new(),
            is_patient: false,
            relays: HashMap::new(),
            last_task: 0,
            event_sender,
            events,
        }
    }

    /// Follows the hosts until `shutdown`. The state actor must know an inventory before it is published, since it
    /// drops updates of unknown agents.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        self.is_patient = self.sources.is_some();
        let patient_until = Instant::now() + START_PATIENCE;
        let mut ready: Option<oneshot::Sender<()>> = None;
        loop {
            self.update_relays().await;
            self.follow_agents().await;
            if let Some(proceed) = ready.take() {
                // The relay may have been stopped meanwhile.
                let _ = proceed.send(());
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                // Neither sender ends before the shutdown.
                Ok(()) = self.inventory.changed() => {}
                () = sources_changed(&mut self.sources) => {}
                () = tokio::time::sleep_until(patient_until), if self.is_patient => self.is_patient = false,
                Some(event) = self.events.recv() => ready = self.note_event(event),
            }
        }
        self.stop_relays(|_, _| true).await;
        self.agent_tasks.stop_tasks(|_| true).await;
    }

    /// Notes an event of a relay task. Returns the sender for a relay that waits until nothing else follows its hosts.
    fn note_event(&mut self, event: RelayEvent) -> Option<oneshot::Sender<()>> {
        let (RelayEvent::Ready { environment, task, .. } | RelayEvent::Ended { environment, task }) = &event;
        let relay = self.relays.get_mut(environment).filter(|relay| relay.number == *task)?;
        match event {
            RelayEvent::Ready { environment, proceed, .. } => {
                relay.state = RelayState::Used;
                tracing::info!(%environment, "the hosts of an environment are followed through its leader");
                self.followed.insert(environment);
                Some(proceed)
            }
            RelayEvent::Ended { environment, .. } => {
                relay.state = RelayState::Failed;
                self.progress.remove(&environment);
                None
            }
        }
    }

    /// Begins and ends relay tasks, as the sources say.
    async fn update_relays(&mut self) {
        let sources =
            self.sources.as_mut().map(|sources| sources.borrow_and_update().clone()).unwrap_or_default();
        self.stop_relays(|environment, relay| {
            !sources.get(environment).is_some_and(|source| source.is_same(&relay.source))
        })
        .await;
        for (environment, source) in sources {
            if self.relays.contains_key(&environment) {
                continue;
            }
            self.last_task += 1;
            let number = self.last_task;
            let task = RelayTask {
                number,
                environment: environment.clone(),
                source: source.clone(),
                inventory: self.inventory.clone(),
                inbox: self.inbox.clone(),
                events: self.event_sender.clone(),
                progress: self.progress.clone(),
                pauses: self.pauses.clone(),
            };
            let end = CancellationToken::new();
            let task = tokio::spawn(task.run(end.clone()));
            self.relays
                .insert(environment, RunningRelay { number, source, state: RelayState::Begun, end, task });
        }
    }

    /// Ends the relays for which `is_gone` holds, and waits until they have ended.
    async fn stop_relays(&mut self, is_gone: impl Fn(&Name, &RunningRelay) -> bool) {
        let gone: Vec<_> = self.relays.extract_if(|environment, relay| is_gone(environment, relay)).collect();
        for (_, relay) in &gone {
            relay.end.cancel();
        }
        for (environment, relay) in gone {
            if let Err(error) = relay.task.await {
                tracing::error!(%environment, %error, "the relay of an environment failed");
            }
            self.progress.remove(&environment);
        }
    }

    /// Follows the agents of the hosts that no relay passes on. While a relay begins, agents are followed as before;
    /// while this aggregator has just started, none are.
    async fn follow_agents(&mut self) {
        let inventory = Arc::clone(&self.inventory.borrow_and_update());
        let environments = inventory.platform.environments.iter().map(|environment| &environment.name);
        let by_agents = environments.filter(|name| match self.relays.get(*name).map(|relay| relay.state) {
            None | Some(RelayState::Failed) => !self.is_patient || self.followed.contains(*name),
            Some(RelayState::Begun) => self.by_agents.contains(*name),
            Some(RelayState::Used) => false,
        });
        self.by_agents = by_agents.cloned().collect();
        self.followed.extend(self.by_agents.iter().cloned());
        let agents = inventory.agents.iter();
        let followed: Vec<AgentClient> =
            agents.filter(|agent| self.by_agents.contains(agent.environment())).cloned().collect();
        self.agent_tasks.follow_agents(&followed).await;
    }
}

/// Returns when the sources have changed; never, if there are none.
async fn sources_changed(sources: &mut Option<watch::Receiver<RelaySources>>) {
    // The sender ends only at shutdown.
    if let Some(sources) = sources
        && sources.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::config::Platform;
    use rta_shared::impairment::ImpairmentList;
    use rta_shared::lifecycle::tasks::Heartbeat;
    use rta_shared::overview::Overview;

    use super::*;
    use crate::agent_id::AgentId;
    use crate::agents::stream::AgentNotices;
    use crate::clock::MessageReceipt;
    use crate::events::EventBus;
    use crate::sample_platform::{empty_report, platform_of_hosts, scan_at};
    use crate::state::actor::{PublishedState, StateMessage, create_state_actor};
    use crate::state::host_feed::HostStateFeed;
    use crate::state::host_state::AgentUpdate;

    /// Creates a platform of these hosts, whose agents nobody can reach.
    fn platform(hosts: &[&str]) -> Platform {
        let hosts: Vec<(&str, u16)> = hosts.iter().copied().zip(1..).collect();
        platform_of_hosts(&hosts)
    }

    fn inventory(hosts: &[&str]) -> Arc<Inventory> {
        Arc::new(Inventory::new(platform(hosts), &[], None).unwrap())
    }

    /// Running state actor.
    struct State {
        inbox: StateInbox,
        published: PublishedState,
        task: JoinHandle<()>,
    }

    impl State {
        fn start(inventory: &Inventory) -> Self {
            let (inbox, published, actor) = create_state_actor(
                Arc::clone(&inventory.platform),
                inventory.agent_ids().collect(),
                EventBus::default(),
                ImpairmentList::default(),
                Heartbeat::default(),
            );
            Self { inbox, published, task: tokio::spawn(actor) }
        }

        fn feed(&self) -> HostStateFeed {
            HostStateFeed::new(self.inbox.clone(), self.published.host_changes.clone())
        }

        async fn report(&self, agent: AgentId, host: &str) {
            let at = Timestamp::now();
            let report = empty_report(host, scan_at(at));
            let update = AgentUpdate::Report(report.into(), MessageReceipt::now(Some(at)));
            self.inbox.send(StateMessage::AgentUpdate(agent, update)).await.unwrap();
        }

        /// Waits until the hosts have these errors; "": reachable, "?": not heard of.
        async fn wait_for(&mut self, expected: &[(&str, &str)]) {
            let errors = |overview: &Overview| -> Vec<(String, String)> {
                let hosts = overview.environments.iter().flat_map(|environment| &environment.hosts);
                let error = |host: &rta_shared::overview::HostOverview| match (&host.error, host.reachable) {
                    (Some(error), _) => error.clone(),
                    (None, true) => String::new(),
                    (None, false) => "?".to_owned(),
                };
                hosts.map(|host| (host.name.to_string(), error(host))).collect()
            };
            let fits = |overview: &Arc<Overview>| {
                let errors = errors(overview);
                errors.len() == expected.len()
                    && errors.iter().zip(expected).all(|((name, error), (expected, text))| {
                        name == expected
                            && if text.is_empty() { error.is_empty() } else { error.contains(text) }
                    })
            };
            let waiting =
                tokio::time::timeout(Duration::from_secs(60), self.published.overview.wait_for(fits));
            let is_met = waiting.await.is_ok();
            assert!(is_met, "{:?} in place of {expected:?}", errors(&self.published.overview.borrow()));
        }
    }

    const NO_AGENT: &str = "no connection to the agent";

    #[tokio::test]
    async fn hosts_are_followed_through_their_leader_while_it_passes_them_on() {
        let (of_leader, own) = (inventory(&["a", "b"]), inventory(&["a", "b", "mine"]));
        let (leader, mut state) = (State::start(&of_leader), State::start(&own));
        leader.report(of_leader.agents[0].id(), "a").await;
        let source = |state: &State| RelaySources::from([(Name::from("E"), RelaySource::Own(state.feed()))]);
        let (sources, watched) = watch::channel(source(&leader));
        let (inventories, watched_inventory) = watch::channel(Arc::clone(&own));
        let notices = AgentNotices {
            maintenance: state.published.maintenance.clone(),
            prerequisites: state.published.prerequisites.clone(),
            pauses: PauseWatch::default(),
        };
        let (progress, shutdown) = (RelayProgress::default(), CancellationToken::new());
        let agent_tasks = AgentTasks::new(state.inbox.clone(), notices);
        let follower = HostFollower::new(
            agent_tasks,
            state.inbox.clone(),
            watched_inventory,
            Some(watched),
            progress.clone(),
            PauseWatch::default(),
        );
        let follower = tokio::spawn(follower.run(shutdown.clone()));
        // No agent was called: it cannot be reached.
        state.wait_for(&[("a", ""), ("b", "?"), ("mine", "does not have this host")]).await;
        assert!(progress.is_relayed(&Name::from("e")));
        let lost = AgentUpdate::Lost("it hangs".to_owned());
        leader.inbox.send(StateMessage::AgentUpdate(of_leader.agents[0].id(), lost)).await.unwrap();
        leader.report(of_leader.agents[1].id(), "b").await;
        state.wait_for(&[("a", "it hangs"), ("b", ""), ("mine", "does not have this host")]).await;

        // A host that this aggregator gets later is known to the leader already.
        let own = Arc::new(own.with_platform(platform(&["b", "a"])).unwrap());
        let replaced = StateMessage::ReplacePlatform(Arc::clone(&own.platform), own.agent_ids().collect());
        state.inbox.send(replaced).await.unwrap();
        inventories.send_replace(Arc::clone(&own));
        state.wait_for(&[("b", ""), ("a", "it hangs")]).await;

        // The leader ends: the agents themselves are asked.
        let next = State::start(&of_leader);
        leader.task.abort();
        drop(leader);
        state.wait_for(&[("b", NO_AGENT), ("a", NO_AGENT)]).await;
        assert!(!progress.is_relayed(&Name::from("E")));
        next.report(of_leader.agents[0].id(), "a").await;
        next.report(of_leader.agents[1].id(), "b").await;
        sources.send_replace(source(&next));
        state.wait_for(&[("b", ""), ("a", "")]).await;
        // Nobody leads.
        sources.send_replace(RelaySources::new());
        state.wait_for(&[("b", NO_AGENT), ("a", NO_AGENT)]).await;
        shutdown.cancel();
        follower.await.unwrap();
        state.task.abort();
        next.task.abort();
    }
}
