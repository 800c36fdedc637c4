//! State of each component's action and launch, of this agent or an earlier one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use rta_shared::timing::STORAGE_TIMEOUT;
use tokio::sync::oneshot::error::TryRecvError;

use super::action_record::{
    ActionRecord, ActionRecordWriter, LaunchedSession, RecordedAction, WriteReceiver,
};
use super::error::{ActionError, ActionErrorKind};
use crate::host::process_tree::ProcessTree;

/// Time limit for a record without which nothing is launched.
const LAUNCH_RECORD_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval between two checks whether a record is stored.
const WRITTEN_CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// Running actions and last launches of all components; clones share them. Stored in the agent's folder if
/// there is one.
#[derive(Clone, Debug)]
pub(crate) struct ActionRecords(Arc<SharedRecords>);

#[derive(Debug)]
struct SharedRecords {
    boot_id: String,
    records: Mutex<HashMap<Name, ActionRecord>>,
    writer: RecordStorage,
}

/// Storage of the records.
#[derive(Debug)]
enum RecordStorage {
    /// No storage: no later agent uses the records.
    None,
    Folder(ActionRecordWriter),
    /// The folder cannot be used, so that nothing is started. Carries a sentence.
    Unusable(String),
}

impl LaunchedSession {
    /// Returns true if the session with this number still is the one of the launch. A number is not reused as
    /// long as the session has members; a session without a known live member is not trusted.
    pub(super) fn is_session_alive(&self, tree: &ProcessTree) -> bool {
        let is_in_it = |id: &ProcessId| {
            tree.is_alive(*id) && tree.get(id.pid).is_some_and(|links| links.session == self.leader.pid)
        };
        is_in_it(&self.leader) || self.members.iter().any(is_in_it)
    }
}

impl ActionRecords {
    /// Loads the records of this boot that an earlier agent stored in `folder`. With `None` nothing is loaded
    /// or stored. If the folder cannot be used, every start is refused, since a start of an earlier agent may
    /// be running. Blocking.
    pub(crate) fn open(folder: Option<&Path>, boot_id: &str) -> Self {
        let opened = folder.map(|folder| ActionRecordWriter::open(folder, boot_id));
        let (writer, records) = match opened {
            None => (RecordStorage::None, HashMap::new()),
            Some(Ok((writer, records))) => (RecordStorage::Folder(writer), records),
            Some(Err(error)) => {
                tracing::error!(error, "nothing can be started: launches cannot be kept");
                (RecordStorage::Unusable(error), HashMap::new())
            }
        };
        let boot_id = boot_id.to_owned();
        Self(Arc::new(SharedRecords { boot_id, records: Mutex::new(records), writer }))
    }

    /// Returns the reason why nothing can be started, as a sentence; `None` if starts are possible.
    pub(crate) fn impairment(&self) -> Option<String> {
        match &self.0.writer {
            RecordStorage::Unusable(error) => {
                Some(format!("nothing can be started: launches cannot be kept: {error}"))
            }
            RecordStorage::None | RecordStorage::Folder(_) => None,
        }
    }

    /// Returns the records of all components.
    pub(super) fn all(&self) -> HashMap<Name, ActionRecord> {
        self.with(|records| records.clone())
    }

    /// Returns the last launch of a component.
    pub(super) fn last_launch(&self, component: &Name) -> Option<LaunchedSession> {
        self.with(|records| records.get(component)?.launch.clone())
    }

    /// Records the beginning of an action; returns when the record is stored. A stop, which is performed
    /// whatever the result, waits for one second at most: a disk that hangs must not delay it.
    ///
    /// # Errors
    /// Returns an error if the record cannot be stored, or is not stored in time.
    pub(super) async fn record_action(
        &self,
        component: &Name,
        action: RecordedAction,
    ) -> Result<(), ActionError> {
        let limit = if action.kind.starts() { LAUNCH_RECORD_TIMEOUT } else { STORAGE_TIMEOUT };
        let written = self.change(component, |record| {
            record.action = Some(action);
            record.stop_command = None;
        });
        self.check_usable()?;
        match written {
            None => Ok(()),
            Some(written) => match tokio::time::timeout(limit, written).await {
                Ok(written) => check_written(written),
                Err(_) => Err(cannot_record(&late(limit))),
            },
        }
    }

    /// Records the end of the action, successful or not.
    pub(super) fn remove_action(&self, component: &Name) {
        self.change(component, |record| {
            record.action = None;
            record.stop_command = None;
        });
    }

    /// Records a launch; returns when the record is stored. Blocking.
    ///
    /// # Errors
    /// Returns an error if the record cannot be stored, or is not stored in time.
    pub(super) fn record_launch(&self, component: &Name, launch: LaunchedSession) -> Result<(), ActionError> {
        self.change_blocking(component, LAUNCH_RECORD_TIMEOUT, |record| record.launch = Some(launch))
    }

    /// Records the running stop command; returns when the record is stored. Blocking.
    ///
    /// # Errors
    /// Returns an error if the record cannot be stored, or is not stored within a second.
    pub(super) fn record_stop_command(
        &self,
        component: &Name,
        command: ProcessId,
    ) -> Result<(), ActionError> {
        self.change_blocking(component, STORAGE_TIMEOUT, |record| record.stop_command = Some(command))
    }

    /// Records the members of the launched session. Once the leader has ended, they prove that the session
    /// still exists.
    pub(super) fn record_members(&self, component: &Name, members: Vec<ProcessId>) {
        self.change(component, |record| {
            if let Some(launch) = &mut record.launch {
                launch.members = members;
            }
        });
    }

    /// Records that the launch became the component, with the processes that matched.
    pub(super) fn record_matched(&self, component: &Name, matched: Vec<ProcessId>) {
        self.change(component, |record| {
            if let Some(launch) = &mut record.launch {
                launch.members = matched;
                launch.is_unfinished = false;
            }
        });
    }

    /// Records that no process of the launch is left.
    pub(super) fn remove_launch(&self, component: &Name) {
        self.change(component, |record| record.launch = None);
    }

    fn change_blocking(
        &self,
        component: &Name,
        limit: Duration,
        change: impl FnOnce(&mut ActionRecord),
    ) -> Result<(), ActionError> {
        let written = self.change(component, change);
        self.check_usable()?;
        let Some(mut written) = written else { return Ok(()) };
        let began = Instant::now();
        loop {
            match written.try_recv() {
                Ok(outcome) => return check_written(Ok::<_, TryRecvError>(outcome)),
                Err(TryRecvError::Closed) => return check_written(Err(TryRecvError::Closed)),
                Err(TryRecvError::Empty) if began.elapsed() >= limit => {
                    return Err(cannot_record(&late(limit)));
                }
                Err(TryRecvError::Empty) => std::thread::sleep(WRITTEN_CHECK_INTERVAL),
            }
        }
    }

    fn check_usable(&self) -> Result<(), ActionError> {
        match &self.0.writer {
            RecordStorage::None | RecordStorage::Folder(_) => Ok(()),
            RecordStorage::Unusable(error) => Err(cannot_record(error)),
        }
    }

    /// Changes the record of a component and stores it; `None` if nothing is stored, or nothing changed.
    fn change(&self, component: &Name, change: impl FnOnce(&mut ActionRecord)) -> Option<WriteReceiver> {
        self.with(|records| {
            let new = || ActionRecord::new(component, &self.0.boot_id);
            let record = records.entry(component.clone()).or_insert_with(new);
            let before = record.clone();
            change(record);
            // Queued under the lock, so that of two changes the later one stays.
            match &self.0.writer {
                RecordStorage::Folder(writer) if *record != before => Some(writer.replace(record.clone())),
                RecordStorage::Folder(_) | RecordStorage::None | RecordStorage::Unusable(_) => None,
            }
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Name, ActionRecord>) -> T) -> T {
        work(&mut self.0.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn check_written<E>(written: Result<Result<(), String>, E>) -> Result<(), ActionError> {
    let outcome = written.unwrap_or_else(|_| Err("the thread that keeps launches ended".to_owned()));
    outcome.map_err(|error| cannot_record(&error))
}

fn late(limit: Duration) -> String {
    format!("the disk of the state folder takes longer than {} s", limit.as_secs())
}

fn cannot_record(error: &str) -> ActionError {
    let reason = format!(
        "nothing was launched, since it could not be noted for the next agent, which might start a second one: {error}"
    );
    ActionError::new(ActionErrorKind::PreconditionFailed, reason)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::action::{ActionKind, Requester};

    use super::*;
    use crate::host::process_tree::ProcessLinks;

    fn launch() -> LaunchedSession {
        LaunchedSession {
            id: String::new(),
            leader: ProcessId { pid: 7, start_ticks: 10 },
            members: vec![],
            is_unfinished: true,
            launched_ms: 0,
            deadline_ms: 0,
            control_group: None,
            logs: vec![],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn disk_that_hangs_delays_a_stop_for_a_second_and_refuses_a_start() {
        let (writer, _requests) = ActionRecordWriter::hanging();
        let records = ActionRecords(Arc::new(SharedRecords {
            boot_id: String::new(),
            records: Mutex::default(),
            writer: RecordStorage::Folder(writer),
        }));
        let waited = async |kind| {
            let began = tokio::time::Instant::now();
            let by = Requester::default();
            let action = RecordedAction { kind, by, since: Timestamp::UNIX_EPOCH, since_ms: 0, until_ms: 0 };
            let error = records.record_action(&"app".into(), action).await.unwrap_err();
            (began.elapsed().as_secs(), error.reason)
        };
        let (stop, start) = (waited(ActionKind::Stop).await, waited(ActionKind::Start).await);
        assert_eq!((stop.0, start.0), (1, 10));
        assert!(start.1.ends_with("the disk of the state folder takes longer than 10 s"), "{}", start.1);
    }

    #[test]
    fn session_is_alive_while_a_known_member_lives() {
        let launches = ActionRecords::open(None, "");
        let name = Name::from("app");
        let id = |pid| ProcessId { pid, start_ticks: 10 };
        let member = |session| ProcessLinks { start_ticks: 10, parent: 1, group: 7, session };
        launches.record_launch(&name, launch()).unwrap();
        assert!(launches.last_launch(&name).unwrap().is_unfinished);
        launches.record_matched(&name, vec![id(8)]);
        let session = launches.last_launch(&name).unwrap();
        assert!(session.is_session_alive(&ProcessTree::from_links([(7, member(7))])));
        assert!(session.is_session_alive(&ProcessTree::from_links([(8, member(7))])));
        // An unrelated session with the same number.
        assert!(!session.is_session_alive(&ProcessTree::from_links([(9, member(7))])));
        assert!(!session.is_session_alive(&ProcessTree::from_links([(
            7,
            ProcessLinks { start_ticks: 11, ..member(7) }
        )])));
        assert!(!session.is_session_alive(&ProcessTree::from_links([(8, member(8))])));
    }

    #[test]
    fn next_agent_loads_launches_and_not_ended_ones() {
        let folder = tempfile::tempdir().unwrap();
        let launches = ActionRecords::open(Some(folder.path()), "boot");
        launches.record_launch(&"app".into(), launch()).unwrap();
        launches.record_launch(&"gone".into(), launch()).unwrap();
        launches.remove_launch(&"gone".into());
        // One thread writes in order, so earlier records are written by then.
        launches.record_stop_command(&"app".into(), launch().leader).unwrap();
        let next = ActionRecords::open(Some(folder.path()), "boot");
        assert_eq!(next.all(), launches.all().into_iter().filter(|(name, _)| *name == *"app").collect());
        assert!(ActionRecords::open(Some(folder.path()), "next boot").all().is_empty());
    }

    #[test]
    fn launch_that_cannot_be_recorded_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let launches = ActionRecords::open(Some(file.path()), "boot");
        let error = launches.record_launch(&"app".into(), launch()).unwrap_err();
        assert!(
            error.reason.starts_with("nothing was launched, since it could not be noted"),
            "{}",
            error.reason
        );
    }
}
