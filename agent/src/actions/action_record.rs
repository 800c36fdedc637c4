//! Records of the action and the launch of each component in the agent's folder, so that the next agent can
//! continue after this one was killed during an action.
//!
//! One file per component, replaced by rename, without fsync: a record is valid only within one boot (records
//! of other boots are dropped), and written data survives the end of the process that wrote it. So a disk
//! that is slow to sync delays no start.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use jiff::Timestamp;
use rta_shared::action::{ActionKind, Requester};
use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use rta_shared::sanitize::hex;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::logs::LogPath;

/// Folder of the records below the agent's own.
const RECORD_FOLDER: &str = "launches";
/// Version of the file format.
const FORMAT_VERSION: u32 = 1;

/// Record of a component's last action and launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ActionRecord {
    version: u32,
    component: Name,
    /// Content of `/proc/sys/kernel/random/boot_id`; records of other boots are void.
    boot_id: String,
    /// Running action.
    pub(super) action: Option<RecordedAction>,
    /// Last launch.
    pub(super) launch: Option<LaunchedSession>,
    /// Last stop command of the running action.
    pub(super) stop_command: Option<ProcessId>,
}

impl ActionRecord {
    pub(super) fn new(component: &Name, boot_id: &str) -> Self {
        let (component, boot_id) = (component.clone(), boot_id.to_owned());
        Self { version: FORMAT_VERSION, component, boot_id, action: None, launch: None, stop_command: None }
    }

    fn is_empty(&self) -> bool {
        self.action.is_none() && self.launch.is_none() && self.stop_command.is_none()
    }
}

/// Action that was begun, and whose end is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordedAction {
    pub(super) kind: ActionKind,
    pub(super) by: Requester,
    /// Start time, for display.
    pub(super) since: Timestamp,
    /// See [`monotonic_ms`].
    pub(super) since_ms: u64,
    /// Time limit of the action, as [`monotonic_ms`].
    pub(super) until_ms: u64,
}

/// Command that was launched to become a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LaunchedSession {
    /// Value of [`LAUNCH_ID`] in the environment of the process and its descendants.
    pub(super) id: String,
    /// Launched process, the leader of its own session.
    pub(super) leader: ProcessId,
    /// Further known members of its session.
    pub(super) members: Vec<ProcessId>,
    /// True if the launch never became the component, as far as is known.
    pub(super) is_unfinished: bool,
    /// Time of the launch, as [`monotonic_ms`].
    pub(super) launched_ms: u64,
    /// Time until which the criteria must match, as [`monotonic_ms`].
    pub(super) deadline_ms: u64,
    /// Folder of the control group.
    pub(super) control_group: Option<PathBuf>,
    /// Logs of the launch, each with its length before it.
    pub(super) logs: Vec<(LogPath, u64)>,
}

/// Environment variable of all launched processes. It identifies a process of a launch in any session and
/// with any parent.
pub(super) const LAUNCH_ID: &str = "RTA_LAUNCH_ID";

/// Returns an unguessable value for [`LAUNCH_ID`].
///
/// # Errors
/// Returns an error if the kernel has no random bytes.
pub(super) fn new_launch_id() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(hex(&bytes))
}

/// Returns the milliseconds of CLOCK_MONOTONIC: the same for every process of one boot, and never set back.
pub(super) fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1000 + u64::try_from(now.tv_nsec).unwrap_or_default() / 1_000_000
}

/// Handle to the thread that writes the records: one after another, so that the last one of a component
/// stays.
#[derive(Clone, Debug)]
pub(super) struct ActionRecordWriter(mpsc::Sender<WriteRequest>);

struct WriteRequest {
    record: ActionRecord,
    written: oneshot::Sender<Result<(), String>>,
}

/// Receiver of the result of a write, with the reason of a failure.
pub(super) type WriteReceiver = oneshot::Receiver<Result<(), String>>;

impl ActionRecordWriter {
    /// Reads the records that an earlier agent left in `folder` in this boot, and starts the writer thread.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if the folder cannot be created or read, or if the thread cannot be
    /// created.
    pub(super) fn open(folder: &Path, boot_id: &str) -> Result<(Self, HashMap<Name, ActionRecord>), String> {
        let folder = folder.join(RECORD_FOLDER);
        let to_error =
            |error: &dyn std::fmt::Display| format!("{} cannot be used: {error}", folder.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| to_error(&error))?;
        let records = read_records(&folder, boot_id).map_err(|error| to_error(&error))?;
        let (writer, requests) = mpsc::channel::<WriteRequest>();
        let write_all = move || {
            for WriteRequest { record, written } in requests {
                let outcome = write_record(&folder, &record);
                if let Err(error) = &outcome {
                    tracing::error!(component = %record.component, error, "action record cannot be written");
                }
                // Not every caller waits for the result.
                let _ = written.send(outcome);
            }
        };
        let thread = std::thread::Builder::new().name("action-records".to_owned()).spawn(write_all);
        thread
            .map_err(|error| format!("the thread that writes action records cannot be started: {error}"))?;
        Ok((Self(writer), records))
    }

    /// Returns a writer whose requests nobody carries out.
    #[cfg(test)]
    pub(super) fn hanging() -> (Self, mpsc::Receiver<impl Sized>) {
        let (writer, requests) = mpsc::channel();
        (Self(writer), requests)
    }

    /// Replaces the stored record of a component.
    pub(super) fn replace(&self, record: ActionRecord) -> WriteReceiver {
        let (written, is_written) = oneshot::channel();
        // If the thread is gone, the receiver returns an error.
        let _ = self.0.send(WriteRequest { record, written });
        is_written
    }
}

fn read_records(folder: &Path, boot_id: &str) -> std::io::Result<HashMap<Name, ActionRecord>> {
    let mut records = HashMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            // A file that was being written when an agent was killed.
            let _ = std::fs::remove_file(&path);
            continue;
        }
        let parsed = std::fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| {
            serde_json::from_slice::<ActionRecord>(&bytes).map_err(|error| error.to_string())
        });
        match parsed {
            Ok(record) if record.boot_id == boot_id && record.version == FORMAT_VERSION => {
                records.insert(record.component.clone(), record);
            }
            Ok(_) => std::fs::remove_file(&path)?,
            Err(error) => {
                // After a power failure the file may be empty; the processes that it recorded are gone then.
                tracing::warn!(path = %path.display(), error, "what an earlier agent launched cannot be read");
                std::fs::remove_file(&path)?;
            }
        }
    }
    Ok(records)
}

fn write_record(folder: &Path, record: &ActionRecord) -> Result<(), String> {
    let path = folder.join(file_name(&record.component));
    let replace = || {
        if record.is_empty() {
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        // The folder may have been removed.
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Only one agent uses the folder, so one name is sufficient.
        let new = path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(record)?)?;
        std::fs::rename(&new, &path)
    };
    replace().map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// Returns a unique and valid file name for any component name.
fn file_name(component: &Name) -> String {
    hex(&Sha256::digest(component.folded()).as_slice()[..16]) + ".json"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(component: &str, boot_id: &str) -> ActionRecord {
        let leader = ProcessId { pid: 7, start_ticks: 70 };
        let launch = LaunchedSession {
            id: new_launch_id().unwrap(),
            leader,
            members: vec![ProcessId { pid: 8, start_ticks: 80 }],
            is_unfinished: true,
            launched_ms: 1,
            deadline_ms: 2,
            control_group: Some("/sys/fs/cgroup/rta".into()),
            logs: vec![(LogPath::own(Path::new("/var/log/x")), 9)],
        };
        let action = RecordedAction {
            kind: ActionKind::Restart,
            by: Requester::autostart(),
            since: Timestamp::UNIX_EPOCH,
            since_ms: 1,
            until_ms: 3,
        };
        let record = ActionRecord::new(&component.into(), boot_id);
        ActionRecord { action: Some(action), launch: Some(launch), stop_command: Some(leader), ..record }
    }

    #[test]
    fn next_agent_of_this_boot_reads_records() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, none) = ActionRecordWriter::open(folder.path(), "boot").unwrap();
        assert!(none.is_empty());
        let (kafka, spark) = (record("Kafka ../server", "boot"), record("spark", "boot"));
        let (old, ended) = (record("old", "earlier boot"), record("ended", "boot"));
        for record in [&kafka, &spark, &old, &ended, &ActionRecord::new(&"ended".into(), "boot")] {
            writer.replace(record.clone()).blocking_recv().unwrap().unwrap();
        }
        // The agent was killed while writing; a power failure.
        std::fs::write(folder.path().join("launches/x.new"), "{").unwrap();
        std::fs::write(folder.path().join("launches/y.json"), "").unwrap();
        let (_, known) = ActionRecordWriter::open(folder.path(), "boot").unwrap();
        assert_eq!(known, HashMap::from([(kafka.component.clone(), kafka), ("spark".into(), spark)]));
        assert_eq!(std::fs::read_dir(folder.path().join("launches")).unwrap().count(), 2);
    }

    #[test]
    fn unwritable_record_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _) = ActionRecordWriter::open(folder.path(), "boot").unwrap();
        std::fs::remove_dir(folder.path().join("launches")).unwrap();
        writer.replace(record("x", "boot")).blocking_recv().unwrap().unwrap();
        std::fs::remove_dir_all(folder.path().join("launches")).unwrap();
        std::fs::write(folder.path().join("launches"), "").unwrap();
        let error = writer.replace(record("x", "boot")).blocking_recv().unwrap().unwrap_err();
        assert!(error.contains("cannot be written: "), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(ActionRecordWriter::open(file.path(), "boot").unwrap_err().contains("cannot be used: "));
    }
}
