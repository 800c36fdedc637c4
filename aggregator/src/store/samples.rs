//! Timeline samples and recording gaps: pending ones, written ones, reads.

use std::collections::HashMap;

use jiff::Timestamp;
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};

use super::columns::{corrupt_value, read_time};
use crate::timeline::{RecordingGap, TimelineSample, TimelineState};

/// Maximum number of pending samples while they cannot be written, or two for each instance if that is more.
const MAX_PENDING_SAMPLES: usize = 50_000;
/// Maximum number of pending gaps while they cannot be written.
const MAX_PENDING_GAPS: usize = 100;
/// Maximum number of samples in an answer, some 40 MB. Older ones are left out.
const MAX_ROWS: i64 = 1_000_000;

/// Query for the samples needed to reconstruct the state since a moment.
#[derive(Clone, Debug)]
pub(crate) struct TimelineQuery {
    pub(crate) since: Timestamp,
    /// `None`: all instances.
    pub(crate) instance: Option<InstanceId>,
}

/// Recorded samples and gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimelineRows {
    /// Samples of each instance since the requested moment, and the last one before, in recording order.
    pub(crate) samples: HashMap<InstanceId, Vec<TimelineSample>>,
    pub(crate) gaps: Vec<RecordingGap>,
}

/// Pending samples and gaps, and the last state of each instance.
#[derive(Debug, Default)]
pub(crate) struct PendingSamples {
    samples: Vec<(InstanceId, TimelineSample)>,
    gaps: Vec<RecordingGap>,
    states: HashMap<InstanceId, TimelineState>,
}

impl PendingSamples {
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.gaps.is_empty()
    }

    /// Adds the states of instances from `at` on.
    pub(crate) fn add(&mut self, at: Timestamp, shown: Vec<(InstanceId, TimelineState)>) {
        for (instance, state) in shown {
            match state {
                TimelineState::NotRecorded => self.states.remove(&instance),
                state => self.states.insert(instance.clone(), state),
            };
            self.samples.push((instance, TimelineSample { at, state }));
        }
        if self.samples.len() <= MAX_PENDING_SAMPLES.max(2 * self.states.len()) {
            return;
        }
        // The samples that led to the current state are lost.
        let since = self.samples.iter().map(|(_, sample)| sample.at).min().unwrap_or(at);
        self.samples.clear();
        self.add_gap(RecordingGap { since: since.min(at), until: at });
        self.repeat_states(at);
    }

    /// Adds the current state of every instance at `at`, since earlier samples may be lost.
    pub(crate) fn repeat_states(&mut self, at: Timestamp) {
        let all = self
            .states
            .iter()
            .map(|(instance, state)| (instance.clone(), TimelineSample { at, state: *state }));
        self.samples.extend(all);
    }

    pub(crate) fn add_gap(&mut self, gap: RecordingGap) {
        self.gaps.push(gap);
        if self.gaps.len() > MAX_PENDING_GAPS {
            let since = self.gaps.iter().map(|gap| gap.since).min().unwrap_or(gap.since);
            self.gaps = vec![RecordingGap { since, until: gap.until }];
        }
    }

    /// Writes everything within the caller's transaction.
    pub(crate) fn write_all(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut place = connection.prepare_cached(
            "INSERT OR IGNORE INTO places (environment_key, host_key, component_key) VALUES (?, ?, ?)",
        )?;
        let mut sample = connection.prepare_cached(
            "INSERT INTO marks (place, at, state) SELECT id, ?, ? FROM places \
             WHERE environment_key = ? AND host_key = ? AND component_key = ?",
        )?;
        for (InstanceId { environment, host, component }, TimelineSample { at, state }) in &self.samples {
            let (environment, host, component) = (environment.folded(), host.folded(), component.folded());
            place.execute(params![environment, host, component])?;
            sample.execute(params![at.as_microsecond(), state.word(), environment, host, component])?;
        }
        for gap in &self.gaps {
            connection
                .prepare_cached("INSERT INTO gaps (since, until) VALUES (?, ?)")?
                .execute(params![gap.since.as_microsecond(), gap.until.as_microsecond()])?;
        }
        Ok(())
    }

    /// Removes everything after a successful write.
    pub(crate) fn clear_written(&mut self) {
        self.samples.clear();
        self.gaps.clear();
    }

    /// Adds the pending samples and gaps to those read from the database.
    pub(crate) fn add_pending_to(&self, rows: &mut TimelineRows, query: &TimelineQuery) {
        let wanted = |instance: &InstanceId| query.instance.as_ref().is_none_or(|wanted| wanted == instance);
        for (instance, sample) in self.samples.iter().filter(|(instance, _)| wanted(instance)) {
            rows.samples.entry(instance.clone()).or_default().push(*sample);
        }
        rows.gaps.extend(&self.gaps);
    }
}

/// Writes `now` as the last time at which the aggregator ran.
pub(crate) fn write_last_active(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO numbers (name, value) VALUES ('alive', ?)")?
        .execute([now.as_microsecond()])?;
    Ok(())
}

/// Returns the last time at which an aggregator ran with this database; `None` if none did.
pub(crate) fn read_last_active(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .query_row("SELECT value FROM numbers WHERE name = 'alive'", [], |row| read_time(row, 0))
        .optional()
}

/// Reads the written samples and gaps.
pub(crate) fn read_timeline(
    connection: &Connection,
    query: &TimelineQuery,
) -> rusqlite::Result<TimelineRows> {
    let mut since = query.since.as_microsecond();
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT at FROM marks WHERE at >= ? ORDER BY at DESC LIMIT 1 OFFSET ?")?
        .query_row(params![since, MAX_ROWS], |row| row.get(0))
        .optional()?;
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
            read_samples(connection, &sql, params![since], &mut found)?;
        }
        Some(InstanceId { environment, host, component }) => {
            let sql = format!(
                "SELECT {of} WHERE environment_key = ?2 AND host_key = ?3 AND component_key = ?4 \
                 AND (at >= ?1 OR marks.id = {last_before})"
            );
            let names = (environment.folded(), host.folded(), component.folded());
            read_samples(connection, &sql, params![since, names.0, names.1, names.2], &mut found)?;
        }
    }
    found.sort_unstable_by_key(|(id, ..)| *id);
    let mut rows = TimelineRows { samples: HashMap::new(), gaps: read_gaps(connection)? };
    for (_, instance, sample) in found {
        rows.samples.entry(instance).or_default().push(sample);
    }
    Ok(rows)
}

fn read_samples(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    found: &mut Vec<(i64, InstanceId, TimelineSample)>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    while let Some(row) = rows.next()? {
        let name = |at: usize| -> rusqlite::Result<Name> { Ok(row.get_ref(at)?.as_str()?.into()) };
        let instance = InstanceId { environment: name(1)?, host: name(2)?, component: name(3)? };
        let state = TimelineState::from_word(row.get_ref(5)?.as_str()?).ok_or_else(|| corrupt_value(5))?;
        found.push((row.get(0)?, instance, TimelineSample { at: read_time(row, 4)?, state }));
    }
    Ok(())
}

fn read_gaps(connection: &Connection) -> rusqlite::Result<Vec<RecordingGap>> {
    let mut statement = connection.prepare_cached("SELECT since, until FROM gaps ORDER BY rowid")?;
    let gaps = statement
        .query_map([], |row| Ok(RecordingGap { since: read_time(row, 0)?, until: read_time(row, 1)? }))?;
    gaps.collect()
}

/// Returns the time before which samples may be deleted to keep about `rows`; `None` if there are no more than
/// that.
pub(crate) fn sample_cutoff(connection: &Connection, rows: i64) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .query_row("SELECT at FROM marks ORDER BY at DESC LIMIT 1 OFFSET ?", [rows], |row| read_time(row, 0))
        .optional()
}

/// Deletes up to `most` samples older than `cutoff`, except the last one of each instance, which holds its
/// state at that time, unless a gap ended that state. Returns true if there may be more.
pub(crate) fn delete_samples(
    connection: &mut Connection,
    cutoff: Timestamp,
    most: i64,
) -> rusqlite::Result<bool> {
    let cutoff = cutoff.as_microsecond();
    let transaction = connection.transaction()?;
    let deleted = transaction.execute(
        "DELETE FROM marks WHERE id IN (SELECT id FROM marks AS mark WHERE at < ?1 AND (\
         at <= ifnull((SELECT max(since) FROM gaps WHERE until < ?1), -1) OR state = 'not recorded' \
         OR EXISTS (SELECT 1 FROM marks WHERE place = mark.place AND id > mark.id AND at < ?1)) LIMIT ?2)",
        params![cutoff, most],
    )?;
    let is_more = i64::try_from(deleted).unwrap_or(i64::MAX) >= most;
    if !is_more {
        // Older samples may remain, and the gaps say that those are no longer valid.
        transaction.execute("DELETE FROM gaps WHERE until < ?", [cutoff])?;
        transaction.execute(
            "DELETE FROM places WHERE NOT EXISTS (SELECT 1 FROM marks WHERE place = places.id)",
            [],
        )?;
    }
    transaction.commit()?;
    Ok(is_more)
}
