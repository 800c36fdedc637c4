//! Impairment of an aggregator that does not lead: it shows who does, since actions and the record are there.

use std::time::Duration;

use rta_shared::impairment::{ImpairedPart, ImpairmentList};

use super::{Leadership, Role};
use crate::leadership::keeper::uptime;
use crate::leadership::lease::LeaseStatus;

/// Interval between two checks: a lease expires without a message.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Reports as an impairment that another aggregator leads, or that none does, whenever that changes.
pub(crate) async fn report_leadership(leadership: Leadership, impairments: ImpairmentList) {
    loop {
        impairments.set(ImpairedPart::Leadership, leadership.warning());
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

impl Leadership {
    /// Returns a sentence if this aggregator does not lead.
    fn warning(&self) -> Option<String> {
        match &self.0 {
            Role::Alone { .. } => None,
            Role::Leader { lease, status } => {
                let status = status.borrow();
                (!status.is_valid(lease.epoch, uptime())).then(|| lapsed(&status))
            }
            Role::Follower { status } => Some(following(&status.borrow())),
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

fn following(status: &LeaseStatus) -> String {
    match (&status.other, &status.failure) {
        (other, Some(reason)) => {
            let last = other.as_ref().map(|leader| format!("; the last leader known is {leader}"));
            format!(
                "this aggregator follows, and the database with the lease does not answer: {reason}{}. Nothing is started \
                 or stopped here",
                last.unwrap_or_default()
            )
        }
        (Some(leader), None) => format!(
            "this aggregator follows: that at {leader} leads since {}. Actions, events, maintenance and plans are there",
            leader.since.strftime("%Y-%m-%d %H:%M UTC")
        ),
        (None, None) => "no aggregator leads yet; one takes over within 10 s".to_owned(),
    }
}
