//! Formats the exit status of a process.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rta_shared::signal::signal_name;

/// Returns a text such as `exit status 1` or `signal 9 (SIGKILL)`.
pub(crate) fn format_exit_status(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => match signal_name(signal) {
            Some(name) => format!("signal {signal} ({name})"),
            None => format!("signal {signal}"),
        },
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names() {
        // wait(2): the exit status is in the second byte, the signal in the first.
        let rows = [
            (3 << 8, "exit status 3"),
            (9, "signal 9 (SIGKILL)"),
            (11 | 0x80, "signal 11 (SIGSEGV)"),
            (40, "signal 40"),
        ];
        for (raw, expected) in rows {
            assert_eq!(format_exit_status(ExitStatus::from_raw(raw)), expected);
        }
    }
}
