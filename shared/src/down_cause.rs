//! Reasons why a component does not run, as its agent knows them.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::action::Requester;
use crate::format::ago;
use crate::signal::signal_name;

/// Reason why a component does not run. Its agent persists it, so that it survives restarts of both programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownCause {
    /// Time of the event, by the clock of the program that holds this value; some kinds give it another
    /// meaning.
    pub at: Timestamp,
    /// Kind of the event.
    #[serde(flatten)]
    pub kind: DownKind,
    /// Last line of the component's log, redacted, printable and short; `None` if it wrote none since it
    /// started, or none is useful.
    pub last_log_line: Option<String>,
}

/// Event that left a component down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DownKind {
    /// Never seen running by its agent. The time is that of the first scan.
    NeverSeen,
    /// Failed at its last start.
    StartFailed {
        /// Reason as a sentence.
        reason: String,
    },
    /// Stopped through its agent.
    Stopped {
        /// Requester of the stop.
        by: Requester,
    },
    /// Exited.
    Exited {
        /// Exit status.
        status: i32,
        /// True if the component's configuration counts this as a success.
        is_clean: bool,
    },
    /// Ended by a signal.
    Killed {
        /// Number of the signal.
        signal: i32,
        /// True if the component's configuration counts this as a success.
        is_clean: bool,
        /// True if the kernel sent it for lack of memory.
        out_of_memory: bool,
    },
    /// Not started since the last boot of its host, before which it ran. The time is that of the boot.
    Rebooted,
    /// Ended while no agent watched the host. The time is that of the discovery.
    Unwatched,
    /// Ended with a status that its agent could not learn.
    Unknown,
    /// Its process still exists, but does not match its criteria any more.
    Unmatched {
        /// PID of the process.
        pid: u32,
    },
}

/// Text of a reason, split at the position of its age.
struct ReasonText {
    before: String,
    /// Words that introduce the age, omitted together with it.
    of_age: &'static str,
    after: String,
}

impl DownCause {
    /// Returns the whole sentence with its age: `it is not running: ended 3 s ago by SIGKILL (out of
    /// memory)`, `stopped by ann 2 min ago`. The output of [`fmt::Display`] is the same without the age, for
    /// texts that are stored.
    pub fn sentence(&self, now: Timestamp) -> String {
        let (before, after) = self.split_at_age();
        format!("{before} {}{after}", ago(self.at, now))
    }

    /// Returns the shortest sentence: it omits that the component does not run, and its log.
    pub fn short(&self, now: Timestamp) -> String {
        let ReasonText { before, of_age, after } = self.text();
        format!("{before}{of_age} {}{after}", ago(self.at, now))
    }

    /// Returns the text before and after the age in [`DownCause::sentence`].
    pub fn split_at_age(&self) -> (String, String) {
        let ReasonText { before, of_age, after } = self.whole();
        (before + of_age, after)
    }

    fn whole(&self) -> ReasonText {
        let ReasonText { mut before, of_age, mut after } = self.text();
        // A deliberate stop is no failure: nothing is added to it.
        if !matches!(self.kind, DownKind::Stopped { .. }) {
            before.insert_str(0, "it is not running: ");
            if let Some(line) = &self.last_log_line {
                after.push_str(&format!("; last line of its log: \"{line}\""));
            }
        }
        ReasonText { before, of_age, after }
    }

    fn text(&self) -> ReasonText {
        let (before, of_age, after) = match &self.kind {
            DownKind::NeverSeen => ("never seen running".to_owned(), ", first watched", String::new()),
            DownKind::StartFailed { reason } => {
                ("its last start failed".to_owned(), "", format!(": {reason}"))
            }
            DownKind::Stopped { by } => {
                let user = if by.user.is_empty() { "somebody" } else { &by.user };
                (format!("stopped by {user}"), "", String::new())
            }
            DownKind::Exited { status, is_clean } => (
                "ended".to_owned(),
                "",
                match is_clean {
                    true => format!(" without failure (exit status {status})"),
                    false => format!(" with exit status {status}"),
                },
            ),
            DownKind::Killed { signal, is_clean, out_of_memory } => {
                let signal = signal_text(*signal);
                (
                    "ended".to_owned(),
                    "",
                    match (out_of_memory, is_clean) {
                        (true, _) => format!(" by {signal} (out of memory)"),
                        (false, true) => format!(" without failure ({signal})"),
                        (false, false) => format!(" by {signal}"),
                    },
                )
            }
            DownKind::Rebooted => ("not started since the boot of its host".to_owned(), "", String::new()),
            DownKind::Unwatched => {
                ("ended while its agent was not running".to_owned(), ", noticed", String::new())
            }
            DownKind::Unknown => ("ended".to_owned(), "", "; its exit status is not known".to_owned()),
            DownKind::Unmatched { pid } => {
                (format!("pid {pid} stopped matching its criteria"), "", ", and is still there".to_owned())
            }
        };
        ReasonText { before, of_age, after }
    }
}

impl fmt::Display for DownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReasonText { before, after, .. } = self.whole();
        write!(f, "{before}{after}")
    }
}

fn signal_text(signal: i32) -> String {
    signal_name(signal).map_or_else(|| format!("signal {signal}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Requester {
        Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() }
    }

    fn killed(signal: i32, is_clean: bool, out_of_memory: bool) -> DownKind {
        DownKind::Killed { signal, is_clean, out_of_memory }
    }

    #[test]
    fn each_kind_is_told_with_and_without_its_age() {
        let now = Timestamp::from_second(1_000).unwrap();
        let rows = [
            (
                DownKind::NeverSeen,
                "it is not running: never seen running",
                "it is not running: never seen running, first watched 2 min ago",
            ),
            (
                DownKind::StartFailed { reason: "no such file".to_owned() },
                "it is not running: its last start failed: no such file",
                "it is not running: its last start failed 2 min ago: no such file",
            ),
            (DownKind::Stopped { by: ann() }, "stopped by ann", "stopped by ann 2 min ago"),
            (
                DownKind::Stopped { by: Requester::default() },
                "stopped by somebody",
                "stopped by somebody 2 min ago",
            ),
            (
                DownKind::Exited { status: 7, is_clean: false },
                "it is not running: ended with exit status 7",
                "it is not running: ended 2 min ago with exit status 7",
            ),
            (
                DownKind::Exited { status: 0, is_clean: true },
                "it is not running: ended without failure (exit status 0)",
                "it is not running: ended 2 min ago without failure (exit status 0)",
            ),
            (
                killed(9, false, false),
                "it is not running: ended by SIGKILL",
                "it is not running: ended 2 min ago by SIGKILL",
            ),
            (
                killed(9, false, true),
                "it is not running: ended by SIGKILL (out of memory)",
                "it is not running: ended 2 min ago by SIGKILL (out of memory)",
            ),
            (
                killed(15, true, false),
                "it is not running: ended without failure (SIGTERM)",
                "it is not running: ended 2 min ago without failure (SIGTERM)",
            ),
            (
                killed(40, false, false),
                "it is not running: ended by signal 40",
                "it is not running: ended 2 min ago by signal 40",
            ),
            (
                DownKind::Rebooted,
                "it is not running: not started since the boot of its host",
                "it is not running: not started since the boot of its host 2 min ago",
            ),
            (
                DownKind::Unwatched,
                "it is not running: ended while its agent was not running",
                "it is not running: ended while its agent was not running, noticed 2 min ago",
            ),
            (
                DownKind::Unknown,
                "it is not running: ended; its exit status is not known",
                "it is not running: ended 2 min ago; its exit status is not known",
            ),
            (
                DownKind::Unmatched { pid: 7 },
                "it is not running: pid 7 stopped matching its criteria, and is still there",
                "it is not running: pid 7 stopped matching its criteria 2 min ago, and is still there",
            ),
        ];
        for (kind, kept, shown) in rows {
            let at = Timestamp::from_second(1_000 - 120).unwrap();
            let cause = DownCause { at, kind, last_log_line: None };
            assert_eq!((cause.to_string(), cause.sentence(now)), (kept.to_owned(), shown.to_owned()));
            let stored = serde_json::to_string(&cause).unwrap();
            assert_eq!(serde_json::from_str::<DownCause>(&stored).unwrap(), cause, "{stored}");
        }
    }

    #[test]
    fn log_is_told_in_the_whole_sentence_alone() {
        let cause = DownCause {
            at: Timestamp::UNIX_EPOCH,
            kind: DownKind::Exited { status: 7, is_clean: false },
            last_log_line: Some("no space left".to_owned()),
        };
        let now = Timestamp::from_second(3).unwrap();
        assert_eq!(
            cause.sentence(now),
            "it is not running: ended 3 s ago with exit status 7; last line of its log: \"no space left\""
        );
        assert_eq!(cause.short(now), "ended 3 s ago with exit status 7");
        let json = serde_json::json!({
            "at": "1970-01-01T00:00:00Z", "kind": "exited", "status": 7, "is_clean": false,
            "last_log_line": "no space left"
        });
        assert_eq!(serde_json::to_value(&cause).unwrap(), json);
    }
}
