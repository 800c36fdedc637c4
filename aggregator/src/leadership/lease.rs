//! State machine of the lease. Pure: it takes the time and the answers of the database.

use std::time::Duration;

use crate::store::Leader;

/// Length of a lease. The server's clock decides when it expires.
pub(super) const LEASE_LENGTH: Duration = Duration::from_secs(6);
/// Interval between two renewals, and between two attempts after a failure.
const RENEW_INTERVAL: Duration = Duration::from_secs(2);
/// Interval between two attempts to take the lease.
const ACQUIRE_INTERVAL: Duration = Duration::from_secs(1);
/// Time by which the holder considers its lease to end earlier, since the two clocks may run at different speeds.
const SAFETY_MARGIN: Duration = Duration::from_millis(500);

/// Time since the boot of this machine, in which it was suspended included. A stopped process finds on waking that it
/// has passed.
pub(crate) type Uptime = Duration;

/// Statement that is to be sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseStatement {
    /// Take the lease if nobody has it.
    Acquire,
    /// Extend the lease of this epoch.
    Renew { epoch: u64 },
}

/// Answer of the database to a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LeaseAnswer {
    /// This aggregator holds the lease.
    Held(Leader),
    /// Another aggregator holds or held it; `None`: nobody ever did.
    NotHeld(Option<Leader>),
    /// There is no answer, for this reason.
    Failed(String),
}

/// Lease that this aggregator holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnLease {
    pub(crate) leader: Leader,
    /// Time until which nobody else can hold it, counted from before the last renewal was sent.
    pub(crate) valid_until: Uptime,
}

/// What is known of the lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaseStatus {
    /// Own lease, until another aggregator is known to have taken it; it may have expired.
    pub(crate) own: Option<OwnLease>,
    /// Aggregator that is known to hold the lease, without one of its own.
    pub(crate) other: Option<Leader>,
    /// Reason why the database does not answer.
    pub(crate) failure: Option<String>,
}

impl LeaseStatus {
    /// Returns the epoch in which this aggregator leads, whether its lease is valid or not.
    pub(crate) fn epoch(&self) -> Option<u64> {
        self.own.as_ref().map(|own| own.leader.epoch)
    }

    /// Returns true if this aggregator certainly holds the lease of this epoch.
    pub(crate) fn is_valid(&self, epoch: u64, now: Uptime) -> bool {
        self.own.as_ref().is_some_and(|own| own.leader.epoch == epoch && now < own.valid_until)
    }

    /// Returns the statement to send next.
    pub(super) fn next_statement(&self) -> LeaseStatement {
        match self.epoch() {
            Some(epoch) => LeaseStatement::Renew { epoch },
            None => LeaseStatement::Acquire,
        }
    }

    /// Returns the time from one statement to the next.
    pub(super) fn interval(&self) -> Duration {
        if self.own.is_some() { RENEW_INTERVAL } else { ACQUIRE_INTERVAL }
    }

    /// Applies the answer to a statement that was sent at `sent_at`.
    #[must_use]
    pub(super) fn after(self, sent_at: Uptime, answer: LeaseAnswer) -> Self {
        match answer {
            LeaseAnswer::Held(leader) => {
                let valid_until = sent_at + (LEASE_LENGTH - SAFETY_MARGIN);
                Self { own: Some(OwnLease { leader, valid_until }), other: None, failure: None }
            }
            LeaseAnswer::NotHeld(other) => Self { own: None, other, failure: None },
            // Nobody may have taken the lease: it is renewed when the database answers again.
            LeaseAnswer::Failed(reason) => Self { failure: Some(reason), ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::LeaseHolder;

    fn leader(name: &str, epoch: u64) -> Leader {
        let holder = LeaseHolder {
            name: name.to_owned(),
            address: "http://h:8080".to_owned(),
            grpc_address: String::new(),
        };
        Leader { holder, epoch, since: Timestamp::UNIX_EPOCH }
    }

    fn at(seconds: u64) -> Uptime {
        Duration::from_secs(seconds)
    }

    #[test]
    fn holder_counts_from_before_the_renewal_and_stops_before_another_can_take_the_lease() {
        let status = LeaseStatus::default();
        assert_eq!(status.next_statement(), LeaseStatement::Acquire);
        let status = status.after(at(100), LeaseAnswer::Held(leader("a", 3)));
        assert_eq!(status.next_statement(), LeaseStatement::Renew { epoch: 3 });
        assert!(status.is_valid(3, at(105)) && !status.is_valid(3, at(106)));
        assert!(!status.is_valid(2, at(101)) && !status.is_valid(4, at(101)));
        let renewed = status.after(at(102), LeaseAnswer::Held(leader("a", 3)));
        assert!(renewed.is_valid(3, at(107)) && !renewed.is_valid(3, at(108)));
    }

    #[test]
    fn lease_lapses_without_answers_and_is_renewed_after_them() {
        let held = LeaseStatus::default().after(at(100), LeaseAnswer::Held(leader("a", 3)));
        let lapsed = held.after(at(102), LeaseAnswer::Failed("lost".to_owned()));
        let lapsed = lapsed.after(at(110), LeaseAnswer::Failed("lost".to_owned()));
        assert!(lapsed.is_valid(3, at(105)) && !lapsed.is_valid(3, at(110)));
        assert_eq!(
            (lapsed.next_statement(), lapsed.failure.as_deref()),
            (LeaseStatement::Renew { epoch: 3 }, Some("lost"))
        );
        let renewed = lapsed.after(at(120), LeaseAnswer::Held(leader("a", 3)));
        assert!(renewed.is_valid(3, at(121)) && renewed.failure.is_none());
    }

    #[test]
    fn lost_lease_is_followed_by_attempts_to_take_it() {
        let held = LeaseStatus::default().after(at(100), LeaseAnswer::Held(leader("a", 3)));
        let lost = held.after(at(102), LeaseAnswer::NotHeld(Some(leader("b", 4))));
        assert_eq!((lost.epoch(), lost.is_valid(3, at(102))), (None, false));
        assert_eq!((lost.next_statement(), &lost.other), (LeaseStatement::Acquire, &Some(leader("b", 4))));
        // Who led last is not forgotten when the database fails.
        let failed = lost.after(at(103), LeaseAnswer::Failed("lost".to_owned()));
        assert_eq!(failed.other, Some(leader("b", 4)));
        assert!(failed.after(at(110), LeaseAnswer::Held(leader("a", 5))).is_valid(5, at(111)));
    }

    #[test]
    fn leader_that_is_gone_is_replaced_within_ten_seconds() {
        let follower = LeaseStatus::default();
        assert!(LEASE_LENGTH + follower.interval() < Duration::from_secs(8));
        let leading = follower.after(at(0), LeaseAnswer::Held(leader("a", 1)));
        // One renewal may fail.
        assert!(leading.interval() * 2 < LEASE_LENGTH - SAFETY_MARGIN);
    }
}
