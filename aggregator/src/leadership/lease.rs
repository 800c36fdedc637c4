//! What is known of the leases. Pure: it takes the time and the answers of the database.

use std::collections::BTreeMap;
use std::time::Duration;

use rta_shared::name::Name;

use crate::store::{Leader, LeaseTable};

/// Length of a lease. The server's clock decides when it expires.
pub(super) const LEASE_LENGTH: Duration = Duration::from_secs(6);
/// Interval between two renewals, and between two attempts to take what nobody leads.
pub(super) const RENEW_INTERVAL: Duration = Duration::from_secs(1);
/// Time by which the holder considers its leases to end earlier, since the two clocks may run at different
/// speeds.
const SAFETY_MARGIN: Duration = Duration::from_millis(500);

/// Time since the boot of this machine, in which it was suspended included. A stopped process finds on waking
/// that it has passed.
pub(crate) type Uptime = Duration;

/// What is known of the leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaseStatus {
    /// Own leases, until another aggregator is known to have taken them; they may have expired.
    pub(crate) own: BTreeMap<Name, Leader>,
    /// Time until which nobody else can hold an own lease, counted from before the last renewal was sent.
    pub(crate) valid_until: Uptime,
    /// Other aggregators that are known to lead environments.
    pub(crate) others: BTreeMap<Name, Leader>,
    /// Own environments that another aggregator wants, which leads fewer.
    pub(crate) wanted: Vec<Name>,
    /// Number of the wanted ones that it is to have.
    pub(crate) surplus: usize,
    /// Reason why the database does not answer.
    pub(crate) failure: Option<String>,
    /// True after the first answer of the database.
    pub(crate) has_answer: bool,
}

impl LeaseStatus {
    /// Returns true if this aggregator certainly holds the lease of this epoch.
    pub(crate) fn is_valid(&self, environment: &Name, epoch: u64, now: Uptime) -> bool {
        now < self.valid_until && self.epoch(environment) == Some(epoch)
    }

    /// Returns the epoch in which this aggregator leads an environment, whether its lease is valid or not.
    pub(crate) fn epoch(&self, environment: &Name) -> Option<u64> {
        self.own.get(environment).map(|leader| leader.epoch)
    }

    /// Returns the aggregator that leads an environment, as far as it is known.
    pub(crate) fn leader(&self, environment: &Name) -> Option<&Leader> {
        self.own.get(environment).or_else(|| self.others.get(environment))
    }

    /// Returns what is known after an answer of the database to statements that were sent from `sent_at` on.
    /// `own` is the name of this aggregator.
    #[must_use]
    pub(super) fn after_answer(
        table: &LeaseTable,
        own: &str,
        sent_at: Uptime,
        (wanted, surplus): (Vec<Name>, usize),
    ) -> Self {
        let (own, others): (Vec<_>, Vec<_>) =
            table.leases.iter().partition(|lease| lease.leader.holder.name == own);
        let leaders = |leases: Vec<&crate::store::CurrentLease>| {
            leases.into_iter().map(|lease| (lease.environment.clone(), lease.leader.clone())).collect()
        };
        Self {
            own: leaders(own),
            valid_until: sent_at + (LEASE_LENGTH - SAFETY_MARGIN),
            others: leaders(others),
            wanted,
            surplus,
            failure: None,
            has_answer: true,
        }
    }

    /// Returns what is known after a failure: nobody may have taken the leases, and they are renewed when the
    /// database answers again.
    #[must_use]
    pub(super) fn after_failure(self, reason: String) -> Self {
        Self { failure: Some(reason), wanted: Vec::new(), surplus: 0, ..self }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::{CurrentLease, LeaseHolder};

    fn table(leases: &[(&str, &str, u64)]) -> LeaseTable {
        let lease = |(environment, holder, epoch): &(&str, &str, u64)| {
            let holder = LeaseHolder {
                name: (*holder).to_owned(),
                address: "http://h:8080".to_owned(),
                grpc_address: String::new(),
            };
            let leader = Leader { holder, epoch: *epoch, since: Timestamp::UNIX_EPOCH };
            CurrentLease { environment: Name::from(*environment), leader }
        };
        LeaseTable { leases: leases.iter().map(lease).collect(), candidates: Vec::new() }
    }

    fn at(seconds: u64) -> Uptime {
        Duration::from_secs(seconds)
    }

    #[test]
    fn holder_counts_from_before_the_renewal_and_stops_before_another_can_take_the_lease() {
        let (itg, dev) = (Name::from("ITG"), Name::from("DEV"));
        let answer = table(&[("itg", "a", 3), ("dev", "b", 7)]);
        let status = LeaseStatus::after_answer(&answer, "a", at(100), (Vec::new(), 0));
        assert!(status.is_valid(&itg, 3, at(105)) && !status.is_valid(&itg, 3, at(106)));
        assert!(!status.is_valid(&itg, 2, at(101)) && !status.is_valid(&itg, 4, at(101)));
        assert!(!status.is_valid(&dev, 7, at(101)));
        assert_eq!(status.leader(&dev).map(|leader| leader.epoch), Some(7));
        let lapsed = status.after_failure("lost".to_owned());
        assert!(lapsed.is_valid(&itg, 3, at(105)) && !lapsed.is_valid(&itg, 3, at(110)));
        assert_eq!((lapsed.failure.as_deref(), lapsed.epoch(&itg)), (Some("lost"), Some(3)));
        // Another one has taken it meanwhile.
        let taken = LeaseStatus::after_answer(&table(&[("itg", "b", 4)]), "a", at(120), (Vec::new(), 0));
        assert_eq!((taken.epoch(&itg), taken.leader(&itg).map(|leader| leader.epoch)), (None, Some(4)));
    }

    #[test]
    fn leader_that_is_gone_is_replaced_within_ten_seconds() {
        assert!(LEASE_LENGTH + 2 * RENEW_INTERVAL < Duration::from_secs(9));
        // Several renewals may fail.
        assert!(RENEW_INTERVAL * 4 < LEASE_LENGTH - SAFETY_MARGIN);
    }
}
