//! The one owner of what is known: hears the followers, concludes, publishes.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::dependency::DependencyGraph;
use rta_shared::overview::Overview;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::agent::AgentId;
use crate::changes::log_changes;
use crate::conclusion::conclude;
use crate::fleet::Fleet;
use crate::knowledge::{Knowledge, News};

/// A change is published at once; mere scan times wait this long, so that a thousand heartbeats a second do not
/// make a thousand overviews.
const SCAN_TIMES: Duration = Duration::from_millis(500);
/// How many messages may wait. A follower whose message finds no room waits with it.
const INBOX: usize = 1024;
/// How many waiting messages are taken in before concluding anew.
const BATCH: usize = 256;

/// What the hub is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// News from this agent.
    News(AgentId, News),
    /// From now on this is the platform.
    Replace(Arc<Fleet>),
    /// A configuration that was to replace the platform's is not right: every problem, one a line.
    Refused(String),
    /// Answered when everything told before is in the published overview.
    Flush(oneshot::Sender<()>),
}

/// A place to leave messages for the hub.
pub(crate) type Inbox = mpsc::Sender<Message>;

/// Returns when everything that was told before is in the published overview, or the hub has ended.
pub(crate) async fn flush(inbox: &Inbox) {
    let (done, published) = oneshot::channel();
    if inbox.send(Message::Flush(done)).await.is_ok() {
        // An error says that the hub ended; what it published last is all there is.
        let _ = published.await;
    }
}

/// The hub of `fleet`: where to leave messages, where to read the overview, and the task that must run.
pub(crate) fn hub(
    fleet: Arc<Fleet>,
) -> (Inbox, watch::Receiver<Arc<Overview>>, impl Future<Output = ()> + Send) {
    let (inbox, messages) = mpsc::channel(INBOX);
    let hub = Hub {
        graph: DependencyGraph::new(&fleet.platform),
        knowledge: Knowledge::of(fleet.ids()),
        fleet,
        config_error: None,
    };
    let (publisher, overview) = watch::channel(Arc::new(hub.overview()));
    (inbox, overview, hub.run(messages, publisher))
}

struct Hub {
    fleet: Arc<Fleet>,
    graph: DependencyGraph,
    knowledge: Knowledge,
    config_error: Option<String>,
}

impl Hub {
    fn overview(&self) -> Overview {
        let platform = &self.fleet.platform;
        Overview {
            generated_at: Timestamp::now(),
            environments: conclude(platform, &self.graph, self.knowledge.hosts()),
            config_digest: platform.digest.clone(),
            config_error: self.config_error.clone(),
            record_error: None,
        }
    }

    fn replace(&mut self, fleet: Arc<Fleet>) {
        self.graph = DependencyGraph::new(&fleet.platform);
        self.knowledge = std::mem::take(&mut self.knowledge).carried_over(fleet.ids());
        self.fleet = fleet;
        self.config_error = None;
    }

    async fn run(mut self, mut messages: mpsc::Receiver<Message>, publisher: watch::Sender<Arc<Overview>>) {
        let mut scan_times = tokio::time::interval(SCAN_TIMES);
        scan_times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        let mut only_times_changed = false;
        loop {
            tokio::select! {
                taken = messages.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    let mut changed = false;
                    let mut flushed = Vec::new();
                    for message in batch.drain(..) {
                        match message {
                            Message::News(agent, news) => {
                                changed |= self.knowledge.learn(agent, news);
                                only_times_changed = true;
                            }
                            Message::Replace(fleet) => {
                                self.replace(fleet);
                                changed = true;
                            }
                            Message::Refused(problems) => {
                                self.config_error = Some(problems);
                                changed = true;
                            }
                            Message::Flush(done) => flushed.push(done),
                        }
                    }
                    if changed || (only_times_changed && !flushed.is_empty()) {
                        self.publish(&publisher);
                        only_times_changed = false;
                    }
                    for done in flushed {
                        // Whoever asked may have gone.
                        let _ = done.send(());
                    }
                }
                _ = scan_times.tick(), if only_times_changed => {
                    self.publish(&publisher);
                    only_times_changed = false;
                }
            }
        }
    }

    fn publish(&self, publisher: &watch::Sender<Arc<Overview>>) {
        let overview = Arc::new(self.overview());
        log_changes(&publisher.borrow(), &overview);
        publisher.send_replace(overview);
    }
}
