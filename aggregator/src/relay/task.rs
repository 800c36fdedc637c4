//! Task that receives the states of one environment's hosts from its leader.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::name::Name;
use rta_shared::proto::v1;
use rta_shared::timing::MAX_AGENT_SILENCE;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Streaming};

use super::progress::RelayProgress;
use super::source::RelaySource;
use super::wire::ChangeDecoder;
use crate::agent_id::AgentId;
use crate::agents::client::AgentClient;
use crate::forwarding::LeaderRoute;
use crate::inventory::Inventory;
use crate::pauses::PauseWatch;
use crate::state::actor::{StateInbox, StateMessage};
use crate::state::host_feed::HostStateReader;
use crate::state::host_state::{AgentUpdate, HostChanges};

/// Delay before the leader is asked again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

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
    /// Receives states forever. Nothing is sent to the state actor after it was dropped.
    pub(super) async fn run(self) {
        let mut is_ready = false;
        let mut last_reason = String::new();
        loop {
            let began = self.pauses.now();
            // In a task of its own, so that its panic is caught; it is aborted with this one.
            let attempt = self.clone().receive(is_ready);
            let (end, was_ready) = match AbortOnDropHandle::new(tokio::spawn(attempt)).await {
                Ok(ended) => ended,
                Err(error) => {
                    tracing::error!(environment = %self.environment, %error, "the relay of an environment failed");
                    (StreamEnd::Lost("the relay failed".to_owned()), is_ready)
                }
            };
            let StreamEnd::Lost(reason) = end else {
                is_ready = was_ready;
                continue;
            };
            if self.pauses.excuses(began) {
                // The leader gave up a reader that did not read.
                is_ready = was_ready;
                tokio::time::sleep(RETRY_DELAY).await;
                continue;
            }
            if reason != last_reason {
                let environment = &self.environment;
                tracing::info!(%environment, reason, "the agents of an environment are followed, as its leader does not pass them on");
                last_reason = reason;
            }
            is_ready = false;
            let ended = RelayEvent::Ended { environment: self.environment.clone(), task: self.number };
            // The owner ends this task before it ends itself.
            let _ = self.events.send(ended).await;
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    /// Receives states until they arrive no more. Returns the reason, and whether the owner has been told that they
    /// are there.
    async fn receive(mut self, mut is_ready: bool) -> (StreamEnd, bool) {
        let inventory = Arc::clone(&self.inventory.borrow_and_update());
        let agents: HashMap<&Name, &AgentClient> = inventory
            .agents
            .iter()
            .filter(|agent| *agent.environment() == self.environment)
            .map(|agent| (agent.host(), agent))
            .collect();
        let deadline = Instant::now() + MAX_AGENT_SILENCE;
        let mut incoming = match self.open(deadline).await {
            Ok(incoming) => incoming,
            Err(reason) => return (StreamEnd::Lost(reason), is_ready),
        };
        let mut first = Some(deadline);
        loop {
            let deadline = first.take().unwrap_or_else(|| Instant::now() + MAX_AGENT_SILENCE);
            let received = tokio::select! {
                received = incoming.next(deadline, &self.pauses) => received,
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
    async fn open(&self, deadline: Instant) -> Result<IncomingChanges, String> {
        let route = match &self.source {
            RelaySource::Own(feed) => return Ok(IncomingChanges::Own(feed.reader())),
            RelaySource::Leader(route) => route.clone(),
        };
        let environment = self.environment.as_str().to_owned();
        let mut client = route.client();
        let opening = client.watch_hosts(Request::new(v1::WatchHostsRequest { environment }));
        match tokio::time::timeout_at(deadline, opening).await {
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
    /// Returns the reason why there are none by the deadline, as a sentence.
    async fn next(&mut self, mut deadline: Instant, pauses: &PauseWatch) -> Result<HostChanges, String> {
        let (route, stream, decoder) = match self {
            Self::Own(reader) => {
                let ended = || "this aggregator does not lead it any more".to_owned();
                let changes = tokio::time::timeout_at(deadline, reader.next()).await;
                let hangs = |_| "this aggregator leads it, and its own task hangs".to_owned();
                return changes.map_err(hangs)?.ok_or_else(ended);
            }
            Self::Leader { route, stream, decoder } => (route, stream, decoder),
        };
        loop {
            let began = pauses.now();
            let message = match tokio::time::timeout_at(deadline, stream.message()).await {
                // What was sent meanwhile may not be read yet.
                Err(_) if pauses.excuses(began) => {
                    deadline = Instant::now() + MAX_AGENT_SILENCE;
                    continue;
                }
                Err(_) => return Err(silence_of(route)),
                Ok(Err(status)) => return Err(route.describe_failure(&status).message),
                Ok(Ok(None)) => return Err(format!("the aggregator at {} ended", route.leader())),
                Ok(Ok(Some(message))) => message,
            };
            match decoder.add(message, Timestamp::now()) {
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
