//! Certificates that end soon, so that somebody renews them before that.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::text::counted;
use rta_shared::tls::certificate::{Certificate, WARN_DAYS};

use crate::hub::{Inbox, Message};

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(3600);

/// Looks at the certificates in these files, at once and every hour, and tells the hub of what ends soon.
pub(crate) async fn follow(files: Vec<PathBuf>, inbox: Inbox) {
    if files.is_empty() {
        return;
    }
    loop {
        let looked_at = files.clone();
        // Off the runtime: a disk may hang.
        let found = tokio::task::spawn_blocking(move || warnings(&looked_at, Timestamp::now())).await;
        let Ok(warnings) = found else { return };
        if inbox.send(Message::Warn(warnings)).await.is_err() {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What is to be said of those that end soon, or have. One that cannot be read is complained of where it is used.
fn warnings(files: &[PathBuf], now: Timestamp) -> Vec<String> {
    let warning = |file: &PathBuf| {
        let days = Certificate::read(file).ok()?.days_left(now);
        let file = file.display();
        match days {
            ..0 => Some(format!("the certificate {file} has ended: connections that need it fail; renew it")),
            0..=WARN_DAYS => {
                let days = counted(usize::try_from(days).unwrap_or_default(), "day");
                Some(format!("the certificate {file} ends in {days}; renew it"))
            }
            _ => None,
        }
    };
    files.iter().filter_map(warning).collect()
}
