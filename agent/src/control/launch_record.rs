//! What was begun on each component, in the agent's folder: an agent that is killed in the middle of an action
//! leaves it to the next one.
//!
//! One file a component, replaced by rename, without fsync: it is of use only within one boot (another boot's is
//! dropped), and what was written survives the end of the process that wrote it. So a disk that is slow to sync
//! holds up no start.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use jiff::Timestamp;
use rta_shared::control::{ActionKind, Requester};
use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use rta_shared::text::hex;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::logs::LogPath;

/// The records' folder below the agent's own.
const FOLDER: &str = "launches";
/// The version of their form.
const VERSION: u32 = 1;

/// What is known of one component's last action and launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    component: Name,
    /// `/proc/sys/kernel/random/boot_id`; of another boot's nothing is left.
    boot_id: String,
    /// The action that is under way.
    pub(super) action: Option<BegunAction>,
    /// What was launched last.
    pub(super) launch: Option<Launch>,
    /// The stop command that was run last by the action that is under way.
    pub(super) stop_command: Option<ProcessId>,
}

impl Record {
    pub(super) fn new(component: &Name, boot_id: &str) -> Self {
        let (component, boot_id) = (component.clone(), boot_id.to_owned());
        Self { version: VERSION, component, boot_id, action: None, launch: None, stop_command: None }
    }

    fn is_empty(&self) -> bool {
        self.action.is_none() && self.launch.is_none() && self.stop_command.is_none()
    }
}

/// An action that was begun, and whose end is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BegunAction {
    pub(super) kind: ActionKind,
    pub(super) by: Requester,
    /// For people.
    pub(super) since: Timestamp,
    /// See [`monotonic_ms`].
    pub(super) since_ms: u64,
    /// When it is given up whatever happens, as [`monotonic_ms`].
    pub(super) until_ms: u64,
}

/// A command that was launched to become a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Launch {
    /// The value of [`LAUNCH_ID`] in the environment of all that it began.
    pub(super) id: String,
    /// The launched process, which leads a session of its own.
    pub(super) leader: ProcessId,
    /// More processes that are known to be of its session.
    pub(super) members: Vec<ProcessId>,
    /// It never became the component, as far as is known.
    pub(super) is_unfinished: bool,
    /// As [`monotonic_ms`].
    pub(super) launched_ms: u64,
    /// Until when its criteria must match, as [`monotonic_ms`].
    pub(super) deadline_ms: u64,
    /// The folder of its control group.
    pub(super) control_group: Option<PathBuf>,
    /// The logs that tell of it, and how long each was before.
    pub(super) logs: Vec<(LogPath, u64)>,
}

/// The variable in the environment of everything that the agent launches, by which it is found again whoever its
/// parent is and whatever session it is in.
pub(super) const LAUNCH_ID: &str = "RTA_LAUNCH_ID";

/// Returns a value for [`LAUNCH_ID`] that nobody can guess.
///
/// # Errors
/// The kernel has no random bytes.
pub(super) fn new_launch_id() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(hex(&bytes))
}

/// Milliseconds of CLOCK_MONOTONIC: the same for every process of one boot, and never set back.
pub(super) fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1000 + u64::try_from(now.tv_nsec).unwrap_or_default() / 1_000_000
}

/// The records' folder, and the thread that writes to it: one after another, so that the last one stays.
#[derive(Clone, Debug)]
pub(super) struct RecordWriter(mpsc::Sender<Order>);

struct Order {
    record: Record,
    written: oneshot::Sender<Result<(), String>>,
}

/// Tells when a record was written, or why it could not be.
pub(super) type Written = oneshot::Receiver<Result<(), String>>;

impl RecordWriter {
    /// Reads what an earlier agent left in `folder` in this boot, and begins to write there.
    ///
    /// # Errors
    /// A sentence, if the folder cannot be made or read, or the thread cannot be begun.
    pub(super) fn open(folder: &Path, boot_id: &str) -> Result<(Self, HashMap<Name, Record>), String> {
        let folder = folder.join(FOLDER);
        let told = |error: &dyn std::fmt::Display| format!("{} cannot be used: {error}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| told(&error))?;
        let records = read_all(&folder, boot_id).map_err(|error| told(&error))?;
        let (writer, orders) = mpsc::channel::<Order>();
        let write_all = move || {
            for Order { record, written } in orders {
                let outcome = write(&folder, &record);
                if let Err(error) = &outcome {
                    tracing::error!(component = %record.component, error, "what is begun cannot be kept");
                }
                // Not everybody waits for it.
                let _ = written.send(outcome);
            }
        };
        let thread = std::thread::Builder::new().name("launch-records".to_owned()).spawn(write_all);
        thread.map_err(|error| format!("the thread that keeps launches cannot be begun: {error}"))?;
        Ok((Self(writer), records))
    }

    /// Replaces what is kept of the component of `record`.
    pub(super) fn replace(&self, record: Record) -> Written {
        let (written, is_written) = oneshot::channel();
        // Where the thread is gone, the receiver says so.
        let _ = self.0.send(Order { record, written });
        is_written
    }
}

fn read_all(folder: &Path, boot_id: &str) -> std::io::Result<HashMap<Name, Record>> {
    let mut records = HashMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            // What was being written when an agent was killed.
            let _ = std::fs::remove_file(&path);
            continue;
        }
        let parsed = std::fs::read(&path)
            .map_err(|error| error.to_string())
            .and_then(|bytes| serde_json::from_slice::<Record>(&bytes).map_err(|error| error.to_string()));
        match parsed {
            Ok(record) if record.boot_id == boot_id && record.version == VERSION => {
                records.insert(record.component.clone(), record);
            }
            Ok(_) => std::fs::remove_file(&path)?,
            Err(error) => {
                // A power failure may leave it empty; then nothing is left of what it told of.
                tracing::warn!(path = %path.display(), error, "what an earlier agent launched cannot be read");
                std::fs::remove_file(&path)?;
            }
        }
    }
    Ok(records)
}

fn write(folder: &Path, record: &Record) -> Result<(), String> {
    let path = folder.join(file_name(&record.component));
    let replace = || {
        if record.is_empty() {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        // Somebody may have removed it.
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // One agent has the folder, so that one name is enough.
        let new = path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(record)?)?;
        std::fs::rename(&new, &path)
    };
    replace().map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// Any name makes one, and no two the same.
fn file_name(component: &Name) -> String {
    hex(&Sha256::digest(component.folded()).as_slice()[..16]) + ".json"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(component: &str, boot_id: &str) -> Record {
        let leader = ProcessId { pid: 7, start_ticks: 70 };
        let launch = Launch {
            id: new_launch_id().unwrap(),
            leader,
            members: vec![ProcessId { pid: 8, start_ticks: 80 }],
            is_unfinished: true,
            launched_ms: 1,
            deadline_ms: 2,
            control_group: Some("/sys/fs/cgroup/rta".into()),
            logs: vec![(LogPath::own(Path::new("/var/log/x")), 9)],
        };
        let action = BegunAction {
            kind: ActionKind::Restart,
            by: Requester::autostart(),
            since: Timestamp::UNIX_EPOCH,
            since_ms: 1,
            until_ms: 3,
        };
        let record = Record::new(&component.into(), boot_id);
        Record { action: Some(action), launch: Some(launch), stop_command: Some(leader), ..record }
    }

    #[test]
    fn next_agent_of_this_boot_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, none) = RecordWriter::open(folder.path(), "boot").unwrap();
        assert!(none.is_empty());
        let (kafka, spark) = (record("Kafka ../server", "boot"), record("spark", "boot"));
        let (old, ended) = (record("old", "earlier boot"), record("ended", "boot"));
        for record in [&kafka, &spark, &old, &ended, &Record::new(&"ended".into(), "boot")] {
            writer.replace(record.clone()).blocking_recv().unwrap().unwrap();
        }
        // Killed in the middle of writing; a power failure.
        std::fs::write(folder.path().join("launches/x.new"), "{").unwrap();
        std::fs::write(folder.path().join("launches/y.json"), "").unwrap();
        let (_, known) = RecordWriter::open(folder.path(), "boot").unwrap();
        assert_eq!(known, HashMap::from([(kafka.component.clone(), kafka), ("spark".into(), spark)]));
        assert_eq!(std::fs::read_dir(folder.path().join("launches")).unwrap().count(), 2);
    }

    #[test]
    fn record_that_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _) = RecordWriter::open(folder.path(), "boot").unwrap();
        std::fs::remove_dir(folder.path().join("launches")).unwrap();
        writer.replace(record("x", "boot")).blocking_recv().unwrap().unwrap();
        std::fs::remove_dir_all(folder.path().join("launches")).unwrap();
        std::fs::write(folder.path().join("launches"), "").unwrap();
        let error = writer.replace(record("x", "boot")).blocking_recv().unwrap().unwrap_err();
        assert!(error.contains("cannot be written: "), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(RecordWriter::open(file.path(), "boot").unwrap_err().contains("cannot be used: "));
    }
}
