//! Keyed semaphore: limits concurrency in total and per owner, so that no single owner can exhaust it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Limited number of concurrent permits; clones share them.
#[derive(Debug)]
pub struct KeyedSemaphore<K: Eq + Hash> {
    limits: Arc<SemaphoreLimits<K>>,
}

impl<K: Eq + Hash> Clone for KeyedSemaphore<K> {
    fn clone(&self) -> Self {
        Self { limits: Arc::clone(&self.limits) }
    }
}

/// Permit that is held. Dropping it releases it.
#[derive(Debug)]
pub struct Permit<K: Eq + Hash> {
    limits: Arc<SemaphoreLimits<K>>,
    owner: K,
}

#[derive(Debug)]
struct SemaphoreLimits<K> {
    total: usize,
    per_owner: usize,
    held: Mutex<HeldPermits<K>>,
}

#[derive(Debug)]
struct HeldPermits<K> {
    total: usize,
    by_owner: HashMap<K, usize>,
}

impl<K: Eq + Hash + Clone> KeyedSemaphore<K> {
    /// Creates a semaphore with `total` permits, at most `per_owner` of them for a single owner.
    pub fn new(total: usize, per_owner: usize) -> Self {
        let held = Mutex::new(HeldPermits { total: 0, by_owner: HashMap::new() });
        Self { limits: Arc::new(SemaphoreLimits { total, per_owner, held }) }
    }

    /// Acquires a permit for `owner`; `None` if the total or the owner's limit is exhausted. Never waits.
    pub fn acquire(&self, owner: K) -> Option<Permit<K>> {
        let mut held = self.limits.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.total >= self.limits.total {
            return None;
        }
        let own = held.by_owner.entry(owner.clone()).or_default();
        if *own >= self.limits.per_owner {
            return None;
        }
        *own += 1;
        held.total += 1;
        Some(Permit { limits: Arc::clone(&self.limits), owner })
    }
}

impl<K: Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        let mut held = self.limits.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.total -= 1;
        if let Some(own) = held.by_owner.get_mut(&self.owner) {
            *own -= 1;
            if *own == 0 {
                held.by_owner.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_and_what_is_left_is_free_again() {
        let permits = KeyedSemaphore::new(3, 2);
        let first = permits.acquire("ann").unwrap();
        let _second = permits.acquire("ann").unwrap();
        assert!(permits.acquire("ann").is_none(), "she has as many as one may");
        let _third = permits.clone().acquire("bob").unwrap();
        assert!(permits.acquire("cid").is_none(), "there are no more");
        drop(first);
        let again = permits.acquire("cid").unwrap();
        assert!(permits.acquire("bob").is_none());
        drop(again);
        let held = permits.limits.held.lock().unwrap();
        assert!(!held.by_owner.contains_key("cid"), "who has none is forgotten");
    }
}
