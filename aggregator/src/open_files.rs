//! Limit of open files and connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{server, web};

/// Maximum number of open files beside the agents' connections: connections of the page and of commands, and
/// a few files.
pub const MAX_OPEN_FILES: u64 =
    (web::server::CONNECTION_LIMITS.connections + server::CONNECTION_LIMITS.connections + 128) as u64;

/// Raises the limit as far as allowed (getrlimit(2), `RLIMIT_NOFILE`: a process usually starts with 1,024,
/// and may have more). Returns the new limit; `None`: there is none.
///
/// Child processes inherit the limit, so this is for a program that starts none.
pub fn raise_limit() -> Option<u64> {
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
