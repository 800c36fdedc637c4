//! Journal of systemd, by its native protocol: one datagram an entry (systemd's "Native Journal Protocol").

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::AuditSink;
use super::entry::AuditEntry;

/// Socket of the journal.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Syslog severity of an entry: notice.
const PRIORITY: &str = "5";

/// Connection with the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Connects with the journal of this host.
    ///
    /// # Errors
    /// Returns an error, as a sentence, if this host has none.
    pub(super) fn connect() -> Result<Self, String> {
        Self::at(Path::new(SOCKET))
    }

    fn at(path: &Path) -> Result<Self, String> {
        let unusable = |error: io::Error| {
            format!(
                "the journal at {} cannot be used: {error}; name a file for the audit log",
                path.display()
            )
        };
        let socket = UnixDatagram::unbound().map_err(unusable)?;
        path.metadata().map_err(unusable)?;
        Ok(Self { socket, path: path.to_owned() })
    }
}

impl AuditSink for Journal {
    fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
        // Not connected, so that a journal that was restarted is found again.
        self.socket.send_to(&encode(entry), &self.path).map(drop)
    }

    fn name(&self) -> String {
        "the audit log in the journal".to_owned()
    }
}

/// Encodes an entry. Its message is the line of JSON; its keys are fields too, to select by.
fn encode(entry: &AuditEntry) -> Vec<u8> {
    let json = entry.to_json();
    let plan = entry.plan.map(|plan| plan.to_string());
    let fields = [
        ("MESSAGE", Some(json.as_str())),
        ("PRIORITY", Some(PRIORITY)),
        ("SYSLOG_IDENTIFIER", Some("rta-audit")),
        ("RTA_WHAT", Some(entry.what.as_str())),
        ("RTA_WHO", entry.who.as_deref()),
        ("RTA_FROM", entry.from.as_deref()),
        ("RTA_TARGET", entry.target.as_deref()),
        ("RTA_OUTCOME", entry.outcome.as_deref()),
        ("RTA_PLAN", plan.as_deref()),
    ];
    let mut datagram = Vec::new();
    for (name, value) in fields {
        let Some(value) = value else { continue };
        datagram.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            // A value of several lines has its length before it.
            datagram.push(b'\n');
            datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            datagram.push(b'=');
        }
        datagram.extend_from_slice(value.as_bytes());
        datagram.push(b'\n');
    }
    datagram
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::Refusal;
    use super::*;

    #[test]
    fn entry_arrives_as_fields() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        assert!(Journal::at(&path).unwrap_err().contains("cannot be used"));
        let journal = UnixDatagram::bind(&path).unwrap();
        let refusal = Refusal {
            who: Some("bob\nMESSAGE=forged".to_owned()),
            target: "POST /stop".to_owned(),
            ..Refusal::default()
        };
        let entry = AuditEntry::of_refusal(refusal, Timestamp::UNIX_EPOCH);
        Journal::at(&path).unwrap().write(&entry).unwrap();
        let mut datagram = [0; 4096];
        let length = journal.recv(&mut datagram).unwrap();
        let text = String::from_utf8_lossy(&datagram[..length]);
        assert!(
            text.starts_with("MESSAGE={\"time\":\"1970-01-01T00:00:00Z\",\"what\":\"refusal\""),
            "{text}"
        );
        assert!(
            text.contains("\nRTA_TARGET=POST /stop\n") && text.contains("\nSYSLOG_IDENTIFIER=rta-audit\n")
        );
        // A name of several lines does not become a field.
        assert!(text.contains("\nRTA_WHO\n\u{12}\0\0\0\0\0\0\0bob\nMESSAGE=forged\n"), "{text:?}");
    }
}
