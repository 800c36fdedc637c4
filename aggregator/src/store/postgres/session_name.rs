//! Names of sessions. Others read in them who holds the lock, or the lease.

/// Beginning of each name.
const NAME: &str = "rta-aggregator";
/// Maximum length of a name.
const MAX_NAME_BYTES: usize = 63;

/// Returns a name for database sessions that no other aggregator has.
pub(super) fn new_session_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut nonce = [0; 2];
    // Without chance, two aggregators with the same host name and process ID have the same name.
    if let Err(error) = getrandom::fill(&mut nonce) {
        tracing::warn!(%error, "no random number for the name of the database session");
    }
    session_name(&host, std::process::id(), u16::from_ne_bytes(nonce))
}

/// Returns the name of sessions of this process.
fn session_name(host: &str, pid: u32, nonce: u16) -> String {
    let end = format!(" pid {pid} #{nonce:04x}");
    let room = MAX_NAME_BYTES - NAME.len() - 1 - end.len();
    let host: String = host.chars().filter(char::is_ascii_graphic).take(room).collect();
    format!("{NAME} {host}{end}")
}

/// Describes the process that a session's name stands for.
pub(super) fn holder_process(name: &str) -> String {
    let described = name.strip_prefix(NAME).and_then(|rest| {
        let (host, pid) = rest.trim().split_once(" pid ")?;
        let pid = pid.split(' ').next()?;
        Some(format!("{host}, pid {pid}"))
    });
    described.unwrap_or_else(|| format!("connected as \"{name}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_has_host_and_process() {
        let name = session_name("db-host", 42, 0xab);
        assert_eq!(name, "rta-aggregator db-host pid 42 #00ab");
        assert_eq!(holder_process(&name), "db-host, pid 42");
        assert_eq!(session_name(&"h".repeat(200), u32::MAX, 1).len(), MAX_NAME_BYTES);
        assert_eq!(holder_process("psql"), "connected as \"psql\"");
    }
}
