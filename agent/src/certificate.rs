//! When the agent's certificates end.

use std::path::PathBuf;

use jiff::Timestamp;
use rta_shared::tls::certificate::{Certificate, LOOK};
use tokio::sync::watch;

/// Tells when the first of the certificates in these files ends, at once and whenever that has changed.
pub(crate) async fn follow(files: Vec<PathBuf>, ends: watch::Sender<Option<Timestamp>>) {
    while !files.is_empty() {
        let looked_at = files.clone();
        // Off the runtime: a disk may hang.
        let Ok(first) = tokio::task::spawn_blocking(move || first_end(&looked_at)).await else { return };
        ends.send_if_modified(|known| std::mem::replace(known, first) != first);
        tokio::time::sleep(LOOK).await;
    }
}

/// One that cannot be read is complained of where it is used.
fn first_end(files: &[PathBuf]) -> Option<Timestamp> {
    files.iter().filter_map(|file| Some(Certificate::read(file).ok()?.not_after)).min()
}
