//! Periodic check for certificates that expire soon, so that somebody renews them in time.

use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::impairment::ImpairedPart;
use rta_shared::lifecycle::tasks::run_blocking;
use rta_shared::tls::certificate::EXPIRY_CHECK_INTERVAL;

use crate::certificates::{OwnCertificates, own_impairments};
use crate::state::actor::{StateInbox, StateMessage};

/// Checks the certificates, at once and periodically, and reports impairments to the state actor.
pub(crate) async fn check_certificates(certificates: OwnCertificates, inbox: StateInbox) {
    let certificates = Arc::new(certificates);
    loop {
        let looked_at = Arc::clone(&certificates);
        // Not on the runtime: a disk may hang.
        let impairments = run_blocking(move || own_impairments(&looked_at, Timestamp::now())).await;
        let message = StateMessage::ReplaceImpairments(ImpairedPart::Certificate, impairments);
        if inbox.send(message).await.is_err() {
            return;
        }
        tokio::time::sleep(EXPIRY_CHECK_INTERVAL).await;
    }
}
