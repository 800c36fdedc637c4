//! Clocks: the aggregator's own, and the skew of the hosts' clocks.
//!
//! Ages are measured from the receipt of a message by the aggregator's monotonic clock. A host's own clock
//! could make a dead host look alive, or a live one lost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rta_shared::format::rough_duration;
use rta_shared::impairment::{ImpairedPart, Impairment};

/// Minimum skew that is reported and by which times of the host are corrected.
const MIN_REPORTED_SKEW: SignedDuration = SignedDuration::from_secs(5);
/// Skew below which a reported one is withdrawn; the margin keeps one at the limit from coming and going.
const TOLERATED_SKEW: SignedDuration = SignedDuration::from_secs(3);
/// Minimum change after which the reported skew is updated; it must also exceed a twentieth.
const MIN_SKEW_CHANGE: SignedDuration = SignedDuration::from_secs(2);
/// Number of messages in the measurement. The one with the least delay counts, and an agent sends one a
/// second.
const MAX_SAMPLES: usize = 8;
/// Minimum number of messages for a measurement.
const MIN_SAMPLES: usize = 3;
/// Minimum difference between the aggregator's two clocks that counts as a step.
const MIN_STEP: SignedDuration = SignedDuration::from_secs(1);

/// Moment on both of the aggregator's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockPair {
    /// Wall clock, which may be set.
    pub(crate) wall: Timestamp,
    /// Monotonic clock, which cannot be set.
    pub(crate) at: Instant,
}

impl ClockPair {
    /// Reads both clocks.
    pub(crate) fn now() -> Self {
        Self { wall: Timestamp::now(), at: Instant::now() }
    }

    /// Returns the moment `age` earlier on both clocks.
    pub(crate) fn before(self, age: Duration) -> Self {
        let wall = SignedDuration::try_from(age).ok().and_then(|age| self.wall.checked_sub(age).ok());
        Self { wall: wall.unwrap_or(self.wall), at: self.at.checked_sub(age).unwrap_or(self.at) }
    }

    /// Returns how far the wall clock was set forward between `self` and a `later` moment; `None` if it was
    /// not set.
    pub(crate) fn step_until(self, later: Self) -> Option<SignedDuration> {
        let passed = SignedDuration::try_from(later.at.saturating_duration_since(self.at)).ok()?;
        let step = later.wall.duration_since(self.wall).checked_sub(passed)?;
        (step.abs() > MIN_STEP).then_some(step)
    }
}

#[cfg(test)]
impl ClockPair {
    /// Creates a moment at this time of the wall clock, for which the monotonic clock does not matter.
    pub(crate) fn sample(wall: Timestamp) -> Self {
        Self { wall, at: Instant::now() }
    }
}

/// Receipt of a message from an agent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageReceipt {
    /// Time of the receipt. Other aggregators receive its age, which must not change when the wall clock is set.
    pub(crate) received: ClockPair,
    /// Time of sending by the host's clock; `None` if the agent did not send it.
    pub(crate) sent: Option<Timestamp>,
}

impl MessageReceipt {
    /// Creates the receipt of a message that is received now.
    pub(crate) fn now(sent: Option<Timestamp>) -> Self {
        Self { received: ClockPair::now(), sent }
    }

    /// Converts the time `then` of the host's clock, which is not after the message, to the aggregator's
    /// clock. `reference` replaces the time of sending if the agent did not send it.
    pub(crate) fn local_time_of(&self, then: Timestamp, reference: Timestamp) -> Timestamp {
        let age = self.sent.unwrap_or(reference).duration_since(then).max(SignedDuration::ZERO);
        self.received.wall.checked_sub(age).unwrap_or(self.received.wall)
    }
}

/// Skew of a host's clock against the aggregator's.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClockSkew {
    /// The aggregator's clock at receipt minus the host's clock at sending, for each of the last messages:
    /// the delay minus the skew.
    samples: VecDeque<SignedDuration>,
    reported: SignedDuration,
}

impl ClockSkew {
    /// Adds a message to the measurement. Returns true if the reported skew changed.
    pub(crate) fn add_message(&mut self, receipt: &MessageReceipt) -> bool {
        let Some(sent) = receipt.sent else { return false };
        if self.samples.len() >= MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(receipt.received.wall.duration_since(sent));
        let Some(skew) = self.measured_ahead() else { return false };
        let difference = (skew - self.reported).abs();
        let new = match (self.reported.is_zero(), skew.abs()) {
            (true, size) if size > MIN_REPORTED_SKEW => skew,
            (false, size) if size < TOLERATED_SKEW => SignedDuration::ZERO,
            (false, size) if difference > MIN_SKEW_CHANGE && difference > size / 20 => skew,
            _ => self.reported,
        };
        let is_new = new != self.reported;
        self.reported = new;
        is_new
    }

    /// Drops the samples, which a step of the aggregator's own clock made invalid.
    pub(crate) fn reset(&mut self) {
        self.samples.clear();
    }

    /// Returns how far the host's clock is ahead; negative if it is behind, zero if the difference is
    /// tolerated.
    pub(crate) fn skew_ahead(&self) -> SignedDuration {
        self.reported
    }

    /// Returns how far the host's clock is ahead according to the last messages, however little; `None` if
    /// there are too few.
    pub(crate) fn measured_ahead(&self) -> Option<SignedDuration> {
        let least = self.samples.iter().min().filter(|_| self.samples.len() >= MIN_SAMPLES)?;
        Some(-*least)
    }

    /// Converts a time of the host's clock to the aggregator's.
    pub(crate) fn correct_time(&self, then: Timestamp) -> Timestamp {
        then.checked_sub(self.reported).unwrap_or(then)
    }

    /// Returns the skew as an impairment; `None` if it is tolerated.
    pub(crate) fn impairment(&self) -> Option<Impairment> {
        let direction = match self.reported.signum() {
            0 => return None,
            1 => "ahead of",
            _ => "behind",
        };
        let amount = format_rounded(self.reported.abs().as_millis().unsigned_abs());
        let message = format!(
            "this host's clock is {amount} {direction} the aggregator's; set both by NTP (chrony, systemd-timesyncd)"
        );
        Some(Impairment::new(ImpairedPart::Clock, message))
    }
}

/// Formats milliseconds, rounded to the nearest second, minute, hour or day: `2 h` even if a message's delay
/// is missing.
fn format_rounded(millis: u128) -> String {
    let seconds = u64::try_from((millis + 500) / 1000).unwrap_or(u64::MAX);
    rough_duration(match seconds {
        0..60 => seconds,
        60..3600 => seconds + 30,
        3600..86_400 => seconds + 1800,
        _ => seconds.saturating_add(43_200),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: i64) -> SignedDuration {
        SignedDuration::from_secs(seconds)
    }

    /// Creates the receipt of a message with this delay from a host whose clock is ahead by `skew_ahead`.
    fn message(at: i64, ahead: SignedDuration, delay: SignedDuration) -> MessageReceipt {
        let sent = Timestamp::from_second(1_000_000 + at).unwrap();
        MessageReceipt { received: ClockPair::sample(sent + delay), sent: Some(sent + ahead) }
    }

    #[test]
    fn skew_is_measured_by_the_message_with_the_least_delay() {
        let mut skew = ClockSkew::default();
        for (at, delay) in [(0, 9), (1, 0), (2, 12)] {
            skew.add_message(&message(at, seconds(7200), seconds(delay)));
        }
        assert_eq!(skew.skew_ahead(), seconds(7200));
        let warning = skew.impairment().unwrap().message;
        assert!(warning.starts_with("this host's clock is 2 h ahead of the aggregator's"), "{warning}");
        let mut behind = ClockSkew::default();
        for at in 0..3 {
            behind.add_message(&message(at, seconds(-90), seconds(0)));
        }
        let warning = behind.impairment().unwrap().message;
        assert!(warning.starts_with("this host's clock is 2 min behind the aggregator's"), "{warning}");
        assert_eq!([7_199_400, 59_600, 5_200].map(format_rounded), ["2 h", "1 min", "5 s"]);
    }

    #[test]
    fn delay_alone_is_no_skew_and_the_limit_does_not_flap() {
        let mut skew = ClockSkew::default();
        for at in 0..20 {
            assert!(!skew.add_message(&message(at, seconds(0), seconds(if at % 5 == 0 { 0 } else { 30 }))));
        }
        assert_eq!(skew.impairment(), None);
        let mut warning = 0;
        for at in 0..200 {
            warning += usize::from(skew.add_message(&message(
                at,
                seconds(if at % 2 == 0 { 6 } else { 4 }),
                seconds(0),
            )));
        }
        assert_eq!((warning, skew.impairment().is_some()), (1, true));
        for at in 0..20 {
            skew.add_message(&message(at, seconds(0), seconds(0)));
        }
        assert_eq!(skew.impairment(), None);
    }

    #[test]
    fn host_clock_that_is_set_is_followed_in_both_directions() {
        let mut skew = ClockSkew::default();
        for ahead in [7200, 0, -7200, 7200] {
            for at in 0..10 {
                skew.add_message(&message(at, seconds(ahead), seconds(0)));
            }
            assert_eq!(skew.skew_ahead(), seconds(ahead));
        }
    }

    #[test]
    fn agent_that_does_not_say_when_it_sent_has_no_skew() {
        let mut skew = ClockSkew::default();
        let received = ClockPair::sample(Timestamp::UNIX_EPOCH);
        (0..10).for_each(|_| assert!(!skew.add_message(&MessageReceipt { received, sent: None })));
        assert_eq!(skew.impairment(), None);
    }

    #[test]
    fn ages_come_from_the_receipt_whatever_the_host_says() {
        let receipt = message(0, seconds(7200), seconds(0));
        let seen = receipt.sent.unwrap() - seconds(3);
        assert_eq!(receipt.local_time_of(seen, seen), receipt.received.wall - seconds(3));
        // A host that claims to have seen later than it sent counts as having seen when it sent.
        assert_eq!(receipt.local_time_of(seen + seconds(50), seen), receipt.received.wall);
    }

    #[test]
    fn own_clock_that_is_set_is_noticed_and_time_that_passes_is_not() {
        let before = ClockPair::now();
        let later = |wall, passed| ClockPair { wall, at: before.at + Duration::from_secs(passed) };
        assert_eq!(before.step_until(later(before.wall + seconds(60), 60)), None);
        assert_eq!(before.step_until(later(before.wall + seconds(3660), 60)), Some(seconds(3600)));
        assert_eq!(before.step_until(later(before.wall - seconds(3540), 60)), Some(seconds(-3600)));
    }
}
