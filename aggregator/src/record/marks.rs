//! Timeline samples and recording gaps: pending ones, written ones, reads.

use std::collections::HashMap;

use jiff::Timestamp;
use rta_shared::name::Name;
use rta_shared::overview::InstanceId;
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};

use super::columns::{damaged, time};
use crate::strip::{Gap, Mark, Stretch};

/// Maximum number of pending marks while they cannot be written, or two for each instance if that is more.
const KEPT: usize = 50_000;
/// Maximum number of pending gaps while they cannot be written.
const KEPT_GAPS: usize = 100;
/// Maximum number of marks in an answer, some 40 MB. Older ones are left out.
const MOST: i64 = 1_000_000;

/// Query for the marks needed to reconstruct the state since a moment.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) since: Timestamp,
    /// `None`: all instances.
    pub(super) instance: Option<InstanceId>,
}

/// Recorded marks and gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    /// Marks of each instance since the requested moment, and the last one before, in recording order.
    pub(crate) marks: HashMap<InstanceId, Vec<Mark>>,
    pub(crate) gaps: Vec<Gap>,
}

/// Pending marks and gaps, and the last state of each instance.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    marks: Vec<(InstanceId, Mark)>,
    gaps: Vec<Gap>,
    shown: HashMap<InstanceId, Stretch>,
}

impl Unwritten {
    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty() && self.gaps.is_empty()
    }

    /// Adds the states of instances from `at` on.
    pub(super) fn add(&mut self, at: Timestamp, shown: Vec<(InstanceId, Stretch)>) {
        for (instance, state) in shown {
            match state {
                Stretch::NotRecorded => self.shown.remove(&instance),
                state => self.shown.insert(instance.clone(), state),
            };
            self.marks.push((instance, Mark { at, state }));
        }
        if self.marks.len() <= KEPT.max(2 * self.shown.len()) {
            return;
        }
        // The marks that led to the current state are lost.
        let since = self.marks.iter().map(|(_, mark)| mark.at).min().unwrap_or(at);
        self.marks.clear();
        self.add_gap(Gap { since: since.min(at), until: at });
        self.note_all(at);
    }

    /// Adds the current state of every instance at `at`, since earlier marks may be lost.
    pub(super) fn note_all(&mut self, at: Timestamp) {
        let all = self.shown.iter().map(|(instance, state)| (instance.clone(), Mark { at, state: *state }));
        self.marks.extend(all);
    }

    pub(super) fn add_gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
        if self.gaps.len() > KEPT_GAPS {
            let since = self.gaps.iter().map(|gap| gap.since).min().unwrap_or(gap.since);
            self.gaps = vec![Gap { since, until: gap.until }];
        }
    }

    /// Writes everything within the caller's transaction.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut place = connection.prepare_cached(
            "INSERT OR IGNORE INTO places (environment_key, host_key, component_key) VALUES (?, ?, ?)",
        )?;
        let mut mark = connection.prepare_cached(
            "INSERT INTO marks (place, at, state) SELECT id, ?, ? FROM places \
             WHERE environment_key = ? AND host_key = ? AND component_key = ?",
        )?;
        for (InstanceId { environment, host, component }, Mark { at, state }) in &self.marks {
            let (environment, host, component) = (environment.folded(), host.folded(), component.folded());
            place.execute(params![environment, host, component])?;
            mark.execute(params![at.as_microsecond(), state.word(), environment, host, component])?;
        }
        for gap in &self.gaps {
            connection
                .prepare_cached("INSERT INTO gaps (since, until) VALUES (?, ?)")?
                .execute(params![gap.since.as_microsecond(), gap.until.as_microsecond()])?;
        }
        Ok(())
    }

    /// Removes everything after a successful write.
    pub(super) fn is_written(&mut self) {
        self.marks.clear();
        self.gaps.clear();
    }

    /// Adds the pending marks and gaps to those read from the database.
    pub(super) fn complete(&self, noted: &mut Noted, asked: &Asked) {
        let wanted = |instance: &InstanceId| asked.instance.as_ref().is_none_or(|wanted| wanted == instance);
        for (instance, mark) in self.marks.iter().filter(|(instance, _)| wanted(instance)) {
            noted.marks.entry(instance.clone()).or_default().push(*mark);
        }
        noted.gaps.extend(&self.gaps);
    }
}

/// Writes `now` as the last time at which the aggregator ran.
pub(super) fn put_alive(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO numbers (name, value) VALUES ('alive', ?)")?
        .execute([now.as_microsecond()])?;
    Ok(())
}

/// Returns the last time at which an aggregator ran with this database; `None` if none did.
pub(super) fn alive(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    connection.query_row("SELECT value FROM numbers WHERE name = 'alive'", [], |row| time(row, 0)).optional()
}

/// Reads the written marks and gaps.
pub(super) fn noted(connection: &Connection, asked: &Asked) -> rusqlite::Result<Noted> {
    let mut since = asked.since.as_microsecond();
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT at FROM marks WHERE at >= ? ORDER BY at DESC LIMIT 1 OFFSET ?")?
        .query_row(params![since, MOST], |row| row.get(0))
        .optional()?;
    if let Some(oldest) = oldest {
        // The limit may cut apart the marks of this very moment.
        since = oldest + 1;
    }
    let mut found = Vec::new();
    // By ID, not time: if the clock was set back, the mark written last is valid.
    let last_before = "(SELECT id FROM marks WHERE place = places.id AND at < ?1 ORDER BY id DESC LIMIT 1)";
    let of = "marks.id, environment_key, host_key, component_key, at, state \
              FROM marks JOIN places ON places.id = marks.place";
    match &asked.instance {
        // In two parts, each with its own index; a single query would scan the whole table.
        None => {
            let sql = format!(
                "SELECT {of} WHERE at >= ?1 UNION ALL \
                 SELECT {of} WHERE marks.id IN (SELECT {last_before} FROM places)"
            );
            read(connection, &sql, params![since], &mut found)?;
        }
        Some(InstanceId { environment, host, component }) => {
            let sql = format!(
                "SELECT {of} WHERE environment_key = ?2 AND host_key = ?3 AND component_key = ?4 \
                 AND (at >= ?1 OR marks.id = {last_before})"
            );
            let names = (environment.folded(), host.folded(), component.folded());
            read(connection, &sql, params![since, names.0, names.1, names.2], &mut found)?;
        }
    }
    found.sort_unstable_by_key(|(id, ..)| *id);
    let mut noted = Noted { marks: HashMap::new(), gaps: gaps(connection)? };
    for (_, instance, mark) in found {
        noted.marks.entry(instance).or_default().push(mark);
    }
    Ok(noted)
}

fn read(
    connection: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    found: &mut Vec<(i64, InstanceId, Mark)>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(values)?;
    while let Some(row) = rows.next()? {
        let name = |at: usize| -> rusqlite::Result<Name> { Ok(row.get_ref(at)?.as_str()?.into()) };
        let instance = InstanceId { environment: name(1)?, host: name(2)?, component: name(3)? };
        let state = Stretch::from_word(row.get_ref(5)?.as_str()?).ok_or_else(|| damaged(5))?;
        found.push((row.get(0)?, instance, Mark { at: time(row, 4)?, state }));
    }
    Ok(())
}

fn gaps(connection: &Connection) -> rusqlite::Result<Vec<Gap>> {
    let mut statement = connection.prepare_cached("SELECT since, until FROM gaps ORDER BY rowid")?;
    let gaps = statement.query_map([], |row| Ok(Gap { since: time(row, 0)?, until: time(row, 1)? }))?;
    gaps.collect()
}

/// Returns the time before which marks may be deleted to keep about `rows`; `None` if there are no more than
/// that.
pub(super) fn cutoff_for(connection: &Connection, rows: i64) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .query_row("SELECT at FROM marks ORDER BY at DESC LIMIT 1 OFFSET ?", [rows], |row| time(row, 0))
        .optional()
}

/// Deletes up to `most` marks older than `cutoff`, except the last one of each instance, which holds its
/// state at that time, unless a gap ended that state. Returns true if there may be more.
pub(super) fn forget(connection: &mut Connection, cutoff: Timestamp, most: i64) -> rusqlite::Result<bool> {
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
        // Older marks may remain, and the gaps say that those are no longer valid.
        transaction.execute("DELETE FROM gaps WHERE until < ?", [cutoff])?;
        transaction.execute(
            "DELETE FROM places WHERE NOT EXISTS (SELECT 1 FROM marks WHERE place = places.id)",
            [],
        )?;
    }
    transaction.commit()?;
    Ok(is_more)
}
