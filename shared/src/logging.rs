//! How every rta program writes its log: to standard error, plain for people or JSON for collectors.

use std::fmt;
use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: one readable line an event, coloured on a terminal.
    #[default]
    Plain,
    /// For collectors: one JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "plain" => Ok(Self::Plain),
            "json" => Ok(Self::Json),
            _ => Err("it is \"plain\" for people or \"json\" for collectors".to_owned()),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Json => "json",
        })
    }
}

/// Sends the program's events to standard error. The variable `RTA_LOG` chooses what is logged, in the syntax
/// of tracing-subscriber's `EnvFilter` (`debug`, `rta_agent=trace`); `level` where it is unset or wrong.
///
/// Call it once; a later call changes nothing.
pub fn init(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_env("RTA_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error says that a subscriber is set already; that one stays.
    let _ = match format {
        LogFormat::Plain => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
