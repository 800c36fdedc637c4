//! The task that owns the tracker: takes in overviews and events, and records what follows.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use rta_shared::lifecycle::tasks::Heartbeat;
use rta_shared::overview::Overview;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::observation::Observation;
use super::tracker::IncidentTracker;
use crate::causes::has_same_causes;
use crate::store::{EventStoreHandle, EventSubscription, LiveEvent};

/// Interval of the heartbeat, and of a look at events that no overview followed.
const TICK: Duration = Duration::from_secs(1);
/// Share of the time that is spent on overviews at most, as its inverse: those of large platforms take a
/// while.
const REST_FACTOR: u32 = 10;
/// Maximum time between two overviews: on a busy host one may take long by the clock alone, and what is shown
/// of open incidents would be out of date.
const MAX_REST: Duration = Duration::from_secs(2);

/// Follows the incidents until it is dropped. `changes` counts what is recorded.
pub(super) async fn run(
    mut overview: watch::Receiver<Arc<Overview>>,
    mut events: EventSubscription,
    store: EventStoreHandle,
    changes: watch::Sender<u64>,
    heartbeat: Heartbeat,
) {
    let mut tracker = IncidentTracker::new(store.stored_incidents(), Timestamp::now());
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    overview.mark_changed();
    let (mut is_pending, mut rest_until) = (false, Instant::now());
    // Overview that was looked at last; `None` after an event, with which the same one may mean something else.
    let mut last: Option<Arc<Overview>> = None;
    loop {
        tokio::select! {
            Ok(()) = overview.changed(), if !is_pending => is_pending = true,
            () = sleep_until(rest_until), if is_pending => {
                is_pending = false;
                let began = Instant::now();
                let current = Arc::clone(&overview.borrow_and_update());
                if last.as_ref().is_some_and(|before| has_same_causes(before, &current)) {
                    // A large platform has one each half second, and most differ in the times of scans alone.
                    continue;
                }
                // The events of what led to this overview come first.
                while let Some(Some(event)) = events.next().now_or_never() {
                    take_in(&mut tracker, event);
                }
                tracker.observe(&Observation::new(&current, &tracker.present_causes()));
                last = Some(current);
                rest_until = Instant::now() + (began.elapsed() * REST_FACTOR).min(MAX_REST);
            }
            Some(event) = events.next() => {
                last = None;
                take_in(&mut tracker, event);
                while let Some(Some(event)) = events.next().now_or_never() {
                    take_in(&mut tracker, event);
                }
            }
            _ = ticks.tick() => heartbeat.beat(),
        }
        if tracker.has_fresh_events() {
            tracker.attribute(Timestamp::now());
        }
        let change = tracker.take_change();
        if !change.is_empty() {
            store.record_incidents(change);
            changes.send_modify(|count| *count += 1);
        }
    }
}

fn take_in(tracker: &mut IncidentTracker, event: LiveEvent) {
    match event {
        LiveEvent::Event(event) => tracker.observe_event(&event),
        LiveEvent::Missed(missed) => {
            tracing::warn!(missed, "events came too fast; their incidents do not list them");
            tracker.end_plans(Timestamp::now());
        }
    }
}
