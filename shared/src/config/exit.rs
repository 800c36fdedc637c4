//! Which ends of a process are no failures.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

/// The signals that a configuration may name, with their numbers by signal(7) on x86 and ARM.
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

/// SIGHUP, SIGINT, SIGPIPE and SIGTERM, by which a service may end without having failed (systemd.service(5),
/// SuccessExitStatus=).
const CLEAN_SIGNALS: [i32; 4] = [1, 2, 13, 15];

/// A JVM that SIGTERM ends exits with 128 + 15.
const TERMINATED_JVM: i32 = 143;

/// The exit statuses and signals that a configuration counts as success, beside those that always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SuccessExitStatus {
    /// A bit for each exit status, from 0 to 255.
    statuses: [u64; 4],
    /// A bit for each signal, from 1 to 64.
    signals: u64,
}

impl SuccessExitStatus {
    /// The names of the signals that can be added.
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

    /// Adds a signal by its name, with or without `SIG`; `None`: there is no such.
    pub fn with_signal(mut self, name: &str) -> Option<Self> {
        let name = name.strip_prefix("SIG").unwrap_or(name);
        let (_, signal) = SIGNALS.iter().find(|(known, _)| *known == name)?;
        self.signals |= bit(*signal);
        Some(self)
    }

    /// Whether a component that ended so has not failed: with exit status 0 or 143, by SIGHUP, SIGINT, SIGPIPE or
    /// SIGTERM, or as the configuration says.
    pub fn is_clean(&self, status: ExitStatus) -> bool {
        let is_clean_signal = |signal| CLEAN_SIGNALS.contains(&signal);
        self.is_success(status)
            || status.code() == Some(TERMINATED_JVM)
            || status.signal().is_some_and(is_clean_signal)
    }

    /// Whether a command that was to do something and ended so has done it: with exit status 0, or as the configuration
    /// says. A signal ended it before.
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

/// The bit of a signal; none where there is no such.
fn bit(signal: i32) -> u64 {
    u32::try_from(signal).ok().and_then(|signal| 1_u64.checked_shl(signal.checked_sub(1)?)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // wait(2): the exit status stands in the second byte, the signal in the first.
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
