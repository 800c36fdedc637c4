//! Leadership of several aggregators over one PostgreSQL: one leads, and the others follow and take over.
//!
//! The leader holds a lease in the database. It alone acts, records and sends agents what they are to know. A
//! follower follows the agents and shows the same overview and record; what changes something is passed on to the
//! leader.
//! Each change of the leader increases the epoch, and agents refuse requests of a lower one.
//!
//! | module | holds |
//! |---|---|
//! | `lease` | the state machine of the lease |
//! | `keeper` | the thread that keeps the lease |
//! | `terms` | serving as follower and leader by turns |
//! | `warning` | the impairment of an aggregator that does not lead |

mod keeper;
mod lease;
mod terms;
mod warning;

pub use keeper::LeaseKeeper;
pub use terms::{Term, serve_terms};
pub(crate) use warning::report_leadership;

use rta_shared::overview::LeaderOverview;
use tokio::sync::watch;
use tonic::Code;

use crate::operation_error::OperationError;
use crate::store::{HeldLease, Leader};
use keeper::uptime;
use lease::LeaseStatus;

/// Role of this aggregator for as long as it serves; clones share the lease.
#[derive(Clone, Debug)]
pub struct Leadership(Role);

#[derive(Clone, Debug)]
enum Role {
    /// The only aggregator, whose requests have this epoch.
    Alone { epoch: u64 },
    /// Leader with this lease.
    Leader { lease: HeldLease, status: watch::Receiver<LeaseStatus> },
    /// Follower.
    Follower { status: watch::Receiver<LeaseStatus> },
}

impl Default for Leadership {
    /// Creates the role of a single aggregator without an epoch.
    fn default() -> Self {
        Self::alone(0)
    }
}

impl Leadership {
    /// Creates the role of a single aggregator. Its epoch is 0, or higher than that of the aggregators that it
    /// replaces.
    pub fn alone(epoch: u64) -> Self {
        Self(Role::Alone { epoch })
    }

    /// Creates the role that `status` shows now.
    fn of_status(status: watch::Receiver<LeaseStatus>) -> Self {
        let lease = status.borrow().own.as_ref().map(|own| HeldLease::of(&own.leader));
        Self(match lease {
            Some(lease) => Role::Leader { lease, status },
            None => Role::Follower { status },
        })
    }

    /// Returns the lease under which a leader writes to the database.
    pub fn held_lease(&self) -> Option<&HeldLease> {
        match &self.0 {
            Role::Leader { lease, .. } => Some(lease),
            Role::Alone { .. } | Role::Follower { .. } => None,
        }
    }

    /// Returns the epoch of a leader.
    fn epoch(&self) -> Option<u64> {
        self.held_lease().map(|lease| lease.epoch)
    }

    /// Returns true if this aggregator follows another one.
    pub fn is_follower(&self) -> bool {
        matches!(self.0, Role::Follower { .. })
    }

    /// Returns the epoch of requests that change something, if this aggregator may send them now. To be called right
    /// before each request.
    ///
    /// # Errors
    /// Returns FAILED_PRECONDITION if another aggregator leads, and UNAVAILABLE if the lease has expired or nobody
    /// leads.
    pub(crate) fn acting_epoch(&self) -> Result<u64, OperationError> {
        match &self.0 {
            Role::Alone { epoch } => Ok(*epoch),
            Role::Leader { lease, status } if status.borrow().is_valid(lease.epoch, uptime()) => {
                Ok(lease.epoch)
            }
            Role::Leader { status, .. } | Role::Follower { status } => {
                let status = status.borrow();
                let code = match &status.other {
                    Some(_) if status.failure.is_none() => Code::FailedPrecondition,
                    _ => Code::Unavailable,
                };
                Err(OperationError::new(code, not_leading(&status)))
            }
        }
    }

    /// Returns the address at which a follower calls the leader, and the leader as people read it; `None`: there is
    /// nobody to call.
    pub(crate) fn leader_to_call(&self) -> Option<(String, String)> {
        let Role::Follower { status } = &self.0 else { return None };
        let status = status.borrow();
        // Also while the database fails: the leader knows whether it still leads.
        let leader = status.other.as_ref().filter(|leader| !leader.holder.grpc_address.is_empty())?;
        Some((leader.holder.grpc_address.clone(), leader.to_string()))
    }

    /// Returns the aggregator that leads, for people; `None`: there is only one, or nobody certainly leads.
    fn leader_overview(&self) -> Option<LeaderOverview> {
        let overview = |leader: &Leader, is_here| LeaderOverview {
            address: leader.holder.address.clone(),
            process: leader.process(),
            epoch: leader.epoch,
            since: leader.since,
            is_here,
        };
        match &self.0 {
            Role::Alone { .. } => None,
            Role::Leader { lease, status } => {
                let status = status.borrow();
                let own = status.own.as_ref().filter(|_| status.is_valid(lease.epoch, uptime()))?;
                Some(overview(&own.leader, true))
            }
            Role::Follower { status } => {
                let status = status.borrow();
                let leader = status.other.as_ref().filter(|_| status.failure.is_none())?;
                Some(overview(leader, false))
            }
        }
    }

    /// Returns the epoch that agents learn when this aggregator begins to follow them; 0 if it may not lead.
    pub(crate) fn announced_epoch(&self) -> u64 {
        self.acting_epoch().unwrap_or(0)
    }
}

/// Returns the sentence that refuses an action of an aggregator that does not lead.
fn not_leading(status: &LeaseStatus) -> String {
    match (status, &status.other) {
        (LeaseStatus { failure: Some(reason), .. }, _) => format!(
            "nothing was done: this aggregator does not know whether it leads, since the database with the lease does not \
             answer ({reason}); try again when it does"
        ),
        (LeaseStatus { own: None, .. }, Some(leader)) => {
            format!("nothing was done: the aggregator at {leader} leads; ask that one")
        }
        _ => "nothing was done: no aggregator leads at the moment; try again in some seconds".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::store::LeaseHolder;
    use lease::OwnLease;

    fn leader(epoch: u64) -> Leader {
        let name = "rta-aggregator db-host pid 42 #00ab".to_owned();
        let holder = LeaseHolder {
            name,
            address: "https://a:8080".to_owned(),
            grpc_address: "https://a:7600".to_owned(),
        };
        Leader { holder, epoch, since: Timestamp::UNIX_EPOCH }
    }

    fn own(epoch: u64, valid_until: Duration) -> LeaseStatus {
        LeaseStatus { own: Some(OwnLease { leader: leader(epoch), valid_until }), ..LeaseStatus::default() }
    }

    fn refusal(leadership: &Leadership) -> (Code, String) {
        let error = leadership.acting_epoch().unwrap_err();
        (error.code, error.message)
    }

    #[test]
    fn leader_acts_while_its_lease_is_valid() {
        let (publisher, status) = watch::channel(own(3, uptime() + Duration::from_secs(60)));
        let leadership = Leadership::of_status(status);
        assert_eq!((leadership.acting_epoch(), leadership.announced_epoch()), (Ok(3), 3));
        // It was paused, and the lease has expired meanwhile.
        publisher.send_replace(own(3, uptime()));
        assert_eq!(refusal(&leadership).0, Code::Unavailable);
        assert_eq!(leadership.announced_epoch(), 0);
        // Another lease of this aggregator is not the one that the plan began with.
        publisher.send_replace(own(5, uptime() + Duration::from_secs(60)));
        assert_eq!(refusal(&leadership).0, Code::Unavailable);
        publisher.send_replace(LeaseStatus { other: Some(leader(6)), ..LeaseStatus::default() });
        let (code, message) = refusal(&leadership);
        assert_eq!(code, Code::FailedPrecondition);
        assert!(message.contains("the aggregator at https://a:8080 (db-host, pid 42) leads"), "{message}");
    }

    #[test]
    fn follower_says_who_leads_or_that_nobody_does() {
        let (publisher, status) = watch::channel(LeaseStatus::default());
        let leadership = Leadership::of_status(status);
        assert!(leadership.is_follower() && leadership.held_lease().is_none());
        assert!(refusal(&leadership).1.contains("no aggregator leads"));
        publisher
            .send_replace(LeaseStatus { failure: Some("db: lost".to_owned()), ..LeaseStatus::default() });
        let (code, message) = refusal(&leadership);
        assert!(code == Code::Unavailable && message.contains("does not answer (db: lost)"), "{message}");
        assert_eq!((leadership.leader_to_call(), leadership.leader_overview()), (None, None));
        publisher.send_replace(LeaseStatus { other: Some(leader(6)), ..LeaseStatus::default() });
        let called = ("https://a:7600".to_owned(), "https://a:8080 (db-host, pid 42)".to_owned());
        assert_eq!(leadership.leader_to_call(), Some(called.clone()));
        let shown = leadership.leader_overview().unwrap();
        assert_eq!((shown.process.as_str(), shown.epoch, shown.is_here), ("db-host, pid 42", 6, false));
        // Who leads now is not known, and the last one may still do.
        let failure = Some("db: lost".to_owned());
        publisher.send_replace(LeaseStatus { other: Some(leader(6)), failure, own: None });
        assert_eq!((leadership.leader_to_call(), leadership.leader_overview()), (Some(called), None));
    }

    #[test]
    fn single_aggregator_has_the_epoch_that_it_was_given() {
        assert_eq!(Leadership::default().acting_epoch(), Ok(0));
        assert_eq!(Leadership::alone(8).acting_epoch(), Ok(8));
    }
}
