//! How a start or a stop that did not fail ended. A failed one is a gRPC status with a sentence.

use std::fmt;
use std::time::Duration;

/// What a start or stop did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was launched, and its criteria held for its settle time.
    Started,
    /// It was running; nothing was launched.
    AlreadyRunning,
    /// It ended on the configured signal.
    Stopped,
    /// Nothing matched; nothing was signalled.
    AlreadyStopped,
    /// It outlived the configured signal and was ended with SIGKILL.
    Killed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::AlreadyRunning => "already running, nothing was started",
            Self::Stopped => "stopped",
            Self::AlreadyStopped => "not running, nothing was stopped",
            Self::Killed => "did not stop in time and was killed",
        })
    }
}

/// The result of a start or stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// What happened.
    pub outcome: Outcome,
    /// The processes that run now, or that were ended.
    pub pids: Vec<u32>,
    /// From the request to the end of waiting.
    pub took: Duration,
}

impl fmt::Display for Done {
    /// `started in 1.5 s (pid 4242)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outcome.fmt(f)?;
        if matches!(self.outcome, Outcome::Started | Outcome::Stopped | Outcome::Killed) {
            write!(f, " in {:.1} s", self.took.as_secs_f64())?;
        }
        if let Some((first, others)) = self.pids.split_first() {
            write!(f, " ({} {first}", if others.is_empty() { "pid" } else { "pids" })?;
            for pid in others {
                write!(f, ", {pid}")?;
            }
            f.write_str(")")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_reads_as_a_sentence() {
        let done = Done { outcome: Outcome::Started, pids: vec![7, 8], took: Duration::from_millis(1540) };
        assert_eq!(done.to_string(), "started in 1.5 s (pids 7, 8)");
        let done = Done { outcome: Outcome::AlreadyStopped, pids: vec![], took: Duration::ZERO };
        assert_eq!(done.to_string(), "not running, nothing was stopped");
    }
}
