//! Lock that lets one aggregator write to a database. It belongs to the session: the server releases it when the
//! connection ends, and every write needs that session.

use std::time::Duration;

use crate::store::backend::OpenFailure;
use crate::store::sql::{SqlSession, StoreError, values};

/// First half of the lock's number, "rta1"; the second half stands for the schema.
const LOCK_CLASS: i64 = 0x7274_6131;
/// Number of attempts: the server may take a moment to notice that an earlier holder has ended.
const ATTEMPTS: usize = 20;
const ATTEMPT_INTERVAL: Duration = Duration::from_millis(100);
/// Beginning of the name of a session that holds the lock.
const NAME: &str = "rta-aggregator";
/// Maximum length of a session's name.
const MAX_NAME_BYTES: usize = 63;

/// Returns the name of this aggregator's sessions. Others show it as the holder of the lock.
pub(super) fn session_name(host: &str, pid: u32, nonce: u16) -> String {
    let end = format!(" pid {pid} #{nonce:04x}");
    let room = MAX_NAME_BYTES - NAME.len() - 1 - end.len();
    let host: String = host.chars().filter(char::is_ascii_graphic).take(room).collect();
    format!("{NAME} {host}{end}")
}

/// Takes the lock. A session of this aggregator that the server has not given up yet is ended.
pub(super) fn take_lock(
    session: &mut dyn SqlSession,
    own_name: &str,
    shown: &str,
) -> Result<(), OpenFailure> {
    let told = |error: StoreError| OpenFailure::Unusable(format!("{shown}: {error}"));
    let mut other = None;
    for _ in 0..ATTEMPTS {
        if try_lock(session).map_err(told)? {
            return Ok(());
        }
        match read_holder(session).map_err(told)? {
            Some((pid, name)) if name == own_name => {
                session
                    .query("SELECT pg_terminate_backend(?1)::int", values![pid], &mut |_| Ok(true))
                    .map_err(told)?;
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
    let described = name.strip_prefix(NAME).and_then(|rest| {
        let (host, pid) = rest.trim().split_once(" pid ")?;
        let pid = pid.split(' ').next()?;
        Some(format!("{host}, pid {pid}"))
    });
    let holder = described.unwrap_or_else(|| format!("connected as \"{name}\""));
    format!("{shown}: another rta-aggregator ({holder}) records there")
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
        let name = session_name("db-host", 42, 0xab);
        assert_eq!(name, "rta-aggregator db-host pid 42 #00ab");
        assert_eq!(
            holder_sentence(&name, "postgres://rta@db/rta"),
            "postgres://rta@db/rta: another rta-aggregator (db-host, pid 42) records there"
        );
        assert_eq!(session_name(&"h".repeat(200), u32::MAX, 1).len(), MAX_NAME_BYTES);
        assert!(holder_sentence("psql", "x").contains("connected as \"psql\""));
    }
}
