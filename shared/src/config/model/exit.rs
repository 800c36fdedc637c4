//! Exit statuses and signals that do not count as a failure.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// Signals that a configuration may name, with their numbers on x86 and ARM (signal(7)).
const SIGNALS: [(&str, i32); 12] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("XCPU", 24),
];

/// Signals that end a service without a failure: SIGHUP, SIGINT, SIGPIPE and SIGTERM (SuccessExitStatus= in
/// systemd.service(5)).
const CLEAN_SIGNALS: [i32; 4] = [1, 2, 13, 15];

/// Exit status of a JVM that SIGTERM ends: 128 + 15.
const TERMINATED_JVM: i32 = 143;

/// Exit statuses and signals that a configuration counts as success, in addition to those that always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SuccessExitStatus {
    /// Exit statuses from 0 to 255, one bit each.
    statuses: [u64; 4],
    /// Signals from 1 to 64, one bit each.
    signals: u64,
}

impl SuccessExitStatus {
    /// Returns the names of the signals that can be added.
    pub fn signal_names() -> impl Iterator<Item = &'static str> + Clone {
        SIGNALS.iter().map(|(name, _)| *name)
    }

    /// Adds an exit status.
    #[must_use]
    pub fn with_status(mut self, status: u8) -> Self {
        if let Some(word) = self.statuses.get_mut(usize::from(status / 64)) {
            *word |= 1 << (status % 64);
        }
        self
    }

    /// Adds a signal by its name, with or without `SIG`; `None` if there is no such signal.
    pub fn with_signal(mut self, name: &str) -> Option<Self> {
        let name = name.strip_prefix("SIG").unwrap_or(name);
        let (_, signal) = SIGNALS.iter().find(|(known, _)| *known == name)?;
        self.signals |= bit(*signal);
        Some(self)
    }

    /// Returns true if a component that ended with this status has not failed: with exit status 0 or 143, by
    /// SIGHUP, SIGINT, SIGPIPE or SIGTERM, or as configured.
    pub fn is_clean(&self, status: ExitStatus) -> bool {
        let is_clean_signal = |signal| CLEAN_SIGNALS.contains(&signal);
        self.is_success(status)
            || status.code() == Some(TERMINATED_JVM)
            || status.signal().is_some_and(is_clean_signal)
    }

    /// Returns true if a command that ended with this status has completed its task: with exit status 0, or
    /// as configured. A command that was ended by a signal that is not configured has not.
    pub fn is_success(&self, status: ExitStatus) -> bool {
        let has_status = |code: i32| {
            u8::try_from(code).is_ok_and(|code| {
                self.statuses.get(usize::from(code / 64)).is_some_and(|word| word & (1 << (code % 64)) != 0)
            })
        };
        status.success()
            || status.code().is_some_and(has_status)
            || status.signal().is_some_and(|signal| self.signals & bit(signal) != 0)
    }
}

/// Returns the bit of a signal; 0 if the number is invalid.
fn bit(signal: i32) -> u64 {
    u32::try_from(signal).ok().and_then(|signal| 1_u64.checked_shl(signal.checked_sub(1)?)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // wait(2): the exit status is in the second byte, the signal in the first.
    fn exit(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn signal(signal: i32) -> ExitStatus {
        ExitStatus::from_raw(signal)
    }

    #[test]
    fn a_jvm_ended_by_term_and_what_systemd_calls_clean_are_no_failures() {
        let default = SuccessExitStatus::default();
        for status in [exit(0), exit(143), signal(1), signal(2), signal(13), signal(15)] {
            assert!(default.is_clean(status), "{status}");
        }
        for status in [exit(1), exit(130), exit(255), signal(9), signal(6), signal(11), signal(11 | 0x80)] {
            assert!(!default.is_clean(status), "{status}");
        }
        let more = default.with_status(3).with_status(255).with_signal("SIGKILL").unwrap();
        for status in [exit(3), exit(255), signal(9), exit(143)] {
            assert!(more.is_clean(status), "{status}");
        }
        assert!(!more.is_clean(exit(4)) && !more.is_clean(signal(6)));
        assert_eq!(default.with_signal("KILLED"), None);
    }

    #[test]
    fn a_command_that_a_signal_ended_has_not_done_its_work() {
        let default = SuccessExitStatus::default();
        assert!(default.is_success(exit(0)));
        assert!(!default.is_success(exit(143)) && !default.is_success(signal(15)));
        assert!(default.with_status(143).is_success(exit(143)));
        assert!(default.with_signal("TERM").unwrap().is_success(signal(15)));
    }
}
