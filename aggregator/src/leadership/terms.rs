//! Terms: the times in which an aggregator keeps its role. It serves each from the beginning, with the state that the
//! database has, as after a restart; so nothing of an earlier term is acted on.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Leadership, LeaseKeeper};

/// Time limit for the first answer of the database before the aggregator serves as follower.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Term of an aggregator.
#[derive(Clone, Debug)]
pub struct Term {
    /// Role in this term.
    pub leadership: Leadership,
    /// Cancelled at the end of the term.
    pub end: CancellationToken,
}

/// Serves one term after the other with `serve`, until `shutdown`, and then releases the lease.
///
/// # Errors
/// Returns the error of `serve`.
pub async fn serve_terms(
    keeper: LeaseKeeper,
    shutdown: CancellationToken,
    mut serve: impl AsyncFnMut(Term) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut status = keeper.status();
    // A first leader need not serve as follower before.
    let _ = tokio::time::timeout(FIRST_ANSWER_TIMEOUT, status.changed()).await;
    let mut outcome = Ok(());
    while outcome.is_ok() && !shutdown.is_cancelled() {
        let leadership = Leadership::of_status(status.clone());
        let epoch = leadership.epoch();
        let end = shutdown.child_token();
        let over = async {
            // The thread ends after this.
            if status.wait_for(|status| status.epoch() != epoch).await.is_ok() {
                end.cancel();
            }
            std::future::pending::<()>().await;
        };
        let term = Term { leadership, end: end.clone() };
        outcome = tokio::select! {
            served = serve(term) => served,
            () = over => Ok(()),
        };
    }
    keeper.release().await;
    outcome
}
