//! Times in which this aggregator did not run: it was stopped by a signal, or its host was suspended or
//! overloaded.
//!
//! The timers of such a time fire together when it is over, before what the agents sent meanwhile is read. A
//! silence or a lost connection that began before its end is the aggregator's own, and no agent is lost by
//! it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::event::{Event, EventKind};
use rta_shared::timing::MAX_AGENT_SILENCE;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{MissedTickBehavior, interval};

use crate::events::EventBus;

/// Interval between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// Minimum time between two checks that counts as a pause. With less, the next heartbeat of every agent is
/// read in time.
const MIN_PAUSE: Duration = Duration::from_secs(1);
/// Minimum pause of which people are told: it would have lost agents.
const MIN_TOLD_PAUSE: Duration = MAX_AGENT_SILENCE;
/// Time after a pause in which lost connections are made again. It is shorter than the silence that loses an
/// agent.
const RECONNECT_TIME: Duration = Duration::from_secs(2);
/// Minimum time between the ends of two pauses that both count. In an aggregator that never keeps up a
/// silence counts again, since what it shows would be out of date without anybody being told.
const MIN_DISTANCE: Duration = Duration::from_secs(5);

/// Pauses of this aggregator; clones share them. By default there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct PauseWatch(Arc<Mutex<PauseLog>>);

impl PauseWatch {
    /// Begins to watch. [`Self::report`] has to run from now on.
    pub(crate) fn begin() -> Self {
        Self(Arc::new(Mutex::new(PauseLog::new(time_since_boot()))))
    }

    /// Returns the present time, for [`Self::excuses`].
    pub(crate) fn now(&self) -> Duration {
        time_since_boot()
    }

    /// Returns true if a silence or a connection that began at this time, and failed now, did so because this
    /// aggregator did not run.
    pub(crate) fn excuses(&self, began: Duration) -> bool {
        self.with_log(|log| {
            let now = time_since_boot();
            // The timer of the silence may be the first that fires.
            log.check(now);
            log.excuses(began, now)
        })
    }

    /// Watches, and tells people of each pause.
    pub(crate) async fn report(self, events: EventBus) {
        let mut checks = interval(CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            checks.tick().await;
            let pause = self.with_log(|log| {
                log.check(time_since_boot());
                log.take_told()
            });
            if let Some(pause) = pause {
                let seconds = pause.as_secs();
                tracing::warn!(seconds, "the aggregator did not run");
                events.publish(pause_event(pause, Timestamp::now()));
            }
        }
    }

    fn with_log<T>(&self, look: impl FnOnce(&mut PauseLog) -> T) -> T {
        // A panic while the lock is held cannot leave a change half-written.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the time since the host was started, during which it may have been suspended.
fn time_since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    // Neither is ever negative.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the event of a pause that has ended.
fn pause_event(pause: Duration, now: Timestamp) -> Event {
    let text = format!(
        "the aggregator did not run for {} s: it was stopped, or its host was suspended or overloaded",
        pause.as_secs()
    );
    Event { to: Some("resumed".to_owned()), ..Event::new(now, EventKind::Aggregator, text) }
}

/// Pauses, by times since the host was started.
#[derive(Debug, Default)]
struct PauseLog {
    /// Time of the last check; `None`: nobody checks.
    checked_at: Option<Duration>,
    /// End of the last pause that counts.
    ended_at: Option<Duration>,
    /// Pause of which people have not been told.
    untold: Option<Duration>,
}

impl PauseLog {
    fn new(now: Duration) -> Self {
        Self { checked_at: Some(now), ..Self::default() }
    }

    /// Notes that this aggregator runs at `now`.
    fn check(&mut self, now: Duration) {
        let Some(checked_at) = &mut self.checked_at else { return };
        let pause = now.saturating_sub(std::mem::replace(checked_at, now));
        if pause < MIN_PAUSE {
            return;
        }
        if self.ended_at.is_none_or(|end| now.saturating_sub(end) >= MIN_DISTANCE) {
            self.ended_at = Some(now);
        }
        if pause >= MIN_TOLD_PAUSE {
            self.untold = Some(pause);
        }
    }

    /// Returns true if what began at `began` and failed at `now` did so because of a pause.
    fn excuses(&self, began: Duration, now: Duration) -> bool {
        self.ended_at.is_some_and(|end| began < end || now.saturating_sub(end) < RECONNECT_TIME)
    }

    fn take_told(&mut self) -> Option<Duration> {
        self.untold.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(1000.0 + seconds)
    }

    #[test]
    fn silence_that_began_before_the_end_of_a_pause_is_excused_once() {
        let mut log = PauseLog::new(at(0.0));
        log.check(at(0.5));
        assert!(!log.excuses(at(0.4), at(0.5)));
        // It does not run from 0.5 to 12.5.
        log.check(at(12.5));
        assert!(log.excuses(at(0.4), at(12.5)));
        assert_eq!((log.take_told(), log.take_told()), (Some(Duration::from_secs(12)), None));
        // A connection is lost, too, and made again.
        assert!(log.excuses(at(12.6), at(14.0)));
        // The silence after it is the agent's own.
        for tenth in 126..156 {
            log.check(at(f64::from(tenth) / 10.0));
        }
        assert!(!log.excuses(at(12.5), at(15.5)));
    }

    #[test]
    fn short_pause_is_excused_and_not_told() {
        let mut log = PauseLog::new(at(0.0));
        log.check(at(0.9));
        assert!(!log.excuses(at(0.0), at(0.9)));
        log.check(at(2.0));
        assert!(log.excuses(at(0.0), at(2.0)));
        assert_eq!(log.take_told(), None);
    }

    #[test]
    fn aggregator_that_never_keeps_up_excuses_nothing() {
        let mut log = PauseLog::new(at(0.0));
        for second in [2.0, 4.0, 6.0] {
            log.check(at(second));
        }
        assert!(log.excuses(at(1.5), at(2.0)));
        assert!(!log.excuses(at(3.5), at(6.0)));
        // Two apart both count.
        log.check(at(9.0));
        assert!(log.excuses(at(8.0), at(9.0)));
    }

    #[test]
    fn nothing_is_excused_where_nobody_checks() {
        let pauses = PauseWatch::default();
        assert!(!pauses.excuses(Duration::ZERO));
    }

    #[test]
    fn event_says_how_long_it_did_not_run() {
        let event = pause_event(Duration::from_millis(12_300), Timestamp::UNIX_EPOCH);
        assert!(event.text.starts_with("the aggregator did not run for 12 s: "), "{}", event.text);
        assert_eq!((event.kind, event.to.as_deref()), (EventKind::Aggregator, Some("resumed")));
    }
}
