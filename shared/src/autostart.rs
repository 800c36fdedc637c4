//! How an agent keeps a component running.

use jiff::Timestamp;
use serde::Serialize;

/// How an agent keeps a component running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Autostart {
    /// It is started again when it ends by itself.
    pub wanted: bool,
    /// Why it is, or is not, wanted, as a sentence.
    pub why: String,
    /// How often it was started again within the configured time.
    pub restarts: u32,
    /// When the next attempt is due, by the host's clock.
    pub next_at: Option<Timestamp>,
    /// It ended too often, and is not started any more until an operator does.
    pub given_up: bool,
    /// It ended and was started again so often that it cannot be called up.
    pub flapping: bool,
    /// How it ended last, as a sentence; empty where it has not.
    pub last_end: String,
    /// What it needs and is not up, for which it is not started yet: `kafka server on c9t17308`; empty: nothing.
    pub waiting_for: String,
}
