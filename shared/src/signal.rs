//! Names of signals.

/// Signals that terminate processes, with their numbers on x86 and ARM (signal(7)).
const NAMES: [(i32, &str); 18] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (31, "SIGSYS"),
];

/// Returns the name of a signal; `None` if it has none, such as a real-time signal.
pub fn signal_name(signal: i32) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == signal).map(|(_, name)| *name)
}
