//! The one owner of what is known: hears the followers, concludes, publishes.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::config::Platform;
use rta_shared::dependency::DependencyGraph;
use rta_shared::overview::Overview;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::conclusion::conclude;
use crate::knowledge::{HostKnowledge, News};

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
    /// News of the host at this position among [`Platform::hosts`].
    News(usize, News),
    /// Answered when everything told before is in the published overview.
    Flush(oneshot::Sender<()>),
}

/// A place to leave messages for the hub.
pub(crate) type Inbox = mpsc::Sender<Message>;

/// The hub of `platform`: where to leave messages, where to read the overview, and the task that must run.
pub(crate) fn hub(
    platform: Arc<Platform>,
) -> (Inbox, watch::Receiver<Arc<Overview>>, impl Future<Output = ()> + Send) {
    let (inbox, messages) = mpsc::channel(INBOX);
    let hub = Hub {
        graph: DependencyGraph::new(&platform),
        knowledge: platform.hosts().map(|_| HostKnowledge::default()).collect(),
        platform,
    };
    let (publisher, overview) = watch::channel(Arc::new(hub.overview()));
    (inbox, overview, hub.run(messages, publisher))
}

struct Hub {
    platform: Arc<Platform>,
    graph: DependencyGraph,
    knowledge: Vec<HostKnowledge>,
}

impl Hub {
    fn overview(&self) -> Overview {
        Overview {
            generated_at: Timestamp::now(),
            environments: conclude(&self.platform, &self.graph, &self.knowledge),
            config_digest: self.platform.digest.clone(),
            config_error: None,
        }
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
                            Message::News(at, news) => {
                                changed |= self.knowledge.get_mut(at).is_some_and(|known| known.learn(news));
                                only_times_changed = true;
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

/// One line in the log for each instance and host that changed.
fn log_changes(before: &Overview, after: &Overview) {
    for (old, new) in before.instances().zip(after.instances()) {
        if old.instance.health != new.instance.health {
            let (from, to) = (old.instance.health.word(), new.instance.health.word());
            let reason = new.instance.reason.as_str();
            tracing::info!(instance = %new.id(), from, to, reason, "health changed");
        }
    }
    let hosts = |overview: &'_ Overview| -> Vec<_> {
        overview.environments.iter().flat_map(|environment| environment.hosts.clone()).collect()
    };
    for (old, new) in hosts(before).iter().zip(hosts(after)) {
        if old.reachable != new.reachable || old.error != new.error {
            match &new.error {
                Some(error) => tracing::warn!(host = %new.name, error, "host unknown"),
                None => tracing::info!(host = %new.name, "host reachable"),
            }
        }
    }
}
