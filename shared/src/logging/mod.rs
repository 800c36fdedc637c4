//! Log output of all rta programs: to standard error, as plain text for people or as JSON for collectors.

mod queue;

use std::io::{IsTerminal as _, Write as _};
use std::panic::PanicHookInfo;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use self::queue::LogQueue;
use crate::words::words;

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Readable lines for people, one per event, coloured on a terminal.
    #[default]
    Plain,
    /// JSON objects for collectors, one per line.
    Json,
}

words!(LogFormat { Plain => "plain", Json => "json" });

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let message = || "it is \"plain\" for people or \"json\" for collectors".to_owned();
        Self::from_word(word).ok_or_else(message)
    }
}

/// Queue of this program's log lines.
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// Time limit for writing the last log lines when a program ends.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Logs events, and panics as events too, to standard error. The environment variable `RTA_LOG` selects what
/// is logged, in the syntax of tracing-subscriber's `EnvFilter` (`debug`, `rta_agent=trace`); if it is unset
/// or invalid, `level` does.
///
/// Logging never fails or blocks the program, whatever happens to standard error: see [`impairment`].
///
/// Call it once; later calls have no effect.
pub fn init(format: LogFormat, level: &str) {
    // Without its thread nothing can be logged; the program continues its work.
    let Ok(queue) = LogQueue::start(std::io::stderr()) else { return };
    let queue = QUEUE.get_or_init(|| queue).clone();
    let filter = EnvFilter::try_from_env("RTA_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false).with_writer(queue);
    // An error means that a subscriber is already set; that one is kept.
    let _ = match format {
        LogFormat::Plain => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
}

/// Logs a panic. The default hook cannot be used, because it writes to standard error itself, which may block
/// forever.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(
        thread = thread.name().unwrap_or_default(),
        location,
        reason = panic.payload_as_str().unwrap_or_default(),
        "a part of the program panicked"
    );
}

/// Writes a program's last message to standard error after its log lines, and waits briefly until they are
/// written.
pub fn write_last_message(program: &str, message: &str) {
    let line = format!("{program}: {message}\n");
    match QUEUE.get() {
        Some(queue) => {
            queue.push(line.as_bytes());
            queue.flush(LAST_LINES);
        }
        // If standard error is gone too, only the exit code is left as a report.
        None => drop(std::io::stderr().write_all(line.as_bytes())),
    }
}

/// Waits briefly until the log lines are written; for the end of a program.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(LAST_LINES);
    }
}

/// Returns the reason why log lines are being lost, as a sentence; `None` if they are written.
pub fn impairment() -> Option<String> {
    QUEUE.get().and_then(LogQueue::impairment)
}
