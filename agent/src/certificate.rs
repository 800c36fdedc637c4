//! When the agent's certificate ends.

use jiff::Timestamp;
use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::lifecycle::tasks::run_blocking;
use rta_shared::tls::Door;
use rta_shared::tls::certificate::EXPIRY_LOOK;
use tokio::sync::watch;

/// Tells when the certificate ends that is shown to the aggregator, at once and whenever that has changed, and of a
/// renewed one that cannot be used.
pub(crate) async fn follow(door: Door, ends: watch::Sender<Option<Timestamp>>, impairments: ImpairmentList) {
    loop {
        let shown = door.clone();
        // Off the runtime: a disk may hang.
        let look = move || shown.certificate().map(|(_, ends)| (ends, shown.trouble()));
        let Some((found, trouble)) = run_blocking(look).await else {
            // It is asked in clear, for as long as it runs.
            return std::future::pending().await;
        };
        impairments.set(ImpairedPart::Certificate, trouble);
        ends.send_if_modified(|known| known.replace(found) != Some(found));
        tokio::time::sleep(EXPIRY_LOOK).await;
    }
}
