//! Lock that lets one aggregator write to a database. It belongs to the session: the server releases it when
//! the connection ends, and every write needs that session.
//!
//! Of several aggregators the one with the lease takes the lock: it ends the session of an earlier leader,
//! which may be paused and would hold the lock for long. An earlier leader that wakes up finds its session
//! ended, and gets the lock no more. So all writes of one leader precede those of the next.

use std::time::Duration;

use super::lease::HeldLease;
use super::session_name::holder_process;
use crate::store::backend::OpenFailure;
use crate::store::sql::{SqlSession, StoreError, values};

/// First half of the lock's number, "rta1"; the second half stands for the schema.
const LOCK_CLASS: i64 = 0x7274_6131;
/// Number of attempts: the server may take a moment to notice that an earlier holder has ended.
const ATTEMPTS: usize = 20;
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(100);

/// Takes the lock. A session of this aggregator that the server has not given up yet is ended; with a lease,
/// also that of any other.
pub(super) fn take_lock(
    session: &mut dyn SqlSession,
    own_name: &str,
    lease: Option<&HeldLease>,
    shown: &str,
) -> Result<(), OpenFailure> {
    let describe_error = |error: StoreError| OpenFailure::Unusable(format!("{shown}: {error}"));
    let mut other = None;
    for _ in 0..ATTEMPTS {
        let is_locked = try_lock(session).map_err(describe_error)?;
        // Also after the lock is taken: a later leader then has to end this session first.
        let is_leader = lease.map_or(Ok(true), |lease| lease.is_held(session)).map_err(describe_error)?;
        if !is_leader {
            return Err(OpenFailure::UsedByAnother(format!("{shown}: another rta-aggregator leads")));
        }
        if is_locked {
            return Ok(());
        }
        match read_holder(session).map_err(describe_error)? {
            Some((pid, name)) if name == own_name || lease.is_some() => {
                session
                    .query("SELECT pg_terminate_backend(?1)::int", values![pid], &mut |_| Ok(true))
                    .map_err(describe_error)?;
            }
            holder => other = holder.map(|(_, name)| holder_sentence(&name, shown)),
        }
        std::thread::sleep(ATTEMPT_INTERVAL);
    }
    Err(match other {
        Some(sentence) => OpenFailure::UsedByAnother(sentence),
        None => {
            OpenFailure::Unusable(format!("{shown}: an earlier connection of this aggregator does not end"))
        }
    })
}

fn holder_sentence(name: &str, shown: &str) -> String {
    format!("{shown}: another rta-aggregator ({}) records there", holder_process(name))
}

fn try_lock(session: &mut dyn SqlSession) -> Result<bool, StoreError> {
    let taken = session.query_first(
        "SELECT pg_try_advisory_lock(?1::int, hashtext(current_schema()))::int",
        values![LOCK_CLASS],
        |row| row.integer(0),
    )?;
    Ok(taken == Some(1))
}

fn read_holder(session: &mut dyn SqlSession) -> Result<Option<(i64, String)>, StoreError> {
    session.query_first(
        "SELECT activity.pid, activity.application_name FROM pg_locks AS held \
         JOIN pg_stat_activity AS activity ON activity.pid = held.pid \
         WHERE held.locktype = 'advisory' AND held.granted \
         AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND held.classid::bigint = ?1 AND held.objid::bigint = hashtext(current_schema())::bigint & 4294967295",
        values![LOCK_CLASS],
        |row| Ok((row.integer(0)?, row.text(1)?)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holder_is_named_by_host_and_process() {
        assert_eq!(
            holder_sentence("rta-aggregator db-host pid 42 #00ab", "postgres://rta@db/rta"),
            "postgres://rta@db/rta: another rta-aggregator (db-host, pid 42) records there"
        );
        assert!(holder_sentence("psql", "x").contains("connected as \"psql\""));
    }
}
