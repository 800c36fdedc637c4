//! Monitors the expiry of the agent's certificate.

use jiff::Timestamp;
use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::lifecycle::tasks::run_blocking;
use rta_shared::tls::ConnectionAcceptor;
use rta_shared::tls::certificate::EXPIRY_CHECK_INTERVAL;
use tokio::sync::watch;

/// Publishes the expiry time of the certificate in use, at once and on every change, and reports a renewed
/// one that cannot be used.
pub(crate) async fn watch_expiry(
    acceptor: ConnectionAcceptor,
    ends: watch::Sender<Option<Timestamp>>,
    impairments: ImpairmentList,
) {
    loop {
        let shown = acceptor.clone();
        // Off the runtime: a disk may hang.
        let look = move || shown.certificate().map(|(_, ends)| (ends, shown.reload_error()));
        let Some((found, trouble)) = run_blocking(look).await else {
            // The connection is in clear for the whole run, so there is no certificate.
            return std::future::pending().await;
        };
        impairments.set(ImpairedPart::Certificate, trouble);
        ends.send_if_modified(|known| known.replace(found) != Some(found));
        tokio::time::sleep(EXPIRY_CHECK_INTERVAL).await;
    }
}
