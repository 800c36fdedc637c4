//! Queue of one channel, and the task that delivers its messages in their order.
//!
//! Each channel has a queue and a task of its own: a receiver that hangs delays no other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::Timestamp;
use rta_shared::config::notify::{Channel, ChannelKind};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::deliver::{DeliveryError, RESEND_INTERVAL, deliver, resend};
use super::message::Message;

/// Capacity of a queue. Beyond it the oldest messages are given up, and told.
const CAPACITY: usize = 1000;
/// Shortest and longest time between two attempts.
const MIN_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Message in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueuedMessage {
    /// Number in the outbox.
    pub(crate) number: u64,
    pub(crate) message: Message,
}

/// Queues with the names of their channels, in the order of the file.
pub(crate) type NamedQueues = Vec<(String, Arc<ChannelQueue>)>;

/// Queue of a channel.
#[derive(Debug, Default)]
pub(crate) struct ChannelQueue {
    state: Mutex<QueueState>,
    added: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    waiting: VecDeque<QueuedMessage>,
    delivered: u64,
    given_up: u64,
    last_delivered_at: Option<Timestamp>,
    failure: Option<(Timestamp, String)>,
}

/// State of a channel, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChannelStatus {
    pub(crate) waiting: usize,
    /// Numbers since the aggregator started.
    pub(crate) delivered: u64,
    pub(crate) given_up: u64,
    pub(crate) last_delivered_at: Option<Timestamp>,
    /// Start and last reason of the present failure.
    pub(crate) failure: Option<(Timestamp, String)>,
}

/// Outcome of an attempt.
#[derive(Clone, Debug)]
pub(crate) enum DeliveryOutcome {
    /// The receiver of this channel confirmed it.
    Delivered(String, QueuedMessage),
    /// It is not tried any more by this channel, for this reason.
    GivenUp(String, QueuedMessage, String),
    /// The state of a channel changed.
    Changed,
}

impl ChannelQueue {
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message. Returns those that are given up for lack of space.
    pub(crate) fn push(&self, message: QueuedMessage) -> Vec<QueuedMessage> {
        let mut state = self.state();
        state.waiting.push_back(message);
        let surplus = state.waiting.len().saturating_sub(CAPACITY);
        let lost: Vec<QueuedMessage> = state.waiting.drain(..surplus).collect();
        state.given_up += u64::try_from(lost.len()).unwrap_or(u64::MAX);
        drop(state);
        self.added.notify_one();
        lost
    }

    /// Removes all messages, which are given up.
    pub(crate) fn give_up_all(&self) -> Vec<QueuedMessage> {
        let mut state = self.state();
        let lost: Vec<QueuedMessage> = state.waiting.drain(..).collect();
        state.given_up += u64::try_from(lost.len()).unwrap_or(u64::MAX);
        lost
    }

    /// Ends the failure: a message reached the receiver beside the queue. Returns true if there was a failure.
    pub(crate) fn note_reachable(&self) -> bool {
        self.set_failure(None)
    }

    /// Returns the state for people.
    pub(crate) fn status(&self) -> ChannelStatus {
        let state = self.state();
        ChannelStatus {
            waiting: state.waiting.len(),
            delivered: state.delivered,
            given_up: state.given_up,
            last_delivered_at: state.last_delivered_at,
            failure: state.failure.clone(),
        }
    }

    /// Waits for a message, and returns the first one, which stays in the queue.
    async fn first(&self) -> QueuedMessage {
        loop {
            if let Some(first) = self.state().waiting.front() {
                return first.clone();
            }
            self.added.notified().await;
        }
    }

    /// Removes a message after its last attempt.
    fn finish(&self, number: u64, is_delivered: bool) {
        let mut state = self.state();
        state.waiting.retain(|one| one.number != number);
        match is_delivered {
            true => {
                state.delivered += 1;
                state.last_delivered_at = Some(Timestamp::now());
            }
            false => state.given_up += 1,
        }
    }

    /// Sets or removes the failure. Returns true if that changes the state.
    fn set_failure(&self, reason: Option<String>) -> bool {
        let mut state = self.state();
        let since = state.failure.as_ref().map_or_else(Timestamp::now, |(since, _)| *since);
        let failure = reason.map(|reason| (since, reason));
        let is_new = failure != state.failure;
        state.failure = failure;
        is_new
    }
}

/// Delivers the messages of a channel until it is dropped. A message that cannot be delivered is tried again
/// for `keep`. `open` has the open alerts, which some channels repeat.
pub(crate) async fn run_channel(
    channel: Channel,
    queue: Arc<ChannelQueue>,
    keep: Duration,
    open: watch::Receiver<Vec<Message>>,
    outcomes: mpsc::UnboundedSender<DeliveryOutcome>,
) {
    let mut delays = delays();
    let mut resends = interval(RESEND_INTERVAL);
    resends.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let repeats = matches!(channel.kind, ChannelKind::Alertmanager(_));
    loop {
        let queued = tokio::select! {
            biased;
            queued = queue.first() => queued,
            _ = resends.tick(), if repeats => {
                let alerts = open.borrow().clone();
                let failure = resend(&channel.kind, &alerts).await.err();
                let reason = failure.map(|error| error.reason().to_owned());
                if queue.set_failure(reason) {
                    let _ = outcomes.send(DeliveryOutcome::Changed);
                }
                continue;
            }
        };
        let (number, at) = (queued.number, queued.message.at);
        // The receiver ends with the program alone.
        let _ = match deliver(&channel.kind, &queued.message).await {
            Ok(()) => {
                queue.finish(number, true);
                queue.set_failure(None);
                delays = self::delays();
                outcomes.send(DeliveryOutcome::Delivered(channel.name.clone(), queued))
            }
            Err(DeliveryError::Refused(reason)) => {
                queue.finish(number, false);
                queue.set_failure(Some(reason.clone()));
                outcomes.send(DeliveryOutcome::GivenUp(channel.name.clone(), queued, reason))
            }
            Err(DeliveryError::Failed(reason)) if is_too_old(at, keep) => {
                queue.finish(number, false);
                queue.set_failure(Some(reason.clone()));
                outcomes.send(DeliveryOutcome::GivenUp(channel.name.clone(), queued, reason))
            }
            Err(DeliveryError::Failed(reason)) => {
                tracing::warn!(channel = channel.name, reason, "a notification was not delivered");
                queue.set_failure(Some(reason));
                let sent = outcomes.send(DeliveryOutcome::Changed);
                sleep(delays.next().unwrap_or(MAX_DELAY)).await;
                sent
            }
        };
    }
}

fn is_too_old(at: Timestamp, keep: Duration) -> bool {
    Duration::try_from(Timestamp::now().duration_since(at)).is_ok_and(|age| age > keep)
}

/// Returns the times between attempts, which grow.
fn delays() -> impl Iterator<Item = Duration> {
    let builder = ExponentialBuilder::default().with_min_delay(MIN_DELAY).with_max_delay(MAX_DELAY);
    builder.with_jitter().without_max_times().build()
}

#[cfg(test)]
mod tests {
    use rta_shared::config::notify::CommandChannel;

    use super::*;
    use crate::notify::compose::compose_test;

    fn queued(number: u64) -> QueuedMessage {
        QueuedMessage { number, message: compose_test(Timestamp::now(), &Default::default()) }
    }

    fn channel(script: String) -> Channel {
        let command = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
        let kind = ChannelKind::Command(CommandChannel { command, timeout: Duration::from_secs(60) });
        Channel { name: "ops".to_owned(), kind }
    }

    #[test]
    fn full_queue_gives_up_the_oldest() {
        let queue = ChannelQueue::default();
        for number in 0..u64::try_from(CAPACITY).unwrap() {
            assert!(queue.push(queued(number)).is_empty());
        }
        let lost: Vec<u64> = queue.push(queued(9999)).into_iter().map(|one| one.number).collect();
        assert_eq!((lost, queue.status().waiting, queue.status().given_up), (vec![0], CAPACITY, 1));
    }

    #[tokio::test]
    async fn failed_message_is_retried_and_keeps_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (tried, log) = (folder.path().join("tried"), folder.path().join("log"));
        // The first attempt fails.
        let script = format!(
            "test -e {0} || {{ touch {0}; echo refused >&2; exit 1; }}; echo \"$RTA_KEY\" >> {1}",
            tried.display(),
            log.display()
        );
        let queue = Arc::new(ChannelQueue::default());
        for number in 1..=2 {
            let mut one = queued(number);
            one.message.key = number.to_string();
            queue.push(one);
        }
        let (outcomes, mut received) = mpsc::unbounded_channel();
        let (_open, open) = watch::channel(Vec::new());
        let keep = Duration::from_secs(3600);
        let task = tokio::spawn(run_channel(channel(script), Arc::clone(&queue), keep, open, outcomes));
        let mut kinds = Vec::new();
        while kinds.len() < 3 {
            kinds.push(match received.recv().await.unwrap() {
                DeliveryOutcome::Delivered(_, one) => one.number.to_string(),
                DeliveryOutcome::GivenUp(..) => "given up".to_owned(),
                DeliveryOutcome::Changed => {
                    assert!(queue.status().failure.unwrap().1.ends_with("refused"));
                    "failed".to_owned()
                }
            });
        }
        assert_eq!(kinds, ["failed", "1", "2"]);
        assert_eq!(std::fs::read_to_string(log).unwrap(), "1\n2\n");
        let status = queue.status();
        assert_eq!((status.waiting, status.delivered, status.failure), (0, 2, None));
        task.abort();
    }

    #[test]
    fn receiver_that_is_down_for_an_hour_is_tried_until_it_is_back() {
        let hour = Duration::from_secs(3600);
        let mut delays = delays();
        let (mut down_for, mut attempts) = (Duration::ZERO, 0);
        while down_for < hour {
            let delay = delays.next().unwrap();
            assert!(delay >= MIN_DELAY && delay <= 2 * MAX_DELAY, "{delay:?}");
            down_for += delay;
            attempts += 1;
        }
        assert!((30..=66).contains(&attempts), "{attempts}");
        let keep = Duration::from_secs(24 * 3600);
        assert!(!is_too_old(Timestamp::now() - jiff::SignedDuration::from_hours(1), keep));
    }

    #[tokio::test]
    async fn message_is_given_up_when_it_is_too_old() {
        let queue = Arc::new(ChannelQueue::default());
        let mut old = queued(1);
        old.message.at = Timestamp::UNIX_EPOCH;
        queue.push(old);
        let (outcomes, mut received) = mpsc::unbounded_channel();
        let (_open, open) = watch::channel(Vec::new());
        let task = run_channel(
            channel("exit 1".to_owned()),
            Arc::clone(&queue),
            Duration::from_secs(60),
            open,
            outcomes,
        );
        let task = tokio::spawn(task);
        assert!(
            matches!(received.recv().await, Some(DeliveryOutcome::GivenUp(_, one, _)) if one.number == 1)
        );
        task.abort();
    }
}
