//! Looking for certificates that end soon, so that somebody renews them before that.

use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::impairment::ImpairedPart;
use rta_shared::lifecycle::tasks::run_blocking;
use rta_shared::tls::certificate::EXPIRY_LOOK;

use crate::certificates::{Certificates, own};
use crate::hub::{Inbox, Message};

/// Looks at them, at once and again and again, and tells the hub of what ends soon.
pub(crate) async fn follow(certificates: Certificates, inbox: Inbox) {
    let certificates = Arc::new(certificates);
    loop {
        let looked_at = Arc::clone(&certificates);
        // Off the runtime: a disk may hang.
        let impairments = run_blocking(move || own(&looked_at, Timestamp::now())).await;
        let message = Message::Impaired(ImpairedPart::Certificate, impairments);
        if inbox.send(message).await.is_err() {
            return;
        }
        tokio::time::sleep(EXPIRY_LOOK).await;
    }
}
