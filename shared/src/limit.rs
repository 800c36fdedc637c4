//! Limits that a component exceeds.

use jiff::Timestamp;
use serde::Serialize;

use crate::words::words;

/// Limit that a component exceeds, with the figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExceededLimit {
    /// Kind of the limit.
    pub kind: LimitKind,
    /// What is used, and the limit, as the end of a sentence about the component: `uses 4.3 GiB of memory,
    /// above 4 GiB`.
    pub reason: String,
    /// Time since which it has been exceeded, by the host's clock.
    pub since: Timestamp,
}

impl ExceededLimit {
    /// Returns the sentence: `it uses 4.3 GiB of memory, above 4 GiB since 09:30:00 UTC`.
    pub fn sentence(&self) -> String {
        format!("it {} since {}", self.reason, self.since.strftime("%H:%M:%S UTC"))
    }
}

/// Kind of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Resident memory.
    Memory,
    /// CPU time.
    Cpu,
    /// Open files.
    OpenFiles,
    /// Restarts.
    Restarts,
    /// A kind of a later version.
    Other,
}

words!(LimitKind {
    Memory => "memory",
    Cpu => "cpu",
    OpenFiles => "open_files",
    Restarts => "restarts",
    Other => "other",
});
