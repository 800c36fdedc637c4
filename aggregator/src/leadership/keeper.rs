//! Thread that keeps the leases: it sends the statements about them to the database.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rta_shared::name::Name;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use super::division::LeaseDivision;
use super::lease::{LEASE_LENGTH, LeaseStatus, RENEW_INTERVAL, Uptime};
use crate::store::{LeaseHolder, LeaseSession, PostgresLocation, StoreError};

/// Time limit for the release of the leases at the end.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns the time since the boot of this machine.
pub(crate) fn uptime() -> Uptime {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// Request to the thread.
#[derive(Debug)]
enum KeeperRequest {
    /// Take part in leading these environments.
    SetEnvironments(Vec<Name>),
    /// Release the lease of this environment and epoch. Nothing of it may be recorded after this.
    Release(Name, u64),
    /// Release all leases, and end.
    End,
}

/// Running thread that keeps the leases; clones share it. It is no task of the runtime, which may be busy for
/// longer than a lease lasts.
#[derive(Clone, Debug)]
pub struct LeaseKeeper {
    name: String,
    status: watch::Receiver<LeaseStatus>,
    requests: Sender<KeeperRequest>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl LeaseKeeper {
    /// Starts to take part in leading `environments` in this database. `address` is shown to people as that
    /// of this aggregator; other aggregators call it at `grpc_address`, unless that is empty. Epochs are at
    /// least `lowest_epoch`.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be started.
    pub fn start(
        location: PostgresLocation,
        address: String,
        grpc_address: String,
        lowest_epoch: u64,
        environments: Vec<Name>,
    ) -> std::io::Result<Self> {
        let holder = LeaseHolder::this_process(address, grpc_address);
        let name = holder.name.clone();
        let (publisher, status) = watch::channel(LeaseStatus::default());
        let (requests, received) = channel();
        let worker = LeaseWorker { location, holder, lowest_epoch, environments, session: None };
        let thread = std::thread::Builder::new()
            .name("leases".to_owned())
            .spawn(move || worker.run(&publisher, &received))?;
        Ok(Self { name, status, requests, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Returns the name of this aggregator among the holders of leases.
    pub(crate) fn holder_name(&self) -> &str {
        &self.name
    }

    /// Returns a receiver of what is known of the leases.
    pub(crate) fn status(&self) -> watch::Receiver<LeaseStatus> {
        self.status.clone()
    }

    /// Replaces the environments in whose leading this aggregator takes part.
    pub(crate) fn set_environments(&self, environments: Vec<Name>) {
        // The thread ends only at shutdown, here and below.
        let _ = self.requests.send(KeeperRequest::SetEnvironments(environments));
    }

    /// Ends the lease of an environment, so that another aggregator leads it at once. Nothing of it may be
    /// recorded after this.
    pub(crate) fn release(&self, environment: Name, epoch: u64) {
        let _ = self.requests.send(KeeperRequest::Release(environment, epoch));
    }

    /// Ends all leases and the thread.
    pub async fn end(&self) {
        let _ = self.requests.send(KeeperRequest::End);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        let joined = tokio::task::spawn_blocking(move || thread.join());
        if !matches!(tokio::time::timeout(RELEASE_TIMEOUT, joined).await, Ok(Ok(Ok(())))) {
            tracing::warn!("the leases were not released; they expire by themselves");
        }
    }
}

/// State of the thread.
struct LeaseWorker {
    location: PostgresLocation,
    holder: LeaseHolder,
    lowest_epoch: u64,
    /// Environments of the configuration.
    environments: Vec<Name>,
    /// `None`: it has to be made.
    session: Option<LeaseSession>,
}

impl LeaseWorker {
    fn run(mut self, publisher: &watch::Sender<LeaseStatus>, requests: &Receiver<KeeperRequest>) {
        let mut due_at = uptime();
        loop {
            match requests.recv_timeout(due_at.saturating_sub(uptime())) {
                Ok(KeeperRequest::SetEnvironments(environments)) => self.environments = environments,
                Ok(KeeperRequest::Release(environment, epoch)) => self.release(&environment, epoch),
                Ok(KeeperRequest::End) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let (sent_at, before) = (uptime(), publisher.borrow().clone());
                    let status = match self.exchange(sent_at) {
                        Ok(status) => status,
                        Err(error) => {
                            // The connection is made again.
                            self.session = None;
                            before.clone().after_failure(format!("{}: {error}", self.location))
                        }
                    };
                    log_changes(&before, &status);
                    publisher.send_replace(status);
                    due_at = sent_at + RENEW_INTERVAL;
                }
            }
        }
        if let Some(session) = &mut self.session
            && let Err(error) = session.leave(&self.holder)
        {
            tracing::warn!(%error, "the leases were not released; they expire by themselves");
        }
    }

    /// Renews the own leases, takes those that nobody has, and returns what is known then.
    fn exchange(&mut self, sent_at: Uptime) -> Result<LeaseStatus, StoreError> {
        let session = match &mut self.session {
            Some(session) => session,
            None => self.session.insert(LeaseSession::connect(&self.location, &self.holder)?),
        };
        let own = self.holder.name.as_str();
        session.renew(&self.holder, &self.environments, LEASE_LENGTH)?;
        let mut table = session.read()?;
        let mut division = LeaseDivision::new(own, &table);
        let mut free = division.free(&self.environments);
        // Each begins elsewhere, so that two do not ask for the same one.
        let first = usize::try_from(hash(own)).unwrap_or(0).checked_rem(free.len()).unwrap_or(0);
        free.rotate_left(first);
        let mut is_changed = false;
        for environment in free {
            if division.takes(environment) {
                let epoch = session.acquire(&self.holder, environment, self.lowest_epoch, LEASE_LENGTH)?;
                is_changed = true;
                if epoch.is_some() {
                    division.add_own();
                }
            }
        }
        if is_changed {
            table = session.read()?;
        }
        // The table has lower-case names; people are shown those of the configuration.
        for lease in &mut table.leases {
            if let Some(known) = self.environments.iter().find(|known| **known == lease.environment) {
                lease.environment = known.clone();
            }
        }
        let surplus = LeaseDivision::new(own, &table).surplus();
        Ok(LeaseStatus::after_answer(&table, own, sent_at, surplus))
    }

    fn release(&mut self, environment: &Name, epoch: u64) {
        let Some(session) = &mut self.session else { return };
        if let Err(error) = session.release(&self.holder, environment, epoch) {
            tracing::warn!(%environment, %error, "the lease was not released; it expires by itself");
            self.session = None;
        }
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() >> 32
}

fn log_changes(before: &LeaseStatus, now: &LeaseStatus) {
    for (environment, leader) in &now.own {
        if before.epoch(environment) != Some(leader.epoch) {
            tracing::info!(%environment, epoch = leader.epoch, "this aggregator leads");
        }
    }
    for (environment, leader) in &before.own {
        if !now.own.contains_key(environment) {
            tracing::info!(%environment, epoch = leader.epoch, "this aggregator does not lead any more");
        }
    }
    for (environment, leader) in &now.others {
        if before.others.get(environment) != Some(leader) {
            tracing::info!(%environment, %leader, epoch = leader.epoch, "another aggregator leads");
        }
    }
    if before.failure.is_none()
        && let Some(reason) = &now.failure
    {
        tracing::warn!(reason, "the leases are not renewed");
    }
}
