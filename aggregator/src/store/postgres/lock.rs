//! Lock that lets one aggregator write to a database, or several that take turns. It belongs to the session:
//! the server releases it when the connection ends, and every write needs that session.
//!
//! An aggregator without others has it for itself. Several share it, and each writes the environments that it
//! leads, as [`WriterScope`] says.

use std::time::Duration;

use super::session_name::holder_process;
use crate::store::backend::OpenFailure;
use crate::store::scope::WriterScope;
use crate::store::sql::{SqlSession, StoreError, values};

/// First half of the lock's number, "rta1"; the second half stands for the schema.
const LOCK_CLASS: i64 = 0x7274_6131;
/// Number of attempts: the server may take a moment to notice that an earlier holder has ended.
const ATTEMPTS: usize = 20;
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(100);

/// Takes the lock. A session of this writer that the server has not given up yet is ended.
pub(super) fn take_lock(
    session: &mut dyn SqlSession,
    own_name: &str,
    scope: &WriterScope,
    shown: &str,
) -> Result<(), OpenFailure> {
    let describe_error = |error: StoreError| OpenFailure::Unusable(format!("{shown}: {error}"));
    if scope.is_shared() {
        end_earlier_sessions(session, own_name).map_err(describe_error)?;
    }
    let mut other = None;
    for _ in 0..ATTEMPTS {
        let is_locked = try_lock(session, scope.is_shared()).map_err(describe_error)?;
        if let Some(lease) = scope.lease()
            && !lease.is_held(session).map_err(describe_error)?
        {
            let environment = &lease.environment;
            let reason = format!("{shown}: another rta-aggregator leads {environment}");
            return Err(OpenFailure::UsedByAnother(reason));
        }
        if is_locked {
            return Ok(());
        }
        match read_holder(session).map_err(describe_error)? {
            Some((pid, name)) if name == own_name => {
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

/// Ends the earlier sessions of this writer: one may be in the middle of a transaction, for which the others
/// wait.
fn end_earlier_sessions(session: &mut dyn SqlSession, own_name: &str) -> Result<(), StoreError> {
    session.query(
        "SELECT pg_terminate_backend(pid)::int FROM pg_stat_activity \
         WHERE application_name = ?1 AND pid <> pg_backend_pid() AND datname = current_database()",
        values![own_name],
        &mut |_| Ok(true),
    )
}

fn holder_sentence(name: &str, shown: &str) -> String {
    format!("{shown}: another rta-aggregator ({}) records there", holder_process(name))
}

fn try_lock(session: &mut dyn SqlSession, is_shared: bool) -> Result<bool, StoreError> {
    let function = if is_shared { "pg_try_advisory_lock_shared" } else { "pg_try_advisory_lock" };
    let sql = format!("SELECT {function}(?1::int, hashtext(current_schema()))::int");
    let taken = session.query_first(&sql, values![LOCK_CLASS], |row| row.integer(0))?;
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
