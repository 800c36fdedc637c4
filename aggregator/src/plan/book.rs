//! Registry of the plans that are under way or ended recently.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::account::Account;

/// Maximum number of plans kept, and of plans under way at once.
const KEPT: usize = 50;

/// Bounded registry, the newest plan first.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<VecDeque<Arc<Account>>>);

impl Book {
    /// Adds a plan; drops the oldest ended one if the registry is full. Returns false, without adding it, if
    /// too many plans are under way.
    pub(crate) fn add(&self, account: Arc<Account>) -> bool {
        self.locked(|accounts| {
            while accounts.len() >= KEPT {
                let oldest = accounts.iter().rposition(|account| !account.is_under_way());
                let Some(oldest) = oldest else { return false };
                accounts.remove(oldest);
            }
            accounts.push_front(account);
            true
        })
    }

    /// Returns the plan with this ID.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Account>> {
        self.locked(|accounts| accounts.iter().find(|account| account.begun().id == id).cloned())
    }

    /// Returns all plans, the newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Account>> {
        self.locked(|accounts| accounts.iter().cloned().collect())
    }

    fn locked<T>(&self, look: impl FnOnce(&mut VecDeque<Arc<Account>>) -> T) -> T {
        // A panic while the lock is held cannot leave a change half-written.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::plan::account::tests::beginning;
    use crate::record::Recorder;

    fn account(id: u64) -> Arc<Account> {
        Arc::new(Account::new(beginning(id, &[]), Recorder::default()))
    }

    #[test]
    fn the_newest_are_kept_and_what_is_under_way_is_not_forgotten() {
        let book = Book::default();
        let first = account(1);
        assert!(book.add(Arc::clone(&first)));
        for id in 2..=60 {
            let account = account(id);
            account.end(Timestamp::UNIX_EPOCH);
            assert!(book.add(account));
        }
        let ids: Vec<u64> = book.all().iter().map(|account| account.begun().id).collect();
        assert_eq!((ids.len(), ids[0], ids[48], ids[49]), (50, 60, 12, 1));
        assert!(book.find(1).is_some() && book.find(2).is_none());
    }

    #[test]
    fn too_many_at_once_are_refused() {
        let book = Book::default();
        for id in 0..50 {
            assert!(book.add(account(id)));
        }
        assert!(!book.add(account(50)));
        book.find(7).unwrap().end(Timestamp::UNIX_EPOCH);
        assert!(book.add(account(51)));
        assert!(book.find(7).is_none());
    }
}
