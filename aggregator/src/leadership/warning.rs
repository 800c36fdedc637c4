//! Shows which aggregator leads, and as an impairment that none certainly does, or that this one cannot call it.

use std::time::Duration;

use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::overview::LeaderOverview;

use super::{Leadership, Role};
use crate::leadership::keeper::uptime;
use crate::leadership::lease::LeaseStatus;

/// Interval between two checks: a lease expires without a message.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Shows with `show` which aggregator leads, and reports impairments, whenever that changes.
pub(crate) async fn report_leadership(
    leadership: Leadership,
    impairments: ImpairmentList,
    show: impl AsyncFn(Option<LeaderOverview>),
) {
    let mut shown = None;
    loop {
        impairments.set(ImpairedPart::Leadership, leadership.warning());
        let leader = leadership.leader_overview();
        if leader != shown {
            show(leader.clone()).await;
            shown = leader;
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

impl Leadership {
    /// Returns a sentence if nothing can be started or stopped through this aggregator.
    fn warning(&self) -> Option<String> {
        match &self.0 {
            Role::Alone { .. } => None,
            Role::Leader { lease, status } => {
                let status = status.borrow();
                (!status.is_valid(lease.epoch, uptime())).then(|| lapsed(&status))
            }
            Role::Follower { status } => following(&status.borrow()),
        }
    }
}

fn lapsed(status: &LeaseStatus) -> String {
    let reason = status.failure.as_deref().unwrap_or("this process did not run for a while");
    format!(
        "the lease of this aggregator has expired: {reason}. Nothing is started or stopped until it is renewed, or another \
         aggregator leads"
    )
}

fn following(status: &LeaseStatus) -> Option<String> {
    match (&status.other, &status.failure) {
        (other, Some(reason)) => {
            let last = other.as_ref().map(|leader| format!("; the last leader known is {leader}"));
            Some(format!(
                "this aggregator follows, and the database with the lease does not answer: {reason}{}",
                last.unwrap_or_default()
            ))
        }
        (Some(leader), None) if leader.holder.grpc_address.is_empty() => Some(format!(
            "this aggregator follows, and cannot call that at {leader}, which leads: start that one with --grpc or \
             --advertise-grpc. Nothing is started or stopped here"
        )),
        (Some(_), None) => None,
        (None, None) => Some("no aggregator leads yet; one takes over within 10 s".to_owned()),
    }
}
