//! Timeline samples and recording gaps.

use std::collections::HashMap;

use jiff::Timestamp;
use rta_shared::overview::InstanceId;

use crate::store::samples::{TimelineQuery, TimelineRows};
use crate::store::sql::{SqlSession, SqlValue, StoreError, values};
use crate::timeline::{RecordingGap, TimelineSample, TimelineState};

/// Maximum number of samples in an answer, some 40 MB. Older ones are left out.
const MAX_ROWS: i64 = 1_000_000;

/// Writes a sample.
pub(crate) fn write_sample(
    session: &mut dyn SqlSession,
    instance: &InstanceId,
    sample: TimelineSample,
) -> Result<(), StoreError> {
    let InstanceId { environment, host, component } = instance;
    let (environment, host, component) = (environment.folded(), host.folded(), component.folded());
    session.execute(
        "INSERT INTO places (environment_key, host_key, component_key) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        values![environment, host, component],
    )?;
    session.execute(
        "INSERT INTO marks (place, at, state) SELECT id, ?1, ?2 FROM places \
         WHERE environment_key = ?3 AND host_key = ?4 AND component_key = ?5",
        values![sample.at, sample.state.word(), environment, host, component],
    )?;
    Ok(())
}

/// Writes a recording gap.
pub(crate) fn write_gap(session: &mut dyn SqlSession, gap: RecordingGap) -> Result<(), StoreError> {
    session.execute("INSERT INTO gaps (since, until) VALUES (?1, ?2)", values![gap.since, gap.until])?;
    Ok(())
}

/// Reads the written samples and gaps.
pub(crate) fn read_timeline(
    session: &mut dyn SqlSession,
    query: &TimelineQuery,
) -> Result<TimelineRows, StoreError> {
    let mut since = query.since.as_microsecond();
    let oldest = session.query_first(
        "SELECT at FROM marks WHERE at >= ?1 ORDER BY at DESC LIMIT 1 OFFSET ?2",
        values![since, MAX_ROWS],
        |row| row.integer(0),
    )?;
    if let Some(oldest) = oldest {
        // The limit may cut apart the samples of this very moment.
        since = oldest + 1;
    }
    let mut found = Vec::new();
    // By ID, not time: if the clock was set back, the sample written last is valid.
    let last_before = "(SELECT id FROM marks WHERE place = places.id AND at < ?1 ORDER BY id DESC LIMIT 1)";
    let of = "marks.id, environment_key, host_key, component_key, at, state \
              FROM marks JOIN places ON places.id = marks.place";
    match &query.instance {
        // In two parts, each with its own index; a single query would scan the whole table.
        None => {
            let sql = format!(
                "SELECT {of} WHERE at >= ?1 UNION ALL \
                 SELECT {of} WHERE marks.id IN (SELECT {last_before} FROM places)"
            );
            read_samples(session, &sql, values![since], &mut found)?;
        }
        Some(InstanceId { environment, host, component }) => {
            let sql = format!(
                "SELECT {of} WHERE environment_key = ?2 AND host_key = ?3 AND component_key = ?4 \
                 AND (at >= ?1 OR marks.id = {last_before})"
            );
            let names = (environment.folded(), host.folded(), component.folded());
            read_samples(session, &sql, values![since, names.0, names.1, names.2], &mut found)?;
        }
    }
    found.sort_unstable_by_key(|(id, ..)| *id);
    let mut rows = TimelineRows { samples: HashMap::new(), gaps: read_gaps(session)? };
    for (_, instance, sample) in found {
        rows.samples.entry(instance).or_default().push(sample);
    }
    Ok(rows)
}

fn read_samples(
    session: &mut dyn SqlSession,
    sql: &str,
    values: &[SqlValue<'_>],
    found: &mut Vec<(i64, InstanceId, TimelineSample)>,
) -> Result<(), StoreError> {
    session.query(sql, values, &mut |row| {
        let instance = InstanceId { environment: row.name(1)?, host: row.name(2)?, component: row.name(3)? };
        let state = TimelineState::from_word(&row.text(5)?).ok_or_else(|| StoreError::invalid_value(5))?;
        found.push((row.integer(0)?, instance, TimelineSample { at: row.time(4)?, state }));
        Ok(true)
    })
}

fn read_gaps(session: &mut dyn SqlSession) -> Result<Vec<RecordingGap>, StoreError> {
    session.query_all("SELECT since, until FROM gaps ORDER BY since, until", &[], |row| {
        Ok(RecordingGap { since: row.time(0)?, until: row.time(1)? })
    })
}

/// Returns the time before which samples may be deleted to keep about `rows`; `None` if there are no more than
/// that.
pub(crate) fn sample_cutoff(
    session: &mut dyn SqlSession,
    rows: i64,
) -> Result<Option<Timestamp>, StoreError> {
    session.query_first("SELECT at FROM marks ORDER BY at DESC LIMIT 1 OFFSET ?1", values![rows], |row| {
        row.time(0)
    })
}

/// Deletes up to `most` samples older than `cutoff`, except the last one of each instance, which holds its
/// state at that time, unless a gap ended that state. Returns true if there may be more.
pub(crate) fn delete_samples(
    session: &mut dyn SqlSession,
    cutoff: Timestamp,
    most: u64,
) -> Result<bool, StoreError> {
    let deleted = session.execute(
        "DELETE FROM marks WHERE id IN (SELECT id FROM marks AS mark WHERE at < ?1 AND (\
         at <= coalesce((SELECT max(since) FROM gaps WHERE until < ?1), -1) OR state = 'not recorded' \
         OR EXISTS (SELECT 1 FROM marks WHERE place = mark.place AND id > mark.id AND at < ?1)) LIMIT ?2)",
        values![cutoff, most],
    )?;
    let is_more = deleted >= most;
    if !is_more {
        // Older samples may remain, and the gaps say that those are no longer valid.
        session.execute("DELETE FROM gaps WHERE until < ?1", values![cutoff])?;
        session.execute(
            "DELETE FROM places WHERE NOT EXISTS (SELECT 1 FROM marks WHERE place = places.id)",
            &[],
        )?;
    }
    Ok(is_more)
}
