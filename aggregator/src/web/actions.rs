//! The starts and stops of late, and how they ended. They are forgotten when the aggregator ends.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rta_shared::control::ActionKind;

/// How many are remembered.
const REMEMBERED: usize = 50;

/// One start or stop that was asked for on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) id: u64,
    pub(super) kind: ActionKind,
    /// The full name that was asked for.
    pub(super) instance: String,
    pub(super) since: Timestamp,
    pub(super) progress: Progress,
}

/// How far an action is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    UnderWay,
    Done(String),
    Failed(String),
}

/// A bounded record of actions, the newest first.
#[derive(Debug, Default)]
pub(super) struct Actions(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    last_id: u64,
    actions: VecDeque<Action>,
}

impl Actions {
    /// Notes that an action begins; its number.
    pub(super) fn begin(&self, kind: ActionKind, instance: String, since: Timestamp) -> u64 {
        self.locked(|record| {
            record.last_id += 1;
            let id = record.last_id;
            record.actions.truncate(REMEMBERED - 1);
            record.actions.push_front(Action { id, kind, instance, since, progress: Progress::UnderWay });
            id
        })
    }

    /// Notes how an action ended.
    pub(super) fn end(&self, id: u64, progress: Progress) {
        self.locked(|record| {
            if let Some(action) = record.actions.iter_mut().find(|action| action.id == id) {
                action.progress = progress;
            }
        });
    }

    /// All that are remembered, the newest first.
    pub(super) fn all(&self) -> Vec<Action> {
        self.locked(|record| record.actions.iter().cloned().collect())
    }

    fn locked<T>(&self, look: impl FnOnce(&mut Record) -> T) -> T {
        // Nothing that holds the lock can leave the record half-written.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_with_their_end() {
        let actions = Actions::default();
        for number in 0..60 {
            let id = actions.begin(ActionKind::Start, format!("i{number}"), Timestamp::UNIX_EPOCH);
            assert_eq!(id, number + 1);
        }
        actions.end(60, Progress::Done("started".to_owned()));
        // Long forgotten: nothing happens.
        actions.end(1, Progress::Failed("late".to_owned()));
        let all = actions.all();
        assert_eq!((all.len(), all[0].id, all[49].id), (50, 60, 11));
        assert_eq!(all[0].progress, Progress::Done("started".to_owned()));
        assert_eq!(all[1].progress, Progress::UnderWay);
    }
}
