//! Part of a database that a writer records. Several aggregators write to one PostgreSQL, each the
//! environments that it leads.

use rta_shared::name::Name;

use super::rows::{activity_name, write_named_number};
use super::sql::{SqlSession, StoreError, values};

/// Name of the number of transactions by which all writers wrote. Each transaction begins with an increase of
/// it: the lock of its row makes the order of the commits that of the numbers, so that events become visible
/// in the order of their IDs, and each writer then knows whether another one wrote since.
pub(super) const TURNS: &str = "writes";

/// Lease of an environment that this aggregator holds or held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLease {
    pub(crate) environment: Name,
    pub(crate) holder: String,
    pub(crate) epoch: u64,
}

impl HeldLease {
    /// Returns true if nobody has taken the lease over since, even if it has expired.
    pub(super) fn is_held(&self, session: &mut dyn SqlSession) -> Result<bool, StoreError> {
        let held = session.query_first(
            "SELECT 1::bigint FROM rta_leases WHERE environment = ?1 AND holder = ?2 AND epoch = ?3",
            values![self.environment.folded(), &self.holder, self.epoch],
            |row| row.integer(0),
        )?;
        Ok(held.is_some())
    }
}

/// Part of a database that a writer records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WriterScope {
    /// All of it. No other aggregator writes.
    #[default]
    Whole,
    /// One environment, for as long as this lease is held. Other aggregators write, too.
    Environment(HeldLease),
    /// What belongs to no environment. Other aggregators write, too.
    Unled,
}

impl WriterScope {
    /// Returns true if other aggregators write to the database, too.
    pub(super) fn is_shared(&self) -> bool {
        *self != Self::Whole
    }

    /// Returns the environment, if there is only one.
    pub(super) fn environment(&self) -> Option<&Name> {
        match self {
            Self::Environment(lease) => Some(&lease.environment),
            Self::Whole | Self::Unled => None,
        }
    }

    /// Returns the lease on which writing depends.
    pub(super) fn lease(&self) -> Option<&HeldLease> {
        match self {
            Self::Environment(lease) => Some(lease),
            Self::Whole | Self::Unled => None,
        }
    }

    /// Waits for the turn to write within the caller's transaction, and returns its number. The other writers
    /// wait until the transaction ends.
    ///
    /// # Errors
    /// Returns an error if another aggregator leads the environment by now: nothing may be written.
    pub(super) fn take_turn(&self, session: &mut dyn SqlSession) -> Result<i64, StoreError> {
        let turn = session.query_first(
            "INSERT INTO numbers (name, value) VALUES (?1, 1) \
             ON CONFLICT (name) DO UPDATE SET value = numbers.value + 1 RETURNING value",
            values![TURNS],
            |row| row.integer(0),
        )?;
        // A later leader reads the record in a turn of its own, after it has taken the lease.
        if let Some(lease) = self.lease()
            && !lease.is_held(session)?
        {
            let reason = format!("another rta-aggregator leads {}", lease.environment);
            return Err(StoreError::other(reason));
        }
        Ok(turn.unwrap_or(0))
    }

    /// Writes the last time at which an aggregator led the environment.
    pub(super) fn write_activity(
        &self,
        session: &mut dyn SqlSession,
        microseconds: i64,
    ) -> Result<(), StoreError> {
        match self.environment() {
            Some(environment) => write_named_number(session, &activity_name(environment), microseconds),
            None => Ok(()),
        }
    }
}
