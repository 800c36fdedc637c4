//! Processes in a host's own `/proc`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Process of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostProcess {
    /// PID on the host.
    pub pid: u32,
    /// Effective user ID.
    pub uid: u32,
    /// True if it is stopped by a signal (`T` in proc(5)).
    pub is_stopped: bool,
    /// Command line.
    pub arguments: Vec<String>,
}

impl HostProcess {
    pub(super) fn list(proc: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
        entries.filter_map(|entry| Self::read(&entry.path())).collect()
    }

    /// Reads a process; `None` if `folder` does not belong to a process, or the process has ended.
    fn read(folder: &Path) -> Option<Self> {
        let pid = folder.file_name()?.to_str()?.parse().ok()?;
        let line = std::fs::read(folder.join("cmdline")).ok()?;
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        // The name before the state may contain any characters.
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        let uid = std::fs::metadata(folder).ok()?.uid();
        let arguments = line.strip_suffix(b"\0")?.split(|byte| *byte == 0);
        let arguments = arguments.map(|argument| String::from_utf8_lossy(argument).into_owned()).collect();
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, uid, is_stopped: state == 'T', arguments })
    }
}
