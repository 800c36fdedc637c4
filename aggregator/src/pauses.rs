//! Times in which this aggregator did not run: it was stopped by a signal, or its host was suspended or
//! overloaded.
//!
//! The timers of such a time fire together when it is over, before what the agents sent meanwhile is read. So an
//! agent is lost when the aggregator has run for the time of its silence, however often it was paused meanwhile.

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
/// Minimum pause that is reported to people: a shorter one loses no agent.
const MIN_TOLD_PAUSE: Duration = MAX_AGENT_SILENCE;
/// Pauses of this aggregator; clones share them. By default there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct PauseWatch(Arc<Mutex<PauseLog>>);

impl PauseWatch {
    /// Begins to watch. [`Self::report`] has to run from now on.
    pub(crate) fn begin() -> Self {
        Self(Arc::new(Mutex::new(PauseLog::new(time_since_boot()))))
    }

    fn moment(&self) -> Moment {
        // The timer of a silence may be the first that fires after a pause.
        self.with_log(|log| log.check(time_since_boot()))
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

/// Last sign of life of an agent, or of another aggregator; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct LastHeard {
    pauses: PauseWatch,
    at: Arc<Mutex<Moment>>,
}

impl LastHeard {
    /// Creates it as of now.
    pub(crate) fn new(pauses: PauseWatch) -> Self {
        let at = Arc::new(Mutex::new(pauses.moment()));
        Self { pauses, at }
    }

    /// Notes a sign of life.
    pub(crate) fn note(&self) {
        let now = self.pauses.moment();
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// Returns true if a silence until now, or the loss of the connection, is this aggregator's own: it did not run
    /// meanwhile, and has not run for long enough since the last sign of life.
    pub(crate) fn is_excused(&self) -> bool {
        let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        self.pauses.moment().is_excused_since(at)
    }
}

/// Moment in the time in which this aggregator runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Moment {
    /// Time in which it ran since it began to watch.
    running: Duration,
    /// Time in which it did not.
    paused: Duration,
}

impl Moment {
    fn is_excused_since(self, earlier: Self) -> bool {
        self.paused > earlier.paused && self.running.saturating_sub(earlier.running) < MAX_AGENT_SILENCE
    }
}

/// Pauses, by times since the host was started.
#[derive(Debug, Default)]
struct PauseLog {
    /// Time of the last check; `None`: nobody checks.
    checked_at: Option<Duration>,
    moment: Moment,
    /// Pause of which people have not been told.
    untold: Option<Duration>,
}

impl PauseLog {
    fn new(now: Duration) -> Self {
        Self { checked_at: Some(now), ..Self::default() }
    }

    /// Notes that this aggregator runs at `now`, and returns that moment.
    fn check(&mut self, now: Duration) -> Moment {
        let Some(checked_at) = &mut self.checked_at else { return self.moment };
        let passed = now.saturating_sub(std::mem::replace(checked_at, now));
        if passed < MIN_PAUSE {
            self.moment.running += passed;
            return self.moment;
        }
        self.moment.paused += passed;
        if passed >= MIN_TOLD_PAUSE {
            self.untold = Some(passed);
        }
        self.moment
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

    /// Lets it run from one time to another.
    fn run(log: &mut PauseLog, from: f64, to: f64) -> Moment {
        let checks = ((to - from) * 10.0).round() as u32;
        (0..=checks).map(|check| log.check(at(from + f64::from(check) / 10.0))).last().unwrap()
    }

    #[test]
    fn silence_in_which_it_did_not_run_is_excused_until_it_has_run_long_enough() {
        let mut log = PauseLog::new(at(0.0));
        let heard = run(&mut log, 0.0, 0.5);
        assert!(!run(&mut log, 0.5, 1.0).is_excused_since(heard));
        // It does not run from 1 to 12.5.
        assert!(log.check(at(12.5)).is_excused_since(heard));
        assert_eq!((log.take_told(), log.take_told()), (Some(Duration::from_millis(11_500)), None));
        // A connection is lost, too, and made again.
        assert!(run(&mut log, 12.5, 14.0).is_excused_since(heard));
        assert!(!run(&mut log, 14.0, 15.1).is_excused_since(heard), "it has run for 3.1 s");
        // A later loss is the agent's own, however long its stream has lasted.
        let heard = run(&mut log, 15.1, 20.0);
        assert!(!run(&mut log, 20.0, 20.1).is_excused_since(heard));
    }

    #[test]
    fn short_pause_is_excused_and_not_told() {
        let mut log = PauseLog::new(at(0.0));
        let heard = log.check(at(0.9));
        assert!(!log.check(at(1.0)).is_excused_since(heard));
        assert!(log.check(at(2.0)).is_excused_since(heard));
        assert_eq!(log.take_told(), None);
    }

    #[test]
    fn aggregator_that_is_paused_over_and_over_still_loses_agents() {
        let mut log = PauseLog::new(at(0.0));
        let heard = log.check(at(0.1));
        // It runs for 0.9 s of each 3.5 s.
        let excused = (0..5).map(|round| {
            let from = 2.6 + f64::from(round) * 3.5;
            run(&mut log, from, from + 0.9).is_excused_since(heard)
        });
        assert_eq!(excused.collect::<Vec<_>>(), [true, true, true, false, false]);
    }

    #[test]
    fn nothing_is_excused_where_nobody_checks() {
        assert!(!LastHeard::new(PauseWatch::default()).is_excused());
    }

    #[test]
    fn event_says_how_long_it_did_not_run() {
        let event = pause_event(Duration::from_millis(12_300), Timestamp::UNIX_EPOCH);
        assert!(event.text.starts_with("the aggregator did not run for 12 s: "), "{}", event.text);
        assert_eq!((event.kind, event.to.as_deref()), (EventKind::Aggregator, Some("resumed")));
    }
}
