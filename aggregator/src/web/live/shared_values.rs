//! Values that several users share: created once for all who ask for one, and dropped with its last user.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, Weak};

use tokio::sync::Mutex;

/// Shared values by key; clones share them.
#[derive(Debug)]
pub(super) struct SharedValues<K, V>(Arc<std::sync::Mutex<HashMap<K, ValueSlot<V>>>>);

/// Place of one value. Whoever creates it holds the lock, and those who ask meanwhile wait.
type ValueSlot<V> = Arc<Mutex<Weak<V>>>;

impl<K, V> Clone for SharedValues<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for SharedValues<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash, V> SharedValues<K, V> {
    /// Returns the value of `key`. If nobody uses it, or it is not `is_alive`, `create` makes another one; others who
    /// ask for the same key meanwhile wait, and share it.
    ///
    /// # Errors
    /// Returns the error of `create`. Others who wait then try themselves, one after another.
    pub(super) async fn get_or_create<E>(
        &self,
        key: K,
        is_alive: impl Fn(&V) -> bool,
        create: impl Future<Output = Result<V, E>>,
    ) -> Result<Arc<V>, E> {
        let slot = self.slot(key);
        let mut current = slot.lock().await;
        if let Some(value) = current.upgrade().filter(|value| is_alive(value)) {
            return Ok(value);
        }
        let value = Arc::new(create.await?);
        *current = Arc::downgrade(&value);
        Ok(value)
    }

    /// Returns the slot of `key`, and removes those that nobody uses.
    fn slot(&self, key: K) -> ValueSlot<V> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|value| value.strong_count() > 0)
        });
        Arc::clone(slots.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn those_who_ask_at_the_same_time_share_one_value() {
        let (values, created) = (SharedValues::default(), Cell::new(0));
        let get = |key| {
            values.get_or_create(key, |_| true, async {
                tokio::task::yield_now().await;
                created.set(created.get() + 1);
                Ok::<i32, ()>(created.get())
            })
        };
        let all = futures::future::join_all((0..100).map(|_| get("a"))).await;
        assert!(all.iter().all(|value| **value.as_ref().unwrap() == 1));
        assert_eq!(get("a").await.as_deref(), Ok(&1));
        assert_eq!(get("b").await.as_deref(), Ok(&2));
        // Its last user has gone.
        drop(all);
        assert_eq!(get("a").await.as_deref(), Ok(&3));
    }

    #[tokio::test]
    async fn value_that_is_dead_or_could_not_be_created_is_created_again() {
        let values = SharedValues::default();
        let get = |is_alive: bool, result: Result<i32, &'static str>| {
            values.get_or_create("a", move |_| is_alive, std::future::ready(result))
        };
        assert_eq!(get(true, Err("not now")).await, Err("not now"));
        let first = get(true, Ok(1)).await.unwrap();
        assert_eq!(get(true, Err("not asked")).await, Ok(Arc::clone(&first)));
        let second = get(false, Ok(2)).await.unwrap();
        assert_eq!((*first, *second), (1, 2));
        assert_eq!(get(true, Ok(3)).await, Ok(second));
    }

    #[tokio::test]
    async fn slots_that_nobody_uses_are_removed() {
        let values = SharedValues::default();
        for key in 0..100 {
            values.get_or_create(key, |_| true, std::future::ready(Ok::<_, ()>(key))).await.unwrap();
        }
        assert_eq!(values.0.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn one_who_gives_up_leaves_the_creation_to_the_next() {
        let values = SharedValues::default();
        let never = values.get_or_create("a", |_: &i32| true, std::future::pending::<Result<i32, ()>>());
        let mut never = Box::pin(never);
        assert!(futures::poll!(never.as_mut()).is_pending());
        let next = values.get_or_create("a", |_| true, std::future::ready(Ok::<_, ()>(7)));
        let mut next = Box::pin(next);
        assert!(futures::poll!(next.as_mut()).is_pending());
        drop(never);
        assert_eq!(next.await.as_deref(), Ok(&7));
    }
}
