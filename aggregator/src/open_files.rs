//! How many files and connections the aggregator may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{serve, web_server};

/// So many may come to be open, beside the agents' connections: those of the page and of commands, and a few files.
pub const MOST: u64 = (web_server::BOUNDS.connections + serve::BOUNDS.connections + 128) as u64;

/// Raises the limit as far as it may be raised (getrlimit(2), `RLIMIT_NOFILE`: where nothing says otherwise a process
/// begins with 1,024, and may have more). What it is then; `None`: there is none.
///
/// It is inherited, so it is for a program that starts no others.
pub fn raise() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let wished = Rlimit { current: limit.maximum, ..limit };
        match setrlimit(Resource::Nofile, wished) {
            Ok(()) => limit.current = limit.maximum,
            Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
        }
    }
    limit.current
}
