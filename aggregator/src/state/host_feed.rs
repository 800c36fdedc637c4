//! Feed of the states of all hosts, for those who do not follow the agents themselves.

use std::time::Duration;

use rta_shared::timing::HEARTBEAT_INTERVAL;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::state::actor::{StateInbox, StateMessage};
use crate::state::host_state::HostChanges;

/// Minimum time between two answers, so that many changes share them.
const MIN_INTERVAL: Duration = Duration::from_millis(20);

/// Feed of the states of all hosts of one state actor; clones read it independently.
#[derive(Clone, Debug)]
pub(crate) struct HostStateFeed {
    inbox: StateInbox,
    /// Notified when states may have changed in more than times and usage.
    changes: watch::Receiver<()>,
}

impl HostStateFeed {
    /// Creates the feed of the state actor with this inbox.
    pub(crate) fn new(inbox: StateInbox, changes: watch::Receiver<()>) -> Self {
        Self { inbox, changes }
    }

    /// Returns true if both are feeds of the same state actor.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.inbox.same_channel(&other.inbox)
    }

    /// Returns the current version of the states, after every message sent before; `None`: the state actor has
    /// ended.
    pub(crate) async fn version(&self) -> Option<u64> {
        Some(self.changes_since(u64::MAX).await?.version)
    }

    async fn changes_since(&self, since: u64) -> Option<HostChanges> {
        let (reply, changes) = oneshot::channel();
        self.inbox.send(StateMessage::CollectHostChanges(since, reply)).await.ok()?;
        changes.await.ok()
    }

    /// Returns a reader that begins with the states of all hosts.
    pub(crate) fn reader(&self) -> HostStateReader {
        let mut feed = self.clone();
        feed.changes.mark_changed();
        HostStateReader { feed, version: 0, earliest: Instant::now() }
    }
}

/// Reader of a [`HostStateFeed`].
#[derive(Debug)]
pub(crate) struct HostStateReader {
    feed: HostStateFeed,
    /// Version that was read last.
    version: u64,
    /// Earliest time of the next answer.
    earliest: Instant,
}

impl HostStateReader {
    /// Returns the changes since the last call: soon after a change of more than times and usage, and otherwise
    /// within the interval of a heartbeat. The first call returns the states of all hosts. `None`: the state actor
    /// has ended.
    pub(crate) async fn next(&mut self) -> Option<HostChanges> {
        tokio::time::sleep_until(self.earliest).await;
        if let Ok(changed) = tokio::time::timeout(HEARTBEAT_INTERVAL, self.feed.changes.changed()).await {
            changed.ok()?;
        }
        let changes = self.feed.changes_since(self.version).await?;
        self.version = changes.version;
        self.earliest = Instant::now() + MIN_INTERVAL;
        Some(changes)
    }
}
