//! Leases by which aggregators lead environments, one for each. Its row outlives a leader, so that the epoch
//! never decreases. The server's clock alone decides when it expires.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::name::Name;

use super::PostgresSession;
use super::session_name::{holder_process, new_session_name};
use super::{PostgresLocation, SETTINGS};
use crate::store::sql::{SqlSession, StoreError, values};

/// Key of the lease of all environments together, by which earlier versions led.
const EVERY_ENVIRONMENT: &str = "*";
/// Time limit for one statement about the leases; much less than their length.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);
/// Tables of the leases, and of the aggregators that take part. They are not part of the versioned schema,
/// because an aggregator reads them before it leads.
const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS rta_leases (\
     environment TEXT PRIMARY KEY, holder TEXT NOT NULL, address TEXT NOT NULL, epoch BIGINT NOT NULL, \
     since BIGINT NOT NULL, expires_at TIMESTAMPTZ NOT NULL, grpc_address TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS rta_aggregators (\
     holder TEXT PRIMARY KEY, environments TEXT NOT NULL, expires_at TIMESTAMPTZ NOT NULL)",
];

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

/// Aggregator that takes part at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaseCandidate {
    /// Name of its process.
    pub(crate) name: String,
    /// Environments of its configuration, which it leads if nobody else does.
    pub(crate) environments: Vec<Name>,
}

/// Lease that somebody holds at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CurrentLease {
    pub(crate) environment: Name,
    pub(crate) leader: Leader,
}

/// Leases and candidates of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaseTable {
    pub(crate) leases: Vec<CurrentLease>,
    pub(crate) candidates: Vec<LeaseCandidate>,
}

/// Connection for statements about the leases, apart from those of the writers: a slow write must not cost a
/// lease.
#[derive(Debug)]
pub(crate) struct LeaseSession(PostgresSession);

impl LeaseSession {
    /// Connects to the server, and creates the tables if they are missing.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached or refuses.
    pub(crate) fn connect(location: &PostgresLocation, holder: &LeaseHolder) -> Result<Self, StoreError> {
        let session = PostgresSession::connect(location, &holder.name)?;
        let mut session = session.with_statement_timeout(STATEMENT_TIMEOUT);
        session.execute_batch(SETTINGS)?;
        for table in TABLES {
            session.execute_batch(table)?;
        }
        Ok(Self(session))
    }

    /// Takes the lease of an environment for this time if nobody holds it. Returns the new epoch, which is
    /// higher than any before and at least `lowest_epoch`; `None` if another aggregator holds the lease, or
    /// all of them.
    pub(crate) fn acquire(
        &mut self,
        holder: &LeaseHolder,
        environment: &Name,
        lowest_epoch: u64,
        length: Duration,
    ) -> Result<Option<u64>, StoreError> {
        let session: &mut dyn SqlSession = &mut self.0;
        session.query_first(
            "INSERT INTO rta_leases (environment, holder, address, epoch, since, expires_at, grpc_address) \
             SELECT ?1, ?2, ?3, GREATEST(?4::bigint, (SELECT epoch + 1 FROM rta_leases WHERE environment = ?7)), \
             (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
             clock_timestamp() + ?5::bigint * interval '1 millisecond', ?6 WHERE NOT EXISTS \
             (SELECT 1 FROM rta_leases WHERE environment = ?7 AND expires_at > clock_timestamp()) \
             ON CONFLICT (environment) DO UPDATE SET holder = excluded.holder, address = excluded.address, \
             epoch = GREATEST(rta_leases.epoch + 1, excluded.epoch), since = excluded.since, \
             expires_at = excluded.expires_at, grpc_address = excluded.grpc_address \
             WHERE rta_leases.expires_at <= clock_timestamp() RETURNING epoch",
            values![
                environment.folded(),
                &holder.name,
                &holder.address,
                lowest_epoch.max(1),
                millis(length),
                &holder.grpc_address,
                EVERY_ENVIRONMENT,
            ],
            |row| row.number(0),
        )
    }

    /// Records that this aggregator takes part, and extends all its leases by this time from now. Expired
    /// ones that nobody has taken are extended too.
    pub(crate) fn renew(
        &mut self,
        holder: &LeaseHolder,
        environments: &[Name],
        length: Duration,
    ) -> Result<(), StoreError> {
        let names: Vec<&str> = environments.iter().map(Name::as_str).collect();
        let names = serde_json::to_string(&names).map_err(|error| StoreError::other(error.to_string()))?;
        self.0.execute(
            "INSERT INTO rta_aggregators (holder, environments, expires_at) \
             VALUES (?1, ?2, clock_timestamp() + ?3::bigint * interval '1 millisecond') ON CONFLICT (holder) \
             DO UPDATE SET environments = excluded.environments, expires_at = excluded.expires_at",
            values![&holder.name, &names, millis(length)],
        )?;
        self.0.execute(
            "UPDATE rta_leases SET expires_at = clock_timestamp() + ?2::bigint * interval '1 millisecond' \
             WHERE holder = ?1",
            values![&holder.name, millis(length)],
        )?;
        self.0.execute(
            "DELETE FROM rta_aggregators WHERE expires_at < clock_timestamp() - interval '1 hour'",
            &[],
        )?;
        Ok(())
    }

    /// Ends the lease of this epoch, so that another aggregator takes it at once.
    pub(crate) fn release(
        &mut self,
        holder: &LeaseHolder,
        environment: &Name,
        epoch: u64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE rta_leases SET holder = '', expires_at = clock_timestamp() \
                   WHERE environment = ?1 AND holder = ?2 AND epoch = ?3";
        self.0.execute(sql, values![environment.folded(), &holder.name, epoch]).map(drop)
    }

    /// Ends all leases of this aggregator, which takes part no more.
    pub(crate) fn leave(&mut self, holder: &LeaseHolder) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM rta_aggregators WHERE holder = ?1", values![&holder.name])?;
        let sql = "UPDATE rta_leases SET holder = '', expires_at = clock_timestamp() WHERE holder = ?1";
        self.0.execute(sql, values![&holder.name]).map(drop)
    }

    /// Returns the leases that have not expired, and the aggregators that take part.
    pub(crate) fn read(&mut self) -> Result<LeaseTable, StoreError> {
        let session: &mut dyn SqlSession = &mut self.0;
        let leases = session.query_all(
            "SELECT environment, holder, address, epoch, since, grpc_address FROM rta_leases \
             WHERE expires_at > clock_timestamp() AND environment <> ?1",
            values![EVERY_ENVIRONMENT],
            |row| {
                let holder =
                    LeaseHolder { name: row.text(1)?, address: row.text(2)?, grpc_address: row.text(5)? };
                let leader = Leader { holder, epoch: row.number(3)?, since: row.time(4)? };
                Ok(CurrentLease { environment: row.name(0)?, leader })
            },
        )?;
        let candidates = session.query_all(
            "SELECT holder, environments FROM rta_aggregators WHERE expires_at > clock_timestamp()",
            &[],
            |row| {
                let names: Vec<String> =
                    serde_json::from_str(&row.text(1)?).map_err(|_| StoreError::invalid_value(1))?;
                let environments = names.into_iter().map(Name::from).collect();
                Ok(LeaseCandidate { name: row.text(0)?, environments })
            },
        )?;
        Ok(LeaseTable { leases, candidates })
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
