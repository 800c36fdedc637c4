//! Lease by which one of several aggregators leads. Its row outlives the leader, so that the epoch never
//! decreases. The server's clock alone decides when it expires.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

use super::PostgresSession;
use super::session_name::{holder_process, new_session_name};
use super::{PostgresLocation, SETTINGS};
use crate::store::sql::{SqlSession, StoreError, values};

/// Key of the lease of the whole platform; a lease of a single environment would have that one's name.
const EVERY_ENVIRONMENT: &str = "*";
/// Time limit for one statement about the lease; much less than its length.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);
/// Table of the leases. It is not part of the versioned schema, because an aggregator reads it before it
/// leads.
const TABLE: &str = "\
CREATE TABLE IF NOT EXISTS rta_leases (\
environment TEXT PRIMARY KEY, holder TEXT NOT NULL, address TEXT NOT NULL, epoch BIGINT NOT NULL, \
since BIGINT NOT NULL, expires_at TIMESTAMPTZ NOT NULL, grpc_address TEXT NOT NULL)";

/// Aggregator as it takes part in the leadership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseHolder {
    /// Name of this process, which no other one has.
    pub(crate) name: String,
    /// Address at which people reach this aggregator.
    pub(crate) address: String,
    /// Address at which other aggregators call it; empty: they cannot.
    pub(crate) grpc_address: String,
}

impl LeaseHolder {
    /// Creates the holder for this process.
    pub(crate) fn this_process(address: String, grpc_address: String) -> Self {
        Self { name: new_session_name(), address, grpc_address }
    }
}

/// Leader, as its lease names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) holder: LeaseHolder,
    pub(crate) epoch: u64,
    /// Time at which it took the lead, by the server's clock.
    pub(crate) since: Timestamp,
}

impl Leader {
    /// Returns host and process ID, such as `host, pid 12`.
    pub(crate) fn process(&self) -> String {
        holder_process(&self.holder.name)
    }
}

impl fmt::Display for Leader {
    /// Formats as `10.0.0.7:8080 (host, pid 12)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.holder.address, self.process())
    }
}

/// Lease that this aggregator holds or held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLease {
    pub(crate) holder: String,
    pub(crate) epoch: u64,
}

impl HeldLease {
    /// Creates the lease of this aggregator that leads.
    pub(crate) fn of(leader: &Leader) -> Self {
        Self { holder: leader.holder.name.clone(), epoch: leader.epoch }
    }

    /// Returns true if nobody has taken the lease over since, even if it has expired.
    pub(super) fn is_held(&self, session: &mut dyn SqlSession) -> Result<bool, StoreError> {
        let held = session.query_first(
            "SELECT 1::bigint FROM rta_leases WHERE environment = ?1 AND holder = ?2 AND epoch = ?3",
            values![EVERY_ENVIRONMENT, &self.holder, self.epoch],
            |row| row.integer(0),
        )?;
        Ok(held.is_some())
    }
}

/// Connection for statements about the lease, apart from that of the writer: a slow write must not cost the
/// lease.
#[derive(Debug)]
pub(crate) struct LeaseSession(PostgresSession);

impl LeaseSession {
    /// Connects to the server, and creates the table if it is missing.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached or refuses.
    pub(crate) fn connect(location: &PostgresLocation, holder: &LeaseHolder) -> Result<Self, StoreError> {
        let session = PostgresSession::connect(location, &holder.name)?;
        let mut session = session.with_statement_timeout(STATEMENT_TIMEOUT);
        session.execute_batch(SETTINGS)?;
        session.execute_batch(TABLE)?;
        Ok(Self(session))
    }

    /// Takes the lease for this time if nobody holds it. Returns the new epoch, which is higher than any
    /// before and at least `lowest_epoch`; `None` if another aggregator holds the lease.
    pub(crate) fn acquire(
        &mut self,
        holder: &LeaseHolder,
        lowest_epoch: u64,
        length: Duration,
    ) -> Result<Option<u64>, StoreError> {
        let session: &mut dyn SqlSession = &mut self.0;
        session.query_first(
            "INSERT INTO rta_leases (environment, holder, address, epoch, since, expires_at, grpc_address) \
             VALUES (?1, ?2, ?3, ?4::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
             clock_timestamp() + ?5::bigint * interval '1 millisecond', ?6) \
             ON CONFLICT (environment) DO UPDATE SET holder = excluded.holder, address = excluded.address, \
             epoch = GREATEST(rta_leases.epoch + 1, excluded.epoch), since = excluded.since, \
             expires_at = excluded.expires_at, grpc_address = excluded.grpc_address WHERE rta_leases.expires_at <= clock_timestamp() RETURNING epoch",
            values![
                EVERY_ENVIRONMENT,
                &holder.name,
                &holder.address,
                lowest_epoch.max(1),
                millis(length),
                &holder.grpc_address,
            ],
            |row| row.number(0),
        )
    }

    /// Extends the lease of this epoch by this time from now. Returns false if another aggregator has taken
    /// it. An expired lease that nobody has taken is extended too.
    pub(crate) fn renew(
        &mut self,
        holder: &LeaseHolder,
        epoch: u64,
        length: Duration,
    ) -> Result<bool, StoreError> {
        let renewed = self.0.execute(
            "UPDATE rta_leases SET expires_at = clock_timestamp() + ?4::bigint * interval '1 millisecond' \
             WHERE environment = ?1 AND holder = ?2 AND epoch = ?3",
            values![EVERY_ENVIRONMENT, &holder.name, epoch, millis(length)],
        )?;
        Ok(renewed == 1)
    }

    /// Ends the lease of this epoch, so that another aggregator takes it at once.
    pub(crate) fn release(&mut self, holder: &LeaseHolder, epoch: u64) -> Result<(), StoreError> {
        let sql = "UPDATE rta_leases SET expires_at = clock_timestamp() \
                   WHERE environment = ?1 AND holder = ?2 AND epoch = ?3";
        self.0.execute(sql, values![EVERY_ENVIRONMENT, &holder.name, epoch]).map(drop)
    }

    /// Returns the aggregator that leads or led last.
    pub(crate) fn read_leader(&mut self) -> Result<Option<Leader>, StoreError> {
        let session: &mut dyn SqlSession = &mut self.0;
        session.query_first(
            "SELECT holder, address, epoch, since, grpc_address \
             FROM rta_leases WHERE environment = ?1",
            values![EVERY_ENVIRONMENT],
            |row| {
                let holder =
                    LeaseHolder { name: row.text(0)?, address: row.text(1)?, grpc_address: row.text(4)? };
                let leader = Leader { holder, epoch: row.number(2)?, since: row.time(3)? };
                Ok(leader)
            },
        )
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
