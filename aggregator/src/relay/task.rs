//! Task that receives the states of one environment's hosts from its leader.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use rta_shared::action::Requester;
use rta_shared::name::Name;
use rta_shared::proto::v1;
use rta_shared::timing::MAX_AGENT_SILENCE;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::progress::RelayProgress;
use super::source::RelaySource;
use super::wire::ChangeDecoder;
use crate::agent_id::AgentId;
use crate::agents::client::AgentClient;
use crate::clock::ClockPair;
use crate::forwarding::LeaderRoute;
use crate::inventory::Inventory;
use crate::pauses::{LastHeard, PauseWatch};
use crate::state::actor::{StateInbox, StateMessage};
use crate::state::host_feed::HostStateReader;
use crate::state::host_state::{AgentUpdate, HostChanges};

/// Delays before the leader is asked again: short ones first, as it may just begin to lead.
const RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(4);

/// Message of a relay task to its owner.
#[derive(Debug)]
pub(super) enum RelayEvent {
    /// The states of all hosts of the environment are there. They are used once the owner has answered, which must
    /// have ended whatever else sends states of these hosts.
    Ready { environment: Name, task: u64, proceed: oneshot::Sender<()> },
    /// No states arrive any more; the task tries again.
    Ended { environment: Name, task: u64 },
}

/// What a relay task needs.
#[derive(Clone, Debug)]
pub(super) struct RelayTask {
    /// Number of the task, by which its owner knows it.
    pub(super) number: u64,
    pub(super) environment: Name,
    pub(super) source: RelaySource,
    pub(super) inventory: watch::Receiver<Arc<Inventory>>,
    pub(super) inbox: StateInbox,
    pub(super) events: mpsc::Sender<RelayEvent>,
    pub(super) progress: RelayProgress,
    /// Times in which this aggregator did not run.
    pub(super) pauses: PauseWatch,
}

/// Reason why states arrive no more.
enum StreamEnd {
    /// The leader cannot pass them on; the reason as a sentence.
    Lost(String),
    /// The configuration has changed, and the states of hosts that it added are needed.
    NewConfiguration,
}

impl RelayTask {
    /// Receives states until `end`. Nothing is sent to the state actor afterwards.
    pub(super) async fn run(self, end: CancellationToken) {
        let (mut is_ready, mut is_failed) = (false, false);
        let mut last_reason = String::new();
        let mut delay = RETRY_DELAY;
        while !end.is_cancelled() {
            // In a task of its own, so that its panic is caught. It is awaited, so that it is not in the middle of
            // sending when others begin.
            let heard = LastHeard::new(self.pauses.clone());
            let attempt = self.clone().receive(is_ready, heard.clone());
            let attempt = tokio::spawn(end.clone().run_until_cancelled_owned(attempt));
            let (stream_end, was_ready) = match attempt.await {
                Ok(Some(ended)) => ended,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(environment = %self.environment, %error, "the relay of an environment failed");
                    // It may have been ready, and its states must not stay on display.
                    (StreamEnd::Lost("the relay failed".to_owned()), true)
                }
            };
            let StreamEnd::Lost(reason) = stream_end else {
                is_ready = was_ready;
                continue;
            };
            if heard.is_excused() {
                // The leader gave up a reader that did not read.
                is_ready = was_ready;
                end.run_until_cancelled(tokio::time::sleep(RETRY_DELAY)).await;
                continue;
            }
            if was_ready {
                delay = RETRY_DELAY;
            }
            if reason != last_reason {
                let environment = &self.environment;
                tracing::info!(%environment, reason, "the agents of an environment are followed, as its leader does not pass them on");
                last_reason = reason;
            }
            is_ready = false;
            if was_ready || !is_failed {
                let ended = RelayEvent::Ended { environment: self.environment.clone(), task: self.number };
                // The owner ends this task before it ends itself.
                let _ = end.run_until_cancelled(self.events.send(ended)).await;
                is_failed = true;
            }
            end.run_until_cancelled(tokio::time::sleep(delay)).await;
            delay = (delay * 2).min(MAX_RETRY_DELAY);
        }
    }

    /// Receives states until they arrive no more. Returns the reason, and whether the owner has been told that they
    /// are there.
    async fn receive(mut self, mut is_ready: bool, heard: LastHeard) -> (StreamEnd, bool) {
        let inventory = Arc::clone(&self.inventory.borrow_and_update());
        let agents: HashMap<&Name, &AgentClient> = inventory
            .agents
            .iter()
            .filter(|agent| *agent.environment() == self.environment)
            .map(|agent| (agent.host(), agent))
            .collect();
        let mut incoming = match self.open().await {
            Ok(incoming) => incoming,
            Err(reason) => return (StreamEnd::Lost(reason), is_ready),
        };
        loop {
            let received = tokio::select! {
                received = incoming.next(&heard) => received,
                // The sender ends only at shutdown.
                Ok(()) = self.inventory.changed() => return (StreamEnd::NewConfiguration, is_ready),
            };
            let changes = match received {
                Ok(changes) => changes,
                Err(reason) => return (StreamEnd::Lost(reason), is_ready),
            };
            if !is_ready && !self.await_turn().await {
                return (StreamEnd::Lost("it has ended".to_owned()), false);
            }
            is_ready = true;
            let version = changes.version;
            let updates = updates_of(&self.environment, changes, &agents);
            // The state actor ends only at shutdown.
            let _ = self.inbox.send(StateMessage::RelayedUpdates(updates)).await;
            self.progress.set(&self.environment, version);
        }
    }

    /// Tells the owner that the states are there, and waits for its answer. Returns false if there is none.
    async fn await_turn(&self) -> bool {
        let (proceed, may_proceed) = oneshot::channel();
        let ready = RelayEvent::Ready { environment: self.environment.clone(), task: self.number, proceed };
        self.events.send(ready).await.is_ok() && may_proceed.await.is_ok()
    }

    /// Begins to receive the states, with those of all hosts.
    ///
    /// # Errors
    /// Returns the reason why that is not possible, as a sentence.
    async fn open(&self) -> Result<IncomingChanges, String> {
        let route = match &self.source {
            RelaySource::Own(feed) => return Ok(IncomingChanges::Own(feed.reader())),
            RelaySource::Leader(route) => route.clone(),
        };
        let environment = self.environment.as_str().to_owned();
        let mut client = route.client();
        let opening =
            client.watch_hosts(route.request(v1::WatchHostsRequest { environment }, &Requester::default()));
        match tokio::time::timeout(MAX_AGENT_SILENCE, opening).await {
            Err(_) => Err(silence_of(&route)),
            Ok(Err(status)) => Err(route.describe_failure(&status).message),
            Ok(Ok(response)) => {
                let (stream, decoder) = (Box::new(response.into_inner()), ChangeDecoder::default());
                Ok(IncomingChanges::Leader { route, stream, decoder })
            }
        }
    }
}

/// Changes as they arrive.
enum IncomingChanges {
    Own(HostStateReader),
    Leader { route: LeaderRoute, stream: Box<Streaming<v1::WatchHostsResponse>>, decoder: ChangeDecoder },
}

impl IncomingChanges {
    /// Returns the next changes.
    ///
    /// # Errors
    /// Returns the reason why there are none, as a sentence. Nothing for a while is one.
    async fn next(&mut self, heard: &LastHeard) -> Result<HostChanges, String> {
        let (route, stream, decoder) = match self {
            Self::Own(reader) => {
                let ended = || "this aggregator does not lead it any more".to_owned();
                loop {
                    match tokio::time::timeout(MAX_AGENT_SILENCE, reader.next()).await {
                        Err(_) if heard.is_excused() => {}
                        Err(_) => return Err("this aggregator leads it, and its own task hangs".to_owned()),
                        Ok(changes) => {
                            heard.note();
                            return changes.ok_or_else(ended);
                        }
                    }
                }
            }
            Self::Leader { route, stream, decoder } => (route, stream, decoder),
        };
        loop {
            let message = match tokio::time::timeout(MAX_AGENT_SILENCE, stream.message()).await {
                // What was sent meanwhile may not be read yet.
                Err(_) if heard.is_excused() => continue,
                Err(_) => return Err(silence_of(route)),
                Ok(Err(status)) => return Err(route.describe_failure(&status).message),
                Ok(Ok(None)) => return Err(format!("the aggregator at {} ended", route.leader())),
                Ok(Ok(Some(message))) => message,
            };
            heard.note();
            match decoder.add(message, ClockPair::now()) {
                Err(error) => return Err(format!("the aggregator at {}: {error}", route.leader())),
                Ok(Some(changes)) => return Ok(changes),
                Ok(None) => {}
            }
        }
    }
}

fn silence_of(route: &LeaderRoute) -> String {
    let seconds = MAX_AGENT_SILENCE.as_secs();
    format!(
        "the aggregator at {} has been silent for {seconds} s: it hangs, or the network is cut",
        route.leader()
    )
}

/// Returns the updates of the state actor for changes. `agents` are those of the environment by host. A host that the
/// leader does not have is lost.
fn updates_of(
    environment: &Name,
    changes: HostChanges,
    agents: &HashMap<&Name, &AgentClient>,
) -> Vec<(AgentId, Vec<AgentUpdate>)> {
    let mut unnamed: HashSet<&Name> = HashSet::new();
    if changes.is_complete {
        unnamed.extend(agents.keys());
    }
    let mut updates = Vec::with_capacity(changes.hosts.len());
    for (host, of_host) in changes.hosts {
        let Some(agent) = agents.get(&host) else { continue };
        unnamed.remove(&host);
        for update in &of_host {
            if let AgentUpdate::Report(report, _) = update {
                agent.note_relayed_report(report);
            }
        }
        updates.push((agent.id(), of_host));
    }
    let lost = || {
        AgentUpdate::Lost(format!(
            "the aggregator that leads {environment} does not have this host in its configuration; give all aggregators \
             the same files, then run rta config reload"
        ))
    };
    updates.extend(unnamed.into_iter().filter_map(|host| Some((agents.get(host)?.id(), vec![lost()]))));
    updates
}
