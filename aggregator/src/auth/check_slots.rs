//! Turns for password checks: a limited number at a time, in the order of the fair queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::auth::fair_queue::FairQueue;
use crate::auth::rate_limit::{SignInOrigin, SignInRateLimiter};

/// Distributor of turns; clones share the state.
#[derive(Clone, Debug)]
pub(crate) struct CheckSlots(Arc<Mutex<SlotState>>);

/// Permission to check one password, for as long as it is held.
#[derive(Debug)]
pub(crate) struct CheckSlot(CheckSlots);

#[derive(Debug)]
struct SlotState {
    attempts: SignInRateLimiter,
    queue: FairQueue,
    waiting: HashMap<u64, oneshot::Sender<CheckSlot>>,
    /// Number of turns that nobody holds.
    free: usize,
    /// Time of the next scheduled check for a due attempt.
    alarm: Option<Instant>,
}

/// Guard that removes an attempt from the queue when its client has gone.
struct WaitingAttempt {
    slots: CheckSlots,
    id: u64,
}

impl Drop for WaitingAttempt {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.queue.remove(self.id);
        state.waiting.remove(&self.id);
    }
}

impl Drop for CheckSlot {
    fn drop(&mut self) {
        self.0.state().free += 1;
        self.0.assign_free_slots();
    }
}

impl CheckSlots {
    /// Creates this number of turns.
    pub(crate) fn new(at_a_time: usize) -> Self {
        let state = SlotState {
            attempts: SignInRateLimiter::default(),
            queue: FairQueue::default(),
            waiting: HashMap::new(),
            free: at_a_time,
            alarm: None,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Waits for a turn. `None` if too many attempts wait and this one was evicted.
    pub(crate) async fn acquire(&self, origin: &SignInOrigin) -> Option<CheckSlot> {
        let (sender, slot) = oneshot::channel();
        let waiting = {
            let mut state = self.state();
            let (id, evicted) = state.queue.push(origin);
            state.waiting.insert(id, sender);
            if let Some(evicted) = evicted {
                state.waiting.remove(&evicted);
            }
            WaitingAttempt { slots: self.clone(), id }
        };
        self.assign_free_slots();
        let slot = slot.await.ok();
        drop(waiting);
        slot
    }

    /// See [`SignInRateLimiter::forget_failures`].
    pub(crate) fn forget_failures(&self, origin: &SignInOrigin) {
        self.state().attempts.forget_failures(origin);
    }

    /// See [`SignInRateLimiter::answer_delay`].
    pub(crate) fn answer_delay(&self, origin: &SignInOrigin) -> Duration {
        self.state().attempts.answer_delay(origin)
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free turns to the next attempts.
    fn assign_free_slots(&self) {
        let now = Instant::now();
        // Sent without the lock: the turn of a client that has gone is returned at once.
        while let Some((sender, slot)) = self.next(now) {
            drop(sender.send(slot));
        }
        self.set_alarm(now);
    }

    fn next(&self, now: Instant) -> Option<(oneshot::Sender<CheckSlot>, CheckSlot)> {
        let mut guard = self.state();
        let state = &mut *guard;
        while state.free > 0 {
            let is_due = |origin: &SignInOrigin, waiting| {
                state.attempts.next_check_at(origin, waiting).is_none_or(|due| due <= now.into_std())
            };
            let (id, origin) = state.queue.next(is_due)?;
            if let Some(sender) = state.waiting.remove(&id) {
                state.attempts.count_attempt(&origin, now.into_std());
                state.free -= 1;
                return Some((sender, CheckSlot(self.clone())));
            }
        }
        None
    }

    /// Schedules a check for the time when the next attempt is due, if a turn is free.
    fn set_alarm(&self, now: Instant) {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.free == 0 {
            return;
        }
        let due =
            |(origin, waiting)| state.attempts.next_check_at(origin, waiting).map_or(now, Instant::from_std);
        let due = state.queue.origins().map(due).min();
        let Some(due) = due.filter(|due| state.alarm.is_none_or(|alarm| *due < alarm)) else { return };
        // Without a runtime no attempt waits any more.
        let Ok(runtime) = Handle::try_current() else { return };
        state.alarm = Some(due);
        let slots = self.clone();
        runtime.spawn(async move {
            tokio::time::sleep_until(due).await;
            slots.state().alarm = None;
            slots.assign_free_slots();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures::FutureExt as _;

    use super::*;

    fn from(account: &str) -> SignInOrigin {
        SignInOrigin::new(IpAddr::from([10, 0, 0, 1]), Some(account))
    }

    #[tokio::test]
    async fn only_so_many_have_a_turn_and_each_is_handed_on() {
        let slots = CheckSlots::new(1);
        let first = slots.acquire(&from("ann")).await.unwrap();
        let (ann, bob) = (from("ann"), from("bob"));
        let mut second = Box::pin(slots.acquire(&ann));
        let mut third = Box::pin(slots.acquire(&bob));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        // A client that has gone is skipped.
        drop(second);
        drop(first);
        let third = third.await.unwrap();
        assert!(slots.acquire(&from("cid")).now_or_never().is_none());
        drop(third);
        assert_eq!(slots.state().free, 1);
        assert!(slots.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn attempts_after_many_wrong_ones_wait_and_none_is_refused() {
        let slots = CheckSlots::new(4);
        for _ in 0..10 {
            drop(slots.acquire(&from("ann")).await.unwrap());
        }
        // The next attempt on that account is woken when it is due.
        let (ann, bob) = (from("ann"), from("bob"));
        let waiting = slots.acquire(&ann);
        assert!(slots.acquire(&bob).now_or_never().flatten().is_some(), "another account is due at once");
        assert!(waiting.await.is_some(), "it is checked, if later");
        slots.forget_failures(&ann);
        assert!(slots.acquire(&ann).now_or_never().flatten().is_some(), "its owner is there");
        assert_eq!(slots.state().free, 4);
    }
}
