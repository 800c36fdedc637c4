//! Leadership of several aggregators over one PostgreSQL: each environment is led by one of them.
//!
//! The leader of an environment holds its lease in the database. It alone acts there, records what happens
//! there, sends agents what they are to know, and passes on the states of their hosts. All aggregators show the same
//! overview and record; what changes something is passed on to the leader of the environment. Each change of
//! a leader increases the epoch of the environment, and agents refuse requests of a lower one.
//!
//! | module | holds |
//! |---|---|
//! | `lease` | what is known of the leases |
//! | `division` | the division of the environments among the aggregators |
//! | `keeper` | the thread that keeps the leases |
//! | `warning` | who leads, and the impairment that nobody does |

mod division;
mod keeper;
mod lease;
mod warning;

pub use keeper::LeaseKeeper;
pub(crate) use lease::LeaseStatus;
pub(crate) use warning::report_leadership;

use rta_shared::name::Name;
use tokio::sync::watch;
use tonic::Code;

use crate::operation_error::OperationError;
use crate::store::{HeldLease, Leader};
use keeper::uptime;

/// Role of an aggregator, or of the part of it that leads one environment; clones share the lease.
#[derive(Clone, Debug)]
pub struct Leadership(Role);

#[derive(Clone, Debug)]
enum Role {
    /// The only aggregator, whose requests have this epoch.
    Alone { epoch: u64 },
    /// Leader of an environment with this lease.
    Leader { lease: HeldLease, status: watch::Receiver<LeaseStatus> },
    /// One of several aggregators, which does nothing itself.
    Follower { status: watch::Receiver<LeaseStatus> },
}

/// Epoch of a leader in its environment, as requests to agents have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeaderEpoch {
    /// Environment; empty: all of them.
    pub(crate) environment: String,
    pub(crate) epoch: u64,
}

impl Default for Leadership {
    /// Creates the role of a single aggregator without an epoch.
    fn default() -> Self {
        Self::alone(0)
    }
}

impl Leadership {
    /// Creates the role of a single aggregator. Its epoch is 0, or higher than that of the aggregators that
    /// it replaces.
    pub fn alone(epoch: u64) -> Self {
        Self(Role::Alone { epoch })
    }

    /// Creates the role of one of several aggregators, which passes everything on to the leaders.
    pub fn follower(keeper: &LeaseKeeper) -> Self {
        Self(Role::Follower { status: keeper.status() })
    }

    /// Creates the role of the leader with this lease.
    pub(crate) fn of_lease(lease: HeldLease, status: watch::Receiver<LeaseStatus>) -> Self {
        Self(Role::Leader { lease, status })
    }

    /// Returns the lease under which a leader writes to the database.
    pub(crate) fn held_lease(&self) -> Option<&HeldLease> {
        match &self.0 {
            Role::Leader { lease, .. } => Some(lease),
            Role::Alone { .. } | Role::Follower { .. } => None,
        }
    }

    /// Returns true if this is one of several aggregators, and no leader.
    pub(crate) fn is_follower(&self) -> bool {
        matches!(self.0, Role::Follower { .. })
    }

    /// Returns the epoch of requests that change something, if they may be sent now. To be called right
    /// before each request.
    ///
    /// # Errors
    /// Returns FAILED_PRECONDITION if another aggregator leads, and UNAVAILABLE if the lease has expired.
    pub(crate) fn acting_epoch(&self) -> Result<LeaderEpoch, OperationError> {
        match &self.0 {
            Role::Alone { epoch } => Ok(LeaderEpoch { environment: String::new(), epoch: *epoch }),
            Role::Leader { lease, status }
                if status.borrow().is_valid(&lease.environment, lease.epoch, uptime()) =>
            {
                let environment = lease.environment.as_str().to_owned();
                Ok(LeaderEpoch { environment, epoch: lease.epoch })
            }
            Role::Leader { lease, status } => Err(no_leader_here(&status.borrow(), &lease.environment)),
            Role::Follower { .. } => {
                let message = "nothing was done: the leader of the environment does it, and was not asked";
                Err(OperationError::new(Code::FailedPrecondition, message))
            }
        }
    }

    /// Returns the epoch with which the agents of an environment are asked to reload their configuration. Any
    /// of several aggregators does that, with the epoch of the leader.
    ///
    /// # Errors
    /// Returns the errors of [`Self::acting_epoch`], and UNAVAILABLE if nobody is known to lead.
    pub(crate) fn reload_epoch(&self, environment: &Name) -> Result<LeaderEpoch, OperationError> {
        let Role::Follower { status } = &self.0 else { return self.acting_epoch() };
        let status = status.borrow();
        let leader = status.leader(environment).ok_or_else(|| no_leader_here(&status, environment))?;
        Ok(LeaderEpoch { environment: environment.as_str().to_owned(), epoch: leader.epoch })
    }

    /// Returns the epoch that agents learn when they are first asked for reports; 0 if this is no leader.
    pub(crate) fn announced_epoch(&self) -> LeaderEpoch {
        self.acting_epoch().unwrap_or_default()
    }
}

/// Returns the error for an action in an environment that this aggregator does not certainly lead.
pub(crate) fn no_leader_here(status: &LeaseStatus, environment: &Name) -> OperationError {
    match (&status.failure, status.others.get(environment)) {
        (Some(reason), _) => OperationError::new(
            Code::Unavailable,
            format!(
                "nothing was done: this aggregator does not know whether it leads {environment}, since the database with \
                 the leases does not answer ({reason}); try again when it does"
            ),
        ),
        (None, Some(leader)) => OperationError::new(
            Code::FailedPrecondition,
            format!("nothing was done: the aggregator at {leader} leads {environment}; ask that one"),
        ),
        (None, None) => OperationError::new(
            Code::Unavailable,
            format!(
                "nothing was done: no aggregator leads {environment} at the moment; try again in some seconds"
            ),
        ),
    }
}

/// Returns the leader of an environment and whether its lease is valid here; `None`: nobody certainly leads.
fn certain_leader<'s>(status: &'s LeaseStatus, environment: &Name) -> Option<(&'s Leader, bool)> {
    if let Some(own) = status.own.get(environment) {
        return status.is_valid(environment, own.epoch, uptime()).then_some((own, true));
    }
    let other = status.others.get(environment).filter(|_| status.failure.is_none())?;
    Some((other, false))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::store::LeaseHolder;

    fn leaders(epoch: u64) -> BTreeMap<Name, Leader> {
        let name = "rta-aggregator db-host pid 42 #00ab".to_owned();
        let holder = LeaseHolder {
            name,
            address: "https://a:8080".to_owned(),
            grpc_address: "https://a:7600".to_owned(),
        };
        BTreeMap::from([(Name::from("ITG"), Leader { holder, epoch, since: Timestamp::UNIX_EPOCH })])
    }

    fn own(epoch: u64, valid_until: Duration) -> LeaseStatus {
        LeaseStatus { own: leaders(epoch), valid_until, ..LeaseStatus::default() }
    }

    fn leader_of(status: watch::Receiver<LeaseStatus>) -> Leadership {
        let lease = HeldLease { environment: Name::from("ITG"), holder: "a".to_owned(), epoch: 3 };
        Leadership::of_lease(lease, status)
    }

    fn refusal(leadership: &Leadership) -> (Code, String) {
        let error = leadership.acting_epoch().unwrap_err();
        (error.code, error.message)
    }

    #[test]
    fn leader_acts_while_its_lease_is_valid() {
        let (publisher, status) = watch::channel(own(3, uptime() + Duration::from_secs(60)));
        let leadership = leader_of(status);
        let epoch = LeaderEpoch { environment: "ITG".to_owned(), epoch: 3 };
        assert_eq!((leadership.acting_epoch(), leadership.announced_epoch()), (Ok(epoch.clone()), epoch));
        // It was paused, and the lease has expired meanwhile.
        publisher.send_replace(own(3, uptime()));
        assert_eq!(refusal(&leadership).0, Code::Unavailable);
        assert_eq!(leadership.announced_epoch(), LeaderEpoch::default());
        // Another lease of this aggregator is not the one that the plan began with.
        publisher.send_replace(own(5, uptime() + Duration::from_secs(60)));
        assert_eq!(refusal(&leadership).0, Code::Unavailable);
        publisher.send_replace(LeaseStatus { others: leaders(6), ..LeaseStatus::default() });
        let (code, message) = refusal(&leadership);
        assert_eq!(code, Code::FailedPrecondition);
        assert!(
            message.contains("the aggregator at https://a:8080 (db-host, pid 42) leads ITG"),
            "{message}"
        );
    }

    #[test]
    fn follower_does_nothing_itself_and_reloads_with_the_epoch_of_the_leader() {
        let (publisher, status) = watch::channel(LeaseStatus::default());
        let leadership = Leadership(Role::Follower { status });
        let itg = Name::from("ITG");
        assert!(leadership.is_follower() && leadership.held_lease().is_none());
        assert!(leadership.acting_epoch().is_err());
        assert!(leadership.reload_epoch(&itg).unwrap_err().message.contains("no aggregator leads ITG"));
        let failure = Some("db: lost".to_owned());
        publisher.send_replace(LeaseStatus { failure, ..LeaseStatus::default() });
        let message = leadership.reload_epoch(&itg).unwrap_err().message;
        assert!(message.contains("does not answer (db: lost)"), "{message}");
        publisher.send_replace(LeaseStatus { others: leaders(6), ..LeaseStatus::default() });
        assert_eq!(leadership.reload_epoch(&itg).map(|leader| leader.epoch), Ok(6));
        assert_eq!(leadership.announced_epoch(), LeaderEpoch::default());
    }

    #[test]
    fn single_aggregator_has_the_epoch_that_it_was_given() {
        let epoch = |leadership: Leadership| leadership.acting_epoch().map(|leader| leader.epoch);
        assert_eq!((epoch(Leadership::default()), epoch(Leadership::alone(8))), (Ok(0), Ok(8)));
    }
}
