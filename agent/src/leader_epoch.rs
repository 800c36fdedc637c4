//! Refuses aggregators that no longer lead.
//!
//! Of several aggregators one leads each environment. Whenever another takes over, its epoch is higher. A
//! leader that was paused or cut off may not know yet that it has been replaced, so each agent obeys the
//! highest epoch of an environment that it has seen. An aggregator that names no environment leads all of
//! them.

use rta_shared::name::Name;
use rta_shared::sanitize::printable;
use tonic::Status;

use crate::desired_state::DesiredStateStore;

/// Admits a request of an aggregator with this epoch in this environment (empty: in all of them), and refuses
/// all lower ones from now on. Returns once a higher epoch than before is on the disk, so that a restart of
/// the agent does not forget it; a disk that fails or hangs is reported as an impairment, and delays the
/// request by a second.
///
/// # Errors
/// Returns FAILED_PRECONDITION with a sentence if a higher epoch was seen.
pub(crate) async fn admit(
    stored: &DesiredStateStore,
    environment: &str,
    epoch: u64,
    host: &Name,
) -> Result<(), Status> {
    match stored.raise_leader_epoch(environment, epoch) {
        Ok(false) => Ok(()),
        Ok(true) => {
            tracing::info!(environment = %printable(environment), epoch, "an aggregator with a higher epoch leads");
            // The impairment of the state folder says why it failed.
            let _ = stored.wait_until_written().await;
            Ok(())
        }
        Err(highest) => Err(Status::failed_precondition(refusal(epoch, highest, host))),
    }
}

fn refusal(epoch: u64, highest: u64, host: &Name) -> String {
    let reason = match epoch {
        0 => "this aggregator has no epoch".to_owned(),
        _ => format!("the epoch of this aggregator is {epoch}"),
    };
    format!(
        "another aggregator leads: {reason}, and the agent of {host} has seen epoch {highest}; the request was not \
         carried out: ask the aggregator that leads, or, if this one is to replace it, restart it with --epoch {}",
        highest.saturating_add(1)
    )
}

#[cfg(test)]
mod tests {
    use rta_shared::impairment::ImpairmentList;

    use super::*;

    #[tokio::test]
    async fn earlier_leader_and_single_aggregator_are_refused() {
        let (stored, task) = DesiredStateStore::open(None, ImpairmentList::default());
        let _task = tokio::spawn(task);
        let host = Name::from("h1");
        for epoch in [0, 0, 4, 4, 5] {
            assert!(admit(&stored, "ITG", epoch, &host).await.is_ok(), "{epoch}");
        }
        for (epoch, expected) in
            [(4, "the epoch of this aggregator is 4"), (0, "this aggregator has no epoch")]
        {
            let refused = admit(&stored, "itg", epoch, &host).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
            assert_eq!(
                refused.message(),
                format!(
                    "another aggregator leads: {expected}, and the agent of h1 has seen epoch 5; the request was not \
                     carried out: ask the aggregator that leads, or, if this one is to replace it, restart it with \
                     --epoch 6"
                )
            );
        }
    }
}
