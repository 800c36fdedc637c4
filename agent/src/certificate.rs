//! When the agent's certificate ends.

use jiff::Timestamp;
use rta_shared::tls::Door;
use rta_shared::tls::certificate::EXPIRY_LOOK;
use tokio::sync::watch;

/// Tells when the certificate ends that is shown to the aggregator, at once and whenever that has changed.
pub(crate) async fn follow(door: Door, ends: watch::Sender<Option<Timestamp>>) {
    loop {
        let shown = door.clone();
        // Off the runtime: a disk may hang.
        let found = tokio::task::spawn_blocking(move || shown.certificate().map(|(_, ends)| ends)).await;
        let Ok(Some(found)) = found else { return };
        ends.send_if_modified(|known| known.replace(found) != Some(found));
        tokio::time::sleep(EXPIRY_LOOK).await;
    }
}
