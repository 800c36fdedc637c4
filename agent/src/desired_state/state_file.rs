//! State file of the agent: small JSON, replaced as a whole.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::name::Name;
use serde::{Deserialize, Serialize};

use crate::maintenance::MaintenanceWindow;
use crate::run_history::RunRecord;

/// Name of the file in its folder.
const FILE_NAME: &str = "agent.json";
/// Version of the file format.
const FORMAT_VERSION: u32 = 1;

/// State that an agent stores for its successors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredState {
    /// Last decision of an operator on each component.
    pub(crate) decisions: BTreeMap<Name, OperatorDecision>,
    /// Components that ended cleanly by themselves, and are not to be restarted.
    pub(crate) finished: BTreeMap<Name, FinishedRun>,
    /// Running starts.
    pub(crate) pending_starts: BTreeMap<Name, PendingStart>,
    pub(crate) maintenance: Vec<MaintenanceWindow>,
    /// Last run or end of each component.
    pub(crate) runs: BTreeMap<Name, RunRecord>,
    /// Highest epoch of an aggregator that leads all environments; 0: there was only one aggregator.
    pub(crate) leader_epoch: u64,
    /// Highest epoch of an aggregator that leads an environment.
    pub(crate) environment_epochs: BTreeMap<Name, u64>,
}

/// Last decision of an operator on a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OperatorDecision {
    pub(crate) desired: DesiredState,
    pub(crate) by: Requester,
    /// Time by the host's clock.
    pub(crate) at: Timestamp,
}

/// State that an operator wants for a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DesiredState {
    /// Started by an operator.
    Running,
    /// Stopped by an operator.
    Stopped,
}

/// Clean end of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinishedRun {
    pub(crate) at: Timestamp,
    /// Boot of the end: a component that a shutdown ended is wanted again after it.
    pub(crate) boot_id: String,
    /// Cause of the end. The default `with exit status 0` was the only clean end before this field existed.
    #[serde(default = "with_status_0")]
    pub(crate) how: String,
}

fn with_status_0() -> String {
    "with exit status 0".to_owned()
}

/// Start that was begun, and whose end no agent has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingStart {
    pub(crate) at: Timestamp,
    /// Boot of the start: it is void after the next one.
    pub(crate) boot_id: String,
}

#[derive(Serialize, Deserialize)]
struct StateFileContent {
    version: u32,
    #[serde(default)]
    words: BTreeMap<Name, OperatorDecision>,
    #[serde(default)]
    finished: BTreeMap<Name, FinishedRun>,
    #[serde(default)]
    begun: BTreeMap<Name, PendingStart>,
    #[serde(default)]
    maintenance: Vec<MaintenanceWindow>,
    #[serde(default)]
    runs: BTreeMap<Name, RunRecord>,
    #[serde(default)]
    leader_epoch: u64,
    #[serde(default)]
    environment_epochs: BTreeMap<Name, u64>,
}

/// Loads the state from the folder; empty if the file does not exist yet.
///
/// # Errors
/// Returns an error, with a sentence, if the file cannot be read. The file is left unchanged, so that it can
/// be repaired.
pub(crate) fn load(folder: &Path) -> Result<StoredState, String> {
    let path = folder.join(FILE_NAME);
    let to_error = |error: &dyn std::fmt::Display| format!("{} cannot be read: {error}", path.display());
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(StoredState::default()),
        Err(error) => return Err(to_error(&error)),
    };
    let parsed = serde_json::from_slice::<StateFileContent>(&bytes).map_err(|error| error.to_string());
    let parsed = parsed.and_then(|content| match content.version {
        FORMAT_VERSION => Ok(content),
        other => Err(format!("it has version {other}, and this agent knows {FORMAT_VERSION}")),
    });
    match parsed {
        Ok(content) => Ok(StoredState {
            decisions: content.words,
            finished: content.finished,
            pending_starts: content.begun,
            maintenance: content.maintenance,
            runs: content.runs,
            leader_epoch: content.leader_epoch,
            environment_epochs: content.environment_epochs,
        }),
        Err(error) => Err(format!("{}; repair it, or move it away to start without it", to_error(&error))),
    }
}

/// Replaces the file atomically: a reader, or an agent that starts after a crash, finds the old or the new
/// one.
///
/// # Errors
/// Returns an error, with a sentence, if the file cannot be written; the old one stays.
pub(crate) fn store(folder: &Path, stored: &StoredState) -> Result<(), String> {
    let path = folder.join(FILE_NAME);
    let stored = stored.clone();
    let content = StateFileContent {
        version: FORMAT_VERSION,
        words: stored.decisions,
        finished: stored.finished,
        begun: stored.pending_starts,
        maintenance: stored.maintenance,
        runs: stored.runs,
        leader_epoch: stored.leader_epoch,
        environment_epochs: stored.environment_epochs,
    };
    let replace = || -> std::io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Only one agent uses the folder, so one name is sufficient, and a crash leaves at most that file.
        let new: PathBuf = folder.join(format!("{FILE_NAME}.new"));
        // Operators' names and lines of logs are nobody else's.
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(&content)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(folder)?.sync_all()
    };
    replace().map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> StoredState {
        let by = Requester { user: "ann".into(), address: "10.0.0.7".into() };
        let word = OperatorDecision { desired: DesiredState::Stopped, by, at: Timestamp::UNIX_EPOCH };
        let finished = FinishedRun { at: Timestamp::UNIX_EPOCH, boot_id: "b".into(), how: with_status_0() };
        StoredState {
            decisions: BTreeMap::from([("Kafka server".into(), word)]),
            finished: BTreeMap::from([("job".into(), finished)]),
            pending_starts: BTreeMap::from([(
                "job".into(),
                PendingStart { at: Timestamp::UNIX_EPOCH, boot_id: "b".into() },
            )]),
            maintenance: vec![
                MaintenanceWindow { component: None, until: None },
                MaintenanceWindow { component: Some("job".into()), until: Some(Timestamp::UNIX_EPOCH) },
            ],
            runs: BTreeMap::from([("job".into(), RunRecord::new(Timestamp::UNIX_EPOCH))]),
            leader_epoch: 7,
            environment_epochs: BTreeMap::from([("ITG".into(), 9)]),
        }
    }

    #[test]
    fn stored_state_is_loaded_and_folder_is_created() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("a/b");
        assert_eq!(load(&folder), Ok(StoredState::default()));
        store(&folder, &stored()).unwrap();
        assert_eq!(load(&folder), Ok(stored()));
        store(&folder, &StoredState::default()).unwrap();
        assert_eq!(load(&folder), Ok(StoredState::default()));
        let names: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["agent.json"]);
    }

    #[test]
    fn invalid_file_is_reported_and_left_unchanged() {
        for content in ["{\"version\": 1, \"words\": {\"kaf", "{\"version\": 7}", "[]", ""] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("agent.json"), content).unwrap();
            let sentence = load(folder.path()).unwrap_err();
            assert!(sentence.contains("agent.json cannot be read: "), "{sentence}");
            assert_eq!(std::fs::read_to_string(folder.path().join("agent.json")).unwrap(), content);
        }
    }

    #[test]
    fn handwritten_file_may_omit_fields() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("agent.json"), "{\"version\": 1}").unwrap();
        assert_eq!(load(folder.path()), Ok(StoredState::default()));
    }

    #[test]
    fn write_failure_is_reported() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = store(&file.path().join("below"), &StoredState::default()).unwrap_err();
        assert!(error.contains("agent.json cannot be written: "), "{error}");
        assert!(load(file.path()).unwrap_err().contains("agent.json cannot be read: "));
    }
}
