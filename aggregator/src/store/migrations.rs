//! Versions of the schema. Both backends have the same versions, each in its own dialect.

/// Step from one version of the schema to the next.
#[derive(Debug)]
pub(crate) struct Migration {
    pub(crate) sqlite: &'static str,
}

/// Steps in their order; the first creates the schema.
pub(crate) const MIGRATIONS: [Migration; 3] =
    [Migration { sqlite: SQLITE_1 }, Migration { sqlite: SQLITE_2 }, Migration { sqlite: SQLITE_3 }];

/// Version of the schema that this program writes.
pub(crate) const VERSION: usize = MIGRATIONS.len();

/// Times are in microseconds since 1970, UTC. Columns with `_key` hold names in the form used for comparison.
const SQLITE_1: &str = "
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    environment TEXT, environment_key TEXT,
    host TEXT, host_key TEXT,
    component TEXT, component_key TEXT,
    was TEXT,
    is_now TEXT,
    text TEXT NOT NULL,
    user TEXT, address TEXT,
    plan INTEGER
) STRICT;
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_environment ON events (environment_key, id);
CREATE INDEX events_by_host ON events (host_key, id);
CREATE INDEX events_by_component ON events (component_key, id);
CREATE INDEX events_by_kind ON events (kind, id);

-- Events older than the cutoff may be deleted. It is 0 but within the transaction that deletes them.
CREATE TABLE retention (one INTEGER PRIMARY KEY CHECK (one = 1), cutoff INTEGER NOT NULL) STRICT;
INSERT INTO retention (one, cutoff) VALUES (1, 0);
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'an event is never replaced'); END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events WHEN OLD.at >= (SELECT cutoff FROM retention)
    BEGIN SELECT RAISE(ABORT, 'an event is deleted for its age alone'); END;

CREATE TABLE plans (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    user TEXT NOT NULL, address TEXT NOT NULL,
    plan TEXT NOT NULL, -- JSON
    ended INTEGER
) STRICT;
CREATE INDEX plans_unfinished ON plans (id) WHERE ended IS NULL;
CREATE TABLE steps (
    plan INTEGER NOT NULL, step INTEGER NOT NULL,
    state TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (plan, step)
) STRICT, WITHOUT ROWID;

-- Active maintenance; events record how it began and ended.
CREATE TABLE maintenance (
    environment TEXT NOT NULL, host TEXT NOT NULL, component TEXT,
    since INTEGER NOT NULL, until INTEGER,
    reason TEXT NOT NULL, user TEXT NOT NULL, address TEXT NOT NULL
) STRICT;

-- How each instance, and each host (component ''), was known to be last.
CREATE TABLE known (
    environment_key TEXT NOT NULL, host_key TEXT NOT NULL, component_key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (environment_key, host_key, component_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// States of instances over time, the source of the timelines. Every start of an aggregator begins a new
/// series.
const SQLITE_2: &str = "
CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    environment_key TEXT NOT NULL, host_key TEXT NOT NULL, component_key TEXT NOT NULL,
    UNIQUE (environment_key, host_key, component_key)
) STRICT;
CREATE TABLE marks (id INTEGER PRIMARY KEY, place INTEGER NOT NULL, at INTEGER NOT NULL, state TEXT NOT NULL) STRICT;
CREATE INDEX marks_by_place ON marks (place);
CREATE INDEX marks_by_time ON marks (at);
-- When no aggregator ran, or what it noted is lost.
CREATE TABLE gaps (since INTEGER NOT NULL, until INTEGER NOT NULL) STRICT;
";

/// Instances that plans have stopped on purpose and that have not run since.
const SQLITE_3: &str = "
CREATE TABLE planned_stops (
    environment TEXT NOT NULL, host TEXT NOT NULL, component TEXT NOT NULL,
    plan INTEGER NOT NULL, at INTEGER NOT NULL,
    user TEXT NOT NULL, address TEXT NOT NULL,
    PRIMARY KEY (environment, host, component)
) STRICT, WITHOUT ROWID;
";
