//! Version of the tables in a PostgreSQL database, and the steps to the newest one.

use crate::store::migrations::{MIGRATIONS, VERSION};
use crate::store::sql::{SqlSession, StoreError, values};

/// First half of the number of the lock that lets one aggregator at a time change the tables, "rta2".
const MIGRATION_LOCK: i64 = 0x7274_6132;

/// Brings the database to the newest version; creates the tables if there are none.
///
/// # Errors
/// Returns an error if the database belongs to a newer program, or if a step fails.
pub(super) fn migrate(session: &mut dyn SqlSession) -> Result<(), StoreError> {
    session.in_transaction(|session| {
        // Several aggregators may begin at the same time.
        let sql = "SELECT pg_advisory_xact_lock(?1::int, hashtext(current_schema()))::text";
        session.query(sql, values![MIGRATION_LOCK], &mut |_| Ok(true))?;
        session.execute_batch(
            "CREATE TABLE IF NOT EXISTS rta_schema (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL)",
        )?;
        let version = session.query_first("SELECT version FROM rta_schema", &[], |row| row.number(0))?;
        let version = usize::try_from(version.unwrap_or(0)).unwrap_or(usize::MAX);
        if version > VERSION {
            return Err(StoreError::other(format!(
                "it is of version {version}, and this rta-aggregator knows versions up to {VERSION}; \
                 install the newer one that wrote it, or name another database with --store"
            )));
        }
        for step in &MIGRATIONS[version..] {
            session.execute_batch(step.postgres)?;
        }
        session.execute(
            "INSERT INTO rta_schema (one, version) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET version = excluded.version",
            values![VERSION],
        )?;
        Ok(())
    })
}
