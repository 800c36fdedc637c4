//! Timeline samples and recording gaps.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rta_shared::overview::InstanceId;

use super::RowCache;
use super::dictionary::Dictionary;
use crate::store::query::{TimelineQuery, TimelineRows};
use crate::store::sql::{SqlSession, SqlValue, StoreError, values};
use crate::timeline::{RecordingGap, TimelineSample, TimelineState};

/// Maximum number of samples in an answer, some 40 MB. Older ones are left out.
const MAX_ROWS: i64 = 1_000_000;

/// Writes a sample.
pub(crate) fn write_sample(
    session: &mut dyn SqlSession,
    cache: &mut RowCache,
    instance: &InstanceId,
    sample: TimelineSample,
) -> Result<(), StoreError> {
    let InstanceId { environment, host, component } = instance;
    let place = cache.dictionary.write_place(session, [environment, host, component].map(Some))?;
    let state = cache.dictionary.write_word(session, sample.state.word())?;
    let at = sample.at.as_microsecond();
    let id = at.max(cache.last_sample + 1);
    cache.last_sample = id;
    session.queue(
        "INSERT INTO marks (id, place, state, late) VALUES (?1, ?2, ?3, ?4)",
        values![id, place, state, id - at],
    )
}

/// Writes a recording gap.
pub(crate) fn write_gap(session: &mut dyn SqlSession, gap: RecordingGap) -> Result<(), StoreError> {
    session.queue("INSERT INTO gaps (since, until) VALUES (?1, ?2)", values![gap.since, gap.until])
}

/// Reads the written samples and gaps.
pub(crate) fn read_timeline(
    session: &mut dyn SqlSession,
    dictionary: &Dictionary,
    query: &TimelineQuery,
) -> Result<TimelineRows, StoreError> {
    let mut since = query.since.as_microsecond();
    let oldest = session.query_first(
        "SELECT id - late FROM marks WHERE id >= ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2",
        values![since, MAX_ROWS],
        |row| row.integer(0),
    )?;
    if let Some(oldest) = oldest {
        // The limit may cut apart the samples of this very moment.
        since = oldest + 1;
    }
    let mut found = Vec::new();
    // By ID, not time: if the clock was set back, the sample written last is valid.
    let last_before =
        "(SELECT id FROM marks WHERE place = places.id AND id - late < ?1 ORDER BY id DESC LIMIT 1)";
    match &query.instance {
        // In two parts, each with its own index; a single query would scan the whole table.
        None => {
            let sql = format!(
                "SELECT id, place, id - late, state FROM marks WHERE id >= ?1 AND id - late >= ?1 UNION ALL \
                 SELECT id, place, id - late, state FROM marks WHERE id IN (SELECT {last_before} FROM places)"
            );
            read_samples(session, &sql, values![since], &mut found)?;
        }
        Some(instance) => {
            if let Some(place) = dictionary.find_place(instance) {
                let sql = format!(
                    "SELECT marks.id, place, marks.id - late, state FROM marks JOIN places ON places.id = place \
                     WHERE places.id = ?2 AND (marks.id - late >= ?1 OR marks.id = {last_before})"
                );
                read_samples(session, &sql, values![since, place], &mut found)?;
            }
        }
    }
    found.sort_unstable_by_key(|(id, ..)| *id);
    let mut rows = TimelineRows { samples: HashMap::new(), gaps: read_gaps(session)? };
    for (_, place, at, state) in found {
        let state =
            TimelineState::from_word(dictionary.word(state)?).ok_or_else(|| StoreError::invalid_value(3))?;
        let samples = rows.samples.entry(dictionary.instance(place)?).or_default();
        samples.push(TimelineSample { at, state });
    }
    Ok(rows)
}

/// ID, place, time and state of a sample.
type SampleRow = (i64, i64, Timestamp, i64);

fn read_samples(
    session: &mut dyn SqlSession,
    sql: &str,
    values: &[SqlValue<'_>],
    found: &mut Vec<SampleRow>,
) -> Result<(), StoreError> {
    session.query(sql, values, &mut |row| {
        found.push((row.integer(0)?, row.integer(1)?, row.time(2)?, row.integer(3)?));
        Ok(true)
    })
}

/// Returns the instances that were up or degraded at any time in the samples.
pub(super) fn read_runs(session: &mut dyn SqlSession) -> Result<HashSet<InstanceId>, StoreError> {
    // A subquery for each instance, which ends at the first sample that is found; a join would read them all.
    let runs = session.query_all(
        "SELECT environments.name, hosts.name, components.name FROM places \
         JOIN names AS environments ON environments.id = environment JOIN names AS hosts ON hosts.id = host \
         JOIN names AS components ON components.id = component \
         WHERE (SELECT 1 FROM marks WHERE place = places.id AND state IN \
         (SELECT words.id FROM words WHERE word = ?1 OR word = ?2) LIMIT 1) = 1",
        values![TimelineState::Up.word(), TimelineState::Degraded.word()],
        |row| Ok(InstanceId { environment: row.name(0)?, host: row.name(1)?, component: row.name(2)? }),
    )?;
    Ok(runs.into_iter().collect())
}

fn read_gaps(session: &mut dyn SqlSession) -> Result<Vec<RecordingGap>, StoreError> {
    session.query_all("SELECT since, until FROM gaps ORDER BY since, until", &[], |row| {
        Ok(RecordingGap { since: row.time(0)?, until: row.time(1)? })
    })
}

/// Returns the time before which samples may be deleted to keep about `rows`; `None` if there are no more
/// than that.
pub(crate) fn sample_cutoff(
    session: &mut dyn SqlSession,
    rows: i64,
) -> Result<Option<Timestamp>, StoreError> {
    session.query_first("SELECT id FROM marks ORDER BY id DESC LIMIT 1 OFFSET ?1", values![rows], |row| {
        row.time(0)
    })
}

/// Deletes up to `most` samples older than `cutoff`, except the last one of each instance, which holds its
/// state at that time, unless a gap ended that state. Places that no row refers to stay if other writers may
/// know them (`is_shared`). Returns true if there may be more.
pub(crate) fn delete_samples(
    session: &mut dyn SqlSession,
    dictionary: &mut Dictionary,
    cutoff: Timestamp,
    most: u64,
    is_shared: bool,
) -> Result<bool, StoreError> {
    // No row has the number 0.
    let not_recorded = dictionary.find_word(TimelineState::NotRecorded.word()).unwrap_or(0);
    let deleted = session.execute(
        "DELETE FROM marks WHERE id IN (SELECT id FROM marks AS mark WHERE id < ?1 AND (\
         id - late <= coalesce((SELECT max(since) FROM gaps WHERE until < ?1), -1) OR state = ?3 \
         OR EXISTS (SELECT 1 FROM marks WHERE place = mark.place AND id > mark.id AND id - late < ?1)) LIMIT ?2)",
        values![cutoff, most, not_recorded],
    )?;
    let is_more = deleted >= most;
    if !is_more {
        // Older samples may remain, and the gaps say that those are no longer valid.
        session.execute("DELETE FROM gaps WHERE until < ?1", values![cutoff])?;
        if is_shared {
            return Ok(false);
        }
        session.execute(
            "DELETE FROM places WHERE NOT EXISTS (SELECT 1 FROM marks WHERE place = places.id) \
             AND NOT EXISTS (SELECT 1 FROM events WHERE place = places.id)",
            &[],
        )?;
        dictionary.read_places(session)?;
    }
    Ok(is_more)
}
