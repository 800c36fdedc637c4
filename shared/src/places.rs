//! Keyed semaphore: limits concurrency in total and per owner, so that no single owner can exhaust it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Limited number of concurrent permits; clones share them.
#[derive(Debug)]
pub struct Places<K: Eq + Hash> {
    hall: Arc<Hall<K>>,
}

impl<K: Eq + Hash> Clone for Places<K> {
    fn clone(&self) -> Self {
        Self { hall: Arc::clone(&self.hall) }
    }
}

/// Permit that is held. Dropping it releases it.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    hall: Arc<Hall<K>>,
    owner: K,
}

#[derive(Debug)]
struct Hall<K> {
    in_all: usize,
    of_one: usize,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    in_all: usize,
    of: HashMap<K, usize>,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// Creates a semaphore with `in_all` permits, at most `of_one` of them for a single owner.
    pub fn new(in_all: usize, of_one: usize) -> Self {
        let taken = Mutex::new(Taken { in_all: 0, of: HashMap::new() });
        Self { hall: Arc::new(Hall { in_all, of_one, taken }) }
    }

    /// Acquires a permit for `owner`; `None` if the total or the owner's limit is exhausted. Never waits.
    pub fn take(&self, owner: K) -> Option<Place<K>> {
        let mut taken = self.hall.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.in_all >= self.hall.in_all {
            return None;
        }
        let own = taken.of.entry(owner.clone()).or_default();
        if *own >= self.hall.of_one {
            return None;
        }
        *own += 1;
        taken.in_all += 1;
        Some(Place { hall: Arc::clone(&self.hall), owner })
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.hall.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all -= 1;
        if let Some(own) = taken.of.get_mut(&self.owner) {
            *own -= 1;
            if *own == 0 {
                taken.of.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_and_what_is_left_is_free_again() {
        let places = Places::new(3, 2);
        let first = places.take("ann").unwrap();
        let _second = places.take("ann").unwrap();
        assert!(places.take("ann").is_none(), "she has as many as one may");
        let _third = places.clone().take("bob").unwrap();
        assert!(places.take("cid").is_none(), "there are no more");
        drop(first);
        let again = places.take("cid").unwrap();
        assert!(places.take("bob").is_none());
        drop(again);
        let taken = places.hall.taken.lock().unwrap();
        assert!(!taken.of.contains_key("cid"), "who has none is forgotten");
    }
}
