//! Telling how far an action is.

use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;
use rta_shared::control::{ActionEvent, Phase, Progress};
use rta_shared::text::printable;
use tokio::sync::mpsc;
use tonic::Status;

/// What is told of an action: how far it is, and last how it ended.
pub(crate) type Told = Result<ActionEvent, Status>;

/// How much is told of one action: a component that keeps changing must not fill the memory behind a caller
/// who reads slowly.
const MOST: u32 = 200;

/// Tells the caller of an action how far it is.
pub(crate) struct News {
    events: mpsc::UnboundedSender<Told>,
    told: AtomicU32,
}

impl News {
    pub(crate) fn new(events: mpsc::UnboundedSender<Told>) -> Self {
        Self { events, told: AtomicU32::new(0) }
    }

    /// Tells that `phase` was reached: `text` is a sentence for a person.
    pub(crate) fn tell(&self, phase: Phase, text: impl Into<String>, pids: Vec<u32>) {
        // Words of the configuration and of processes are in it.
        let text = printable(&text.into()).into_owned();
        tracing::debug!(phase = phase.word(), text, ?pids, "progress");
        if self.told.fetch_add(1, Ordering::Relaxed) < MOST {
            let progress = Progress { at: Timestamp::now(), phase, text, pids };
            // The caller may have gone.
            let _ = self.events.send(Ok(ActionEvent::Progress(progress)));
        }
    }
}
