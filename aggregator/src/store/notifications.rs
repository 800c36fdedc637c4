//! State of the notifier, and its undelivered messages, as the store keeps them: two tables whose content
//! only the notifier understands.

use std::collections::{BTreeMap, BTreeSet};

use rta_shared::name::Name;

use super::sql::{SqlSession, StoreError, values};

/// Message that is not delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutboxRow {
    /// Number, which grows with every message.
    pub(crate) number: u64,
    pub(crate) channel: String,
    /// JSON of the message.
    pub(crate) message: String,
}

/// What an earlier aggregator left of its notifications.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredNotifications {
    /// JSON of the notifier's state; `None`: there is none.
    pub(crate) state: Option<String>,
    /// Undelivered messages, the oldest first.
    pub(crate) outbox: Vec<OutboxRow>,
}

/// Change of the notifications, written as a whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct NotificationChange {
    /// New state; `None`: it stays.
    pub(crate) state: Option<String>,
    pub(crate) added: Vec<OutboxRow>,
    /// Numbers of the messages that are delivered, or given up.
    pub(crate) removed: Vec<u64>,
}

/// Notifications with the changes that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct PendingNotifications {
    /// Environment of the notifier, as it is compared; empty: it is that of all environments.
    environment: String,
    state: Option<String>,
    is_state_dirty: bool,
    outbox: BTreeMap<u64, OutboxRow>,
    changed: BTreeSet<u64>,
}

impl From<&StoredNotifications> for PendingNotifications {
    fn from(stored: &StoredNotifications) -> Self {
        let outbox = stored.outbox.iter().map(|row| (row.number, row.clone())).collect();
        Self { state: stored.state.clone(), outbox, ..Self::default() }
    }
}

impl PendingNotifications {
    /// Returns the notifications of the notifier of this environment.
    pub(crate) fn of_environment(self, environment: Option<&Name>) -> Self {
        Self { environment: environment_key(environment).to_owned(), ..self }
    }

    /// Adds a change.
    pub(crate) fn apply(&mut self, change: NotificationChange) {
        let NotificationChange { state, added, removed } = change;
        if state.is_some() {
            self.state = state;
            self.is_state_dirty = true;
        }
        for row in added {
            self.changed.insert(row.number);
            self.outbox.insert(row.number, row);
        }
        for number in removed {
            self.changed.insert(number);
            self.outbox.remove(&number);
        }
    }

    /// Marks everything as unwritten.
    pub(crate) fn mark_all_dirty(&mut self) {
        self.is_state_dirty = self.state.is_some();
        self.changed.extend(self.outbox.keys());
    }

    /// Returns true if there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        !self.is_state_dirty && self.changed.is_empty()
    }

    /// Writes what has changed.
    pub(crate) fn write_all(&self, session: &mut dyn SqlSession) -> Result<(), StoreError> {
        if let Some(state) = self.state.as_ref().filter(|_| self.is_state_dirty) {
            session.execute(
                "INSERT INTO notify_state (environment, state) VALUES (?1, ?2) \
                 ON CONFLICT (environment) DO UPDATE SET state = excluded.state",
                values![&self.environment, state],
            )?;
        }
        for number in &self.changed {
            match self.outbox.get(number) {
                Some(row) => session.execute(
                    "INSERT INTO notify_outbox (environment, number, channel, message) VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT (environment, number) \
                     DO UPDATE SET channel = excluded.channel, message = excluded.message",
                    values![&self.environment, row.number, &row.channel, &row.message],
                )?,
                None => session.execute(
                    "DELETE FROM notify_outbox WHERE environment = ?1 AND number = ?2",
                    values![&self.environment, *number],
                )?,
            };
        }
        Ok(())
    }

    /// Removes the marks after a successful write.
    pub(crate) fn clear_written(&mut self) {
        self.is_state_dirty = false;
        self.changed.clear();
    }
}

fn environment_key(environment: Option<&Name>) -> &str {
    environment.map_or("", Name::folded)
}

/// Takes the undelivered messages of the notifier of all environments over to that of this one, if it has
/// none.
pub(crate) fn adopt_outbox(session: &mut dyn SqlSession, environment: &Name) -> Result<(), StoreError> {
    let sql = "UPDATE notify_outbox SET environment = ?1 WHERE environment = '' \
               AND NOT EXISTS (SELECT 1 FROM notify_outbox AS own WHERE own.environment = ?1)";
    session.execute(sql, values![environment.folded()]).map(drop)
}

/// Reads what an earlier aggregator left, of the notifier of an environment or of that of all.
pub(crate) fn read_notifications(
    session: &mut dyn SqlSession,
    environment: Option<&Name>,
) -> Result<StoredNotifications, StoreError> {
    let environment = environment_key(environment);
    let sql = "SELECT state FROM notify_state WHERE environment = ?1";
    let state = session.query_first(sql, values![environment], |row| row.text(0))?;
    let outbox = session.query_all(
        "SELECT number, channel, message FROM notify_outbox WHERE environment = ?1 ORDER BY number",
        values![environment],
        |row| Ok(OutboxRow { number: row.number(0)?, channel: row.text(1)?, message: row.text(2)? }),
    )?;
    Ok(StoredNotifications { state, outbox })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{EventStore, StoreLocation, StoreOptions};

    fn row(number: u64) -> OutboxRow {
        OutboxRow { number, channel: "ops".to_owned(), message: format!("{{\"n\":{number}}}") }
    }

    #[tokio::test]
    async fn notifications_survive_a_kill_once_they_are_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Folder(folder.path().to_owned());
        let options = StoreOptions { location, ..StoreOptions::default() };
        let store = EventStore::open(&options);
        assert_eq!(store.handle().notifications(), StoredNotifications::default());
        let state = |text: &str| Some(text.to_owned());
        let change = NotificationChange { state: state("{}"), added: vec![row(2), row(1)], removed: vec![] };
        assert_eq!(store.handle().record_notifications(change).await, Ok(()));
        let change = NotificationChange { state: state("[1]"), added: vec![row(3)], removed: vec![1] };
        assert_eq!(store.handle().record_notifications(change).await, Ok(()));
        store.abandon();
        let store = EventStore::open(&options);
        let expected = StoredNotifications { state: state("[1]"), outbox: vec![row(2), row(3)] };
        assert_eq!(store.handle().notifications(), expected);
        // A database that is lost is written again as a whole.
        std::fs::remove_file(folder.path().join("rta.db")).unwrap();
        store.handle().record_notifications(NotificationChange::default()).await.unwrap();
        store.close().await;
        let store = EventStore::open(&options);
        assert_eq!(store.handle().notifications(), expected);
        store.close().await;
    }
}
