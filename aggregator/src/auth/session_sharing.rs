//! Thread that shares sessions with the other aggregators over one database.
//!
//! Each aggregator keeps the sessions that it has seen in memory, so that people stay signed in while the database
//! does not answer, and learns within a second of those that were ended elsewhere.

use std::collections::HashSet;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::sessions::MAX_LIFETIME;
use crate::store::{PostgresLocation, SessionTable, SharedSession, StoreError};

/// Capacity of the queue. Random cookies of strangers make questions, too; beyond it nobody is found.
const QUEUE_CAPACITY: usize = 256;
/// Time limit for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Interval between two looks for sessions that were ended elsewhere.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Time until the next attempt to connect.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Time by which looks overlap: a transaction may end later than another one that began after it.
const OVERLAP: Duration = Duration::from_secs(30);

/// Command to the thread.
#[derive(Debug)]
enum SharingCommand {
    Begin(Box<SharedSession>, oneshot::Sender<bool>),
    Find(String, oneshot::Sender<Option<SharedSession>>),
    Touch(String),
    End(String, oneshot::Sender<bool>),
}

/// Receiver of the digests of sessions that were ended elsewhere.
pub(super) trait EndedSessions: Send + Sync {
    /// Ends sessions here, too.
    fn end_sessions(&self, digests: &[String]);
}

/// Handle to the thread.
#[derive(Debug)]
pub(super) struct SessionSharing(SyncSender<SharingCommand>);

impl SessionSharing {
    /// Starts the thread, which ends with `sessions`.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be started.
    pub(super) fn start<S: EndedSessions + 'static>(
        location: PostgresLocation,
        sessions: Weak<S>,
    ) -> std::io::Result<Self> {
        let (sender, commands) = sync_channel(QUEUE_CAPACITY);
        let mut worker = SharingWorker {
            location,
            table: None,
            retry_at: Instant::now(),
            is_failing: false,
            unsent_ends: HashSet::new(),
        };
        std::thread::Builder::new()
            .name("sessions".to_owned())
            .spawn(move || worker.run(&commands, &sessions))?;
        Ok(Self(sender))
    }

    /// Adds a session. Returns false if the others do not learn of it.
    pub(super) async fn begin(&self, new: SharedSession) -> bool {
        self.ask(|answer| SharingCommand::Begin(Box::new(new), answer)).await.unwrap_or_default()
    }

    /// Returns the session with this digest; `None` also if the database does not answer.
    pub(super) async fn find(&self, digest: &str) -> Option<SharedSession> {
        self.ask(|answer| SharingCommand::Find(digest.to_owned(), answer)).await.flatten()
    }

    /// Records soon that a session is used.
    pub(super) fn touch(&self, digest: &str) {
        if let Err(TrySendError::Disconnected(_)) = self.0.try_send(SharingCommand::Touch(digest.to_owned()))
        {
            tracing::debug!("the thread of the sessions has ended");
        }
    }

    /// Ends a session everywhere. Returns false if the others do not learn of it.
    pub(super) async fn end(&self, digest: &str) -> bool {
        self.ask(|answer| SharingCommand::End(digest.to_owned(), answer)).await.unwrap_or_default()
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> SharingCommand) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(command(answer)).ok()?;
        tokio::time::timeout(ANSWER_TIMEOUT, answered).await.ok()?.ok()
    }
}

/// Connection of the thread.
struct SharingWorker {
    location: PostgresLocation,
    /// `None`: it has to be made.
    table: Option<SessionTable>,
    retry_at: Instant,
    is_failing: bool,
    /// Sessions that were ended here while the database did not answer.
    unsent_ends: HashSet<String>,
}

impl SharingWorker {
    fn run<S: EndedSessions>(&mut self, commands: &Receiver<SharingCommand>, sessions: &Weak<S>) {
        let (mut poll_at, mut polled_at) = (Instant::now(), Instant::now());
        loop {
            match commands.recv_timeout(poll_at.saturating_duration_since(Instant::now())) {
                // The receivers may be gone.
                Ok(SharingCommand::Begin(new, answer)) => {
                    let _ = answer.send(self.with_table(|table| table.begin(&new, MAX_LIFETIME)).is_some());
                }
                Ok(SharingCommand::Find(digest, answer)) => {
                    let is_ended = self.unsent_ends.contains(&digest);
                    let found = self.with_table(|table| table.find(&digest)).flatten();
                    let _ = answer.send(found.filter(|_| !is_ended));
                }
                Ok(SharingCommand::Touch(digest)) => {
                    self.with_table(|table| table.touch(&digest));
                }
                Ok(SharingCommand::End(digest, answer)) => {
                    let is_sent = self.with_table(|table| table.end(&digest)).is_some();
                    if !is_sent {
                        self.unsent_ends.insert(digest);
                    }
                    let _ = answer.send(is_sent);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if poll_at > Instant::now() {
                continue;
            }
            let Some(sessions) = sessions.upgrade() else { return };
            let within = polled_at.elapsed() + OVERLAP;
            if let Some(ended) = self.with_table(|table| table.read_ended(within)) {
                polled_at = Instant::now();
                sessions.end_sessions(&ended);
                let unsent = std::mem::take(&mut self.unsent_ends);
                let unsent =
                    unsent.into_iter().filter(|digest| self.with_table(|table| table.end(digest)).is_none());
                self.unsent_ends = unsent.collect();
            }
            poll_at = Instant::now() + POLL_INTERVAL;
        }
    }

    /// Returns the answer of the database; `None` if there is none.
    fn with_table<T>(&mut self, ask: impl FnOnce(&mut SessionTable) -> Result<T, StoreError>) -> Option<T> {
        if self.table.is_none() && self.retry_at > Instant::now() {
            return None;
        }
        let table = match self.table.take() {
            Some(table) => Ok(table),
            None => SessionTable::connect(&self.location),
        };
        match table.and_then(|mut table| ask(&mut table).map(|answer| (table, answer))) {
            Ok((table, answer)) => {
                self.table = Some(table);
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("sessions are shared again");
                }
                Some(answer)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "sessions are not shared: people may have to sign in again elsewhere");
                }
                self.retry_at = Instant::now() + RETRY_INTERVAL;
                None
            }
        }
    }
}
