//! Versions of the schema. Both backends have the same versions, each in its own dialect.

/// Step from one version of the schema to the next.
#[derive(Debug)]
pub(crate) struct Migration {
    pub(crate) sqlite: &'static str,
    /// Empty for versions that PostgreSQL never had.
    pub(crate) postgres: &'static str,
}

/// Steps in their order; the first creates the schema.
pub(crate) const MIGRATIONS: [Migration; 9] = [
    Migration { sqlite: SQLITE_1, postgres: "" },
    Migration { sqlite: SQLITE_2, postgres: "" },
    Migration { sqlite: SQLITE_3, postgres: "" },
    Migration { sqlite: SQLITE_4, postgres: POSTGRES_4 },
    Migration { sqlite: SQLITE_5, postgres: POSTGRES_5 },
    Migration { sqlite: SQLITE_6, postgres: POSTGRES_6 },
    Migration { sqlite: SQLITE_7, postgres: POSTGRES_7 },
    Migration { sqlite: SQLITE_8, postgres: POSTGRES_8 },
    Migration { sqlite: SQLITE_9, postgres: POSTGRES_9 },
];

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

/// Compact rows: a name, a word and a text that repeats are stored once, and rows refer to them by number.
/// The writer assigns all numbers.
const SQLITE_4: &str = "
CREATE TABLE names (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, name TEXT NOT NULL) STRICT;
CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE) STRICT;
-- An event refers to a text of some days before at most.
CREATE TABLE texts (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, text TEXT NOT NULL) STRICT;

INSERT INTO names (key, name) SELECT key, min(name) FROM (
    SELECT environment_key AS key, environment AS name FROM events
    UNION ALL SELECT host_key, host FROM events
    UNION ALL SELECT component_key, component FROM events
    UNION ALL SELECT environment_key, environment_key FROM places
    UNION ALL SELECT host_key, host_key FROM places
    UNION ALL SELECT component_key, component_key FROM places
) WHERE key IS NOT NULL GROUP BY key;
-- The kind of nearly all events has a fixed number, since an index leaves it out.
INSERT INTO words (id, word) VALUES (1, 'health');
INSERT INTO words (word) SELECT word FROM (
    SELECT kind AS word FROM events UNION SELECT was FROM events UNION SELECT is_now FROM events
    UNION SELECT user FROM events UNION SELECT address FROM events UNION SELECT state FROM marks
) WHERE word <> 'health';
INSERT INTO texts (id, at, text) SELECT id, at, text FROM events;

-- Instances, hosts (component 0) and environments (host 0) by the numbers of their names.
CREATE TABLE compact_places (
    id INTEGER PRIMARY KEY,
    environment INTEGER NOT NULL, host INTEGER NOT NULL, component INTEGER NOT NULL,
    UNIQUE (environment, host, component)
) STRICT;
INSERT INTO compact_places (environment, host, component)
    SELECT ifnull(environments.id, 0), ifnull(hosts.id, 0), ifnull(components.id, 0) FROM (
        SELECT environment_key, host_key, component_key FROM places
        UNION SELECT environment_key, host_key, component_key FROM events
    ) AS used
    LEFT JOIN names AS environments ON environments.key = used.environment_key
    LEFT JOIN names AS hosts ON hosts.key = used.host_key
    LEFT JOIN names AS components ON components.key = used.component_key
    WHERE used.environment_key IS NOT NULL OR used.host_key IS NOT NULL OR used.component_key IS NOT NULL;

-- Place 0: none.
CREATE TABLE compact_events (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    place INTEGER NOT NULL,
    was INTEGER, is_now INTEGER,
    text INTEGER NOT NULL,
    by_user INTEGER, address INTEGER,
    plan INTEGER
) STRICT;
INSERT INTO compact_events SELECT events.id, at, kinds.id,
    ifnull((SELECT compact_places.id FROM compact_places
        WHERE environment = ifnull((SELECT names.id FROM names WHERE key = environment_key), 0)
        AND host = ifnull((SELECT names.id FROM names WHERE key = host_key), 0)
        AND component = ifnull((SELECT names.id FROM names WHERE key = component_key), 0)), 0),
    (SELECT words.id FROM words WHERE word = was), (SELECT words.id FROM words WHERE word = is_now),
    events.id,
    (SELECT words.id FROM words WHERE word = user), (SELECT words.id FROM words WHERE word = address),
    plan FROM events JOIN words AS kinds ON kinds.word = kind;
DROP TABLE events;
ALTER TABLE compact_events RENAME TO events;
CREATE INDEX texts_by_time ON texts (at);
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_place ON events (place, id);
CREATE INDEX events_by_kind ON events (kind, id) WHERE kind <> 1;
CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER events_are_not_replaced BEFORE INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'an event is never replaced'); END;
CREATE TRIGGER events_are_not_deleted BEFORE DELETE ON events WHEN OLD.at >= (SELECT cutoff FROM retention)
    BEGIN SELECT RAISE(ABORT, 'an event is deleted for its age alone'); END;
CREATE TRIGGER texts_are_not_changed BEFORE UPDATE ON texts
    BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER texts_are_not_deleted BEFORE DELETE ON texts WHEN OLD.at >= (SELECT cutoff FROM retention)
    BEGIN SELECT RAISE(ABORT, 'an event is deleted for its age alone'); END;

-- The ID of a sample is its time in microseconds, or one more than that of the sample before if that is later. `late`
-- is the difference, so that the primary key is the index by time.
CREATE TABLE compact_marks (
    id INTEGER PRIMARY KEY, place INTEGER NOT NULL, state INTEGER NOT NULL, late INTEGER NOT NULL
) STRICT;
INSERT INTO compact_marks SELECT id, place, state, id - at FROM (
    SELECT max(at) OVER (ORDER BY marks.id) + row_number() OVER (ORDER BY marks.id) AS id,
        compact_places.id AS place, words.id AS state, at
    FROM marks JOIN places ON places.id = marks.place JOIN words ON word = state
    JOIN names AS environments ON environments.key = environment_key
    JOIN names AS hosts ON hosts.key = host_key
    JOIN names AS components ON components.key = component_key
    JOIN compact_places ON compact_places.environment = environments.id AND compact_places.host = hosts.id
        AND compact_places.component = components.id
);
DROP TABLE places;
DROP TABLE marks;
ALTER TABLE compact_places RENAME TO places;
ALTER TABLE compact_marks RENAME TO marks;
CREATE INDEX marks_by_place ON marks (place, id);
";

/// All tables, as [`SQLITE_4`] leaves them.
const POSTGRES_4: &str = "
CREATE TABLE names (id INTEGER PRIMARY KEY, key TEXT COLLATE \"C\" NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT COLLATE \"C\" NOT NULL UNIQUE);
INSERT INTO words (id, word) VALUES (1, 'health');
CREATE TABLE texts (id BIGINT PRIMARY KEY, at BIGINT NOT NULL, text TEXT NOT NULL);
CREATE INDEX texts_by_time ON texts (at);
CREATE TABLE events (
    id BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    text BIGINT NOT NULL,
    kind INTEGER NOT NULL,
    place INTEGER NOT NULL,
    was INTEGER, is_now INTEGER,
    by_user INTEGER, address INTEGER,
    plan BIGINT
);
CREATE INDEX events_by_time ON events (at);
CREATE INDEX events_by_place ON events (place, id);
CREATE INDEX events_by_kind ON events (kind, id) WHERE kind <> 1;
CREATE TABLE retention (one INTEGER PRIMARY KEY CHECK (one = 1), cutoff BIGINT NOT NULL);
INSERT INTO retention (one, cutoff) VALUES (1, 0);
CREATE FUNCTION keep_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'UPDATE' THEN RAISE EXCEPTION 'an event is never changed'; END IF;
    IF OLD.at >= (SELECT cutoff FROM retention) THEN
        RAISE EXCEPTION 'an event is deleted for its age alone';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER events_are_kept BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION keep_event();
CREATE TRIGGER texts_are_kept BEFORE UPDATE OR DELETE ON texts FOR EACH ROW EXECUTE FUNCTION keep_event();

CREATE TABLE plans (
    id BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    \"user\" TEXT NOT NULL, address TEXT NOT NULL,
    plan TEXT NOT NULL,
    ended BIGINT
);
CREATE INDEX plans_unfinished ON plans (id) WHERE ended IS NULL;
CREATE TABLE steps (
    plan BIGINT NOT NULL, step BIGINT NOT NULL,
    state TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (plan, step)
);
CREATE TABLE maintenance (
    environment TEXT NOT NULL, host TEXT NOT NULL, component TEXT,
    since BIGINT NOT NULL, until BIGINT,
    reason TEXT NOT NULL, \"user\" TEXT NOT NULL, address TEXT NOT NULL
);
CREATE TABLE known (
    environment_key TEXT COLLATE \"C\" NOT NULL, host_key TEXT COLLATE \"C\" NOT NULL,
    component_key TEXT COLLATE \"C\" NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (environment_key, host_key, component_key)
) WITH (fillfactor = 70);
CREATE TABLE numbers (name TEXT PRIMARY KEY, value BIGINT NOT NULL) WITH (fillfactor = 70);
CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    environment INTEGER NOT NULL, host INTEGER NOT NULL, component INTEGER NOT NULL,
    UNIQUE (environment, host, component)
);
CREATE TABLE marks (id BIGINT PRIMARY KEY, late BIGINT NOT NULL, place INTEGER NOT NULL, state INTEGER NOT NULL);
CREATE INDEX marks_by_place ON marks (place, id);
CREATE TABLE gaps (since BIGINT NOT NULL, until BIGINT NOT NULL);
CREATE TABLE planned_stops (
    environment TEXT COLLATE \"C\" NOT NULL, host TEXT COLLATE \"C\" NOT NULL, component TEXT COLLATE \"C\" NOT NULL,
    plan BIGINT NOT NULL, at BIGINT NOT NULL,
    \"user\" TEXT NOT NULL, address TEXT NOT NULL,
    PRIMARY KEY (environment, host, component)
);
";

/// State of the notifier, and its messages that are not delivered yet, in the order of their numbers.
const SQLITE_5: &str = "
CREATE TABLE notify_state (one INTEGER PRIMARY KEY CHECK (one = 1), state TEXT NOT NULL) STRICT; -- JSON
CREATE TABLE notify_outbox (
    number INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    message TEXT NOT NULL -- JSON
) STRICT;
";

/// The same as [`SQLITE_5`].
const POSTGRES_5: &str = "
CREATE TABLE notify_state (one INTEGER PRIMARY KEY CHECK (one = 1), state TEXT NOT NULL);
CREATE TABLE notify_outbox (number BIGINT PRIMARY KEY, channel TEXT NOT NULL, message TEXT NOT NULL);
";

/// Planned maintenance.
const SQLITE_6: &str = "
CREATE TABLE planned_maintenance (id INTEGER PRIMARY KEY, planned TEXT NOT NULL) STRICT; -- JSON
";

/// The same as [`SQLITE_6`].
const POSTGRES_6: &str = "
CREATE TABLE planned_maintenance (id BIGINT PRIMARY KEY, planned TEXT NOT NULL);
";

/// Incidents. Events are never changed, so that the events of an incident are in a table of their own. Few
/// events have a plan or a requester; the indexes leave out all others.
const SQLITE_7: &str = "
CREATE TABLE incidents (
    id INTEGER PRIMARY KEY,
    begun INTEGER NOT NULL, ended INTEGER,
    detail TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX incidents_by_end ON incidents (ended);
-- Words by which incidents are found: environments and persons, in lower case.
CREATE TABLE incident_keys (
    kind TEXT NOT NULL, value TEXT NOT NULL, incident INTEGER NOT NULL,
    PRIMARY KEY (kind, value, incident)
) STRICT, WITHOUT ROWID;
CREATE TABLE incident_events (
    incident INTEGER NOT NULL, event INTEGER NOT NULL,
    PRIMARY KEY (incident, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX incident_events_by_event ON incident_events (event);
CREATE INDEX events_by_plan ON events (plan, id) WHERE plan IS NOT NULL;
CREATE INDEX events_by_user ON events (by_user, id) WHERE by_user IS NOT NULL;
";

/// The same as [`SQLITE_7`].
const POSTGRES_7: &str = "
CREATE TABLE incidents (id BIGINT PRIMARY KEY, begun BIGINT NOT NULL, ended BIGINT, detail TEXT NOT NULL);
CREATE INDEX incidents_by_end ON incidents (ended);
CREATE TABLE incident_keys (
    kind TEXT COLLATE \"C\" NOT NULL, value TEXT COLLATE \"C\" NOT NULL, incident BIGINT NOT NULL,
    PRIMARY KEY (kind, value, incident)
);
CREATE TABLE incident_events (incident BIGINT NOT NULL, event BIGINT NOT NULL, PRIMARY KEY (incident, event));
CREATE INDEX incident_events_by_event ON incident_events (event);
CREATE INDEX events_by_plan ON events (plan, id) WHERE plan IS NOT NULL;
CREATE INDEX events_by_user ON events (by_user, id) WHERE by_user IS NOT NULL;
";

/// Keys of requests, with their answers. Key and request are digests; a request without a status has no
/// answer.
const SQLITE_8: &str = "
CREATE TABLE request_keys (
    id TEXT PRIMARY KEY, at INTEGER NOT NULL, request TEXT NOT NULL,
    size INTEGER NOT NULL, -- of the answer, in bytes
    status INTEGER, headers TEXT, body TEXT
) STRICT;
";

/// The same as [`SQLITE_8`].
const POSTGRES_8: &str = "
CREATE TABLE request_keys (
    id TEXT COLLATE \"C\" PRIMARY KEY, at BIGINT NOT NULL, request TEXT NOT NULL,
    size BIGINT NOT NULL,
    status BIGINT, headers TEXT, body TEXT
);
";

/// A notifier for each environment that is led apart from the others; the empty one is that of all
/// environments.
const SQLITE_9: &str = "
CREATE TABLE environment_notify_state (environment TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO environment_notify_state (environment, state) SELECT '', state FROM notify_state;
DROP TABLE notify_state;
ALTER TABLE environment_notify_state RENAME TO notify_state;
CREATE TABLE environment_notify_outbox (
    environment TEXT NOT NULL, number INTEGER NOT NULL,
    channel TEXT NOT NULL,
    message TEXT NOT NULL, -- JSON
    PRIMARY KEY (environment, number)
) STRICT, WITHOUT ROWID;
INSERT INTO environment_notify_outbox (environment, number, channel, message)
    SELECT '', number, channel, message FROM notify_outbox;
DROP TABLE notify_outbox;
ALTER TABLE environment_notify_outbox RENAME TO notify_outbox;
";

/// The same as [`SQLITE_9`].
const POSTGRES_9: &str = "
ALTER TABLE notify_state ADD COLUMN environment TEXT COLLATE \"C\" NOT NULL DEFAULT '';
ALTER TABLE notify_state DROP COLUMN one;
ALTER TABLE notify_state ADD PRIMARY KEY (environment);
ALTER TABLE notify_outbox ADD COLUMN environment TEXT COLLATE \"C\" NOT NULL DEFAULT '';
ALTER TABLE notify_outbox DROP CONSTRAINT notify_outbox_pkey;
ALTER TABLE notify_outbox ADD PRIMARY KEY (environment, number);
";
