//! When the agent's certificate ends.

use jiff::Timestamp;
use rta_shared::lifecycle::tasks::run_blocking;
use rta_shared::tls::Door;
use rta_shared::tls::certificate::EXPIRY_LOOK;
use tokio::sync::watch;

/// Tells when the certificate ends that is shown to the aggregator, at once and whenever that has changed.
pub(crate) async fn follow(door: Door, ends: watch::Sender<Option<Timestamp>>) {
    loop {
        let shown = door.clone();
        // Off the runtime: a disk may hang.
        let Some(found) = run_blocking(move || shown.certificate().map(|(_, ends)| ends)).await else {
            // It is asked in clear, for as long as it runs.
            return std::future::pending().await;
        };
        ends.send_if_modified(|known| known.replace(found) != Some(found));
        tokio::time::sleep(EXPIRY_LOOK).await;
    }
}
