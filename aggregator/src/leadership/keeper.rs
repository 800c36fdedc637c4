//! Thread that keeps the lease: it sends the statements of the state machine to the database.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use super::lease::{LEASE_LENGTH, LeaseAnswer, LeaseStatement, LeaseStatus, Uptime};
use crate::store::{LeaseHolder, LeaseSession, PostgresLocation};

/// Time limit for the release of the lease at the end.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns the time since the boot of this machine.
pub(crate) fn uptime() -> Uptime {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// Running thread that keeps the lease. It is no task of the runtime, which may be busy for longer than a lease lasts.
#[derive(Debug)]
pub struct LeaseKeeper {
    status: watch::Receiver<LeaseStatus>,
    /// The thread ends when this is dropped.
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl LeaseKeeper {
    /// Starts to take or follow the lease in this database. `address` is shown to people as that of this aggregator;
    /// other aggregators call it at `grpc_address`, unless that is empty. The epoch is at least `lowest_epoch`.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be started.
    pub fn start(
        location: PostgresLocation,
        address: String,
        grpc_address: String,
        lowest_epoch: u64,
    ) -> std::io::Result<Self> {
        let holder = LeaseHolder::this_process(address, grpc_address);
        let (publisher, status) = watch::channel(LeaseStatus::default());
        let (end, ended) = channel();
        let mut worker = LeaseWorker { location, holder, lowest_epoch, session: None };
        let thread = std::thread::Builder::new().name("lease".to_owned()).spawn(move || {
            loop {
                let (sent_at, before) = (uptime(), publisher.borrow().clone());
                let answer = worker.send(before.next_statement());
                let status = before.clone().after(sent_at, answer);
                log_change(&before, &status);
                let wait = (sent_at + status.interval()).saturating_sub(uptime());
                publisher.send_replace(status);
                if ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            worker.release(publisher.borrow().epoch());
        })?;
        Ok(Self { status, end, thread })
    }

    /// Returns a receiver of what is known of the lease.
    pub(super) fn status(&self) -> watch::Receiver<LeaseStatus> {
        self.status.clone()
    }

    /// Ends the lease, so that another aggregator leads at once. Nothing may be recorded after it.
    pub(super) async fn release(self) {
        drop(self.end);
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        if !matches!(tokio::time::timeout(RELEASE_TIMEOUT, joined).await, Ok(Ok(Ok(())))) {
            tracing::warn!("the lease was not released; it expires by itself");
        }
    }
}

/// Connection of the thread.
struct LeaseWorker {
    location: PostgresLocation,
    holder: LeaseHolder,
    lowest_epoch: u64,
    /// `None`: it has to be made.
    session: Option<LeaseSession>,
}

impl LeaseWorker {
    /// Sends a statement, and returns its answer.
    fn send(&mut self, statement: LeaseStatement) -> LeaseAnswer {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => match LeaseSession::connect(&self.location, &self.holder) {
                Ok(session) => session,
                Err(error) => return LeaseAnswer::Failed(format!("{}: {error}", self.location)),
            },
        };
        let is_held = match statement {
            LeaseStatement::Acquire => {
                session.acquire(&self.holder, self.lowest_epoch, LEASE_LENGTH).map(|epoch| epoch.is_some())
            }
            LeaseStatement::Renew { epoch } => session.renew(&self.holder, epoch, LEASE_LENGTH),
        };
        let answer = is_held.and_then(|is_held| Ok((is_held, session.read_leader()?)));
        match answer {
            Ok((true, Some(leader))) if leader.holder == self.holder => {
                self.session = Some(session);
                LeaseAnswer::Held(leader)
            }
            Ok((_, leader)) => {
                self.session = Some(session);
                LeaseAnswer::NotHeld(leader)
            }
            // The connection is made again.
            Err(error) => LeaseAnswer::Failed(format!("{}: {error}", self.location)),
        }
    }

    fn release(&mut self, epoch: Option<u64>) {
        let (Some(session), Some(epoch)) = (&mut self.session, epoch) else { return };
        if let Err(error) = session.release(&self.holder, epoch) {
            tracing::warn!(%error, "the lease was not released; it expires by itself");
        }
    }
}

fn log_change(before: &LeaseStatus, now: &LeaseStatus) {
    match (before.epoch(), now.epoch()) {
        (was, Some(epoch)) if was != Some(epoch) => tracing::info!(epoch, "this aggregator leads"),
        (Some(epoch), None) => tracing::warn!(epoch, "another aggregator leads: this one steps down"),
        _ => {}
    }
    if before.failure.is_none()
        && let Some(reason) = &now.failure
    {
        tracing::warn!(reason, "the lease is not renewed");
    }
    if let Some(leader) = now.other.as_ref().filter(|_| before.other != now.other) {
        tracing::info!(%leader, epoch = leader.epoch, "another aggregator leads");
    }
}
