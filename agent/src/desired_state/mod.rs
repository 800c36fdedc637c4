//! State that outlives the agent: the operators' decisions, maintenance, and the reasons why components are
//! down.

mod state_file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::action::{ActionKind, Requester};
use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::name::Name;
use rta_shared::timing::STORAGE_TIMEOUT;
use tokio::sync::watch;

pub(crate) use self::state_file::{DesiredState, FinishedRun, OperatorDecision, PendingStart, StoredState};
use crate::maintenance::MaintenanceWindow;
use crate::run_history::RunRecord;

/// Pause between a failed write and the next attempt.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// State of the agent; clones share it. Stored in the state folder if there is one.
#[derive(Clone)]
pub(crate) struct DesiredStateStore {
    versioned: Arc<watch::Sender<VersionedState>>,
    written: watch::Receiver<WriteProgress>,
    /// Reason why the stored state cannot be read.
    read_error: Option<String>,
}

/// Number of the last change that was written or failed, with the reason of a failure.
#[derive(Clone, Debug, Default)]
struct WriteProgress {
    changes: u64,
    write_error: Option<String>,
}

#[derive(Clone, Default)]
struct VersionedState {
    stored: StoredState,
    /// Number of changes so far.
    changes: u64,
}

impl DesiredStateStore {
    /// Loads the state from `folder`, and returns the task that stores it there; `None`: nothing outlives the
    /// agent. If the file cannot be read, the state is unknown, which is logged.
    pub(crate) fn open(
        folder: Option<PathBuf>,
        impairments: ImpairmentList,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let mut folder = folder;
        let mut read_error = None;
        let stored = match folder.as_deref().map(state_file::load) {
            None => StoredState::default(),
            Some(Ok(stored)) => stored,
            Some(Err(error)) => {
                tracing::error!(error, "the state file cannot be used: autostart is off and nothing is kept");
                let message = format!(
                    "{error}. Autostart is off for this host, and what operators start and stop is not kept, until \
                     rta-agent is restarted with a file that can be read"
                );
                impairments.set(ImpairedPart::State, Some(message));
                // The file is not overwritten, so that it can be repaired.
                folder = None;
                read_error = Some(error);
                StoredState::default()
            }
        };
        let (versioned, changes) = watch::channel(VersionedState { stored, changes: 0 });
        let (writer, written) = watch::channel(WriteProgress::default());
        let task = write_changes(folder, changes, writer, impairments);
        (Self { versioned: Arc::new(versioned), written, read_error }, task)
    }

    /// Returns a reader of the state that is notified on every change.
    pub(crate) fn subscribe(&self) -> StoredStateReceiver {
        StoredStateReceiver(self.versioned.subscribe())
    }

    /// Returns true if there is a stored state that cannot be read.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.read_error.is_some()
    }

    /// Records that a start of `component` begins in this boot.
    pub(crate) fn add_pending_start(&self, component: &Name, boot_id: &str) {
        let begun = PendingStart { at: Timestamp::now(), boot_id: boot_id.to_owned() };
        self.change(|stored| {
            stored.pending_starts.insert(component.clone(), begun);
            true
        });
    }

    /// Records that the start of `component` has ended, successful or not.
    pub(crate) fn remove_pending_start(&self, component: &Name) {
        self.change(|stored| stored.pending_starts.remove(component).is_some());
    }

    /// Records that an operator has requested `kind` on `component`.
    pub(crate) fn record_decision(&self, component: &Name, kind: ActionKind, by: &Requester) {
        let desired = if kind.starts() { DesiredState::Running } else { DesiredState::Stopped };
        let word = OperatorDecision { desired, by: by.clone(), at: Timestamp::now() };
        self.change(|stored| {
            stored.finished.remove(component);
            stored.decisions.insert(component.clone(), word);
            true
        });
    }

    /// Records the clean end of `component` after which it is not to be restarted; `None` removes it.
    pub(crate) fn set_finished(&self, component: &Name, finished: Option<&FinishedRun>) {
        self.change(|stored| match finished {
            Some(finished) if stored.finished.get(component) == Some(finished) => false,
            Some(finished) => {
                stored.finished.insert(component.clone(), finished.clone());
                true
            }
            None => stored.finished.remove(component).is_some(),
        });
    }

    /// Replaces the maintenance windows.
    pub(crate) fn set_maintenance(&self, maintenance: Vec<MaintenanceWindow>) {
        self.change(|stored| {
            let is_changed = stored.maintenance != maintenance;
            stored.maintenance = maintenance;
            is_changed
        });
    }

    /// Replaces the run records.
    pub(crate) fn set_runs(&self, runs: &BTreeMap<Name, RunRecord>) {
        self.change(|stored| {
            let is_changed = stored.runs != *runs;
            stored.runs.clone_from(runs);
            is_changed
        });
    }

    /// Raises the highest epoch of an aggregator that leads this environment (empty: all environments) to
    /// `epoch`. Returns true if it was lower.
    ///
    /// # Errors
    /// Returns the highest epoch if it is higher than `epoch`. An aggregator that led all environments
    /// led this one, too; one that leads all of them is compared with each.
    pub(crate) fn raise_leader_epoch(&self, environment: &str, epoch: u64) -> Result<bool, u64> {
        let (mut highest, mut is_raised) = (0, false);
        self.change(|stored| {
            let of_one = match environment.is_empty() {
                true => stored.environment_epochs.values().copied().max(),
                false => stored.environment_epochs.get(&Name::from(environment)).copied(),
            };
            highest = stored.leader_epoch.max(of_one.unwrap_or(0));
            is_raised = epoch > highest;
            if is_raised && environment.is_empty() {
                stored.leader_epoch = epoch;
            } else if is_raised {
                stored.environment_epochs.insert(Name::from(environment), epoch);
            }
            is_raised
        });
        if highest > epoch { Err(highest) } else { Ok(is_raised) }
    }

    /// Waits until all earlier changes are on the disk; at most a second, since a disk that hangs must not
    /// delay an answer.
    ///
    /// # Errors
    /// Returns an error with the reason why they are not on the disk; the write is repeated. Without a state
    /// folder it always succeeds.
    pub(crate) async fn wait_until_written(&self) -> Result<(), String> {
        if let Some(reason) = &self.read_error {
            return Err(reason.clone());
        }
        let changes = self.versioned.borrow().changes;
        let mut written = self.written.clone();
        let waited =
            tokio::time::timeout(STORAGE_TIMEOUT, written.wait_for(|written| written.changes >= changes))
                .await;
        match waited {
            Ok(Ok(written)) => written.write_error.clone().map_or(Ok(()), Err),
            Ok(Err(_)) => Err("the agent is shutting down".to_owned()),
            Err(_) => {
                Err(format!("the disk of the state folder takes longer than {} s", STORAGE_TIMEOUT.as_secs()))
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut StoredState) -> bool) {
        self.versioned.send_if_modified(|versioned| {
            let is_changed = change(&mut versioned.stored);
            versioned.changes += u64::from(is_changed);
            is_changed
        });
    }
}

/// Reader of the state.
pub(crate) struct StoredStateReceiver(watch::Receiver<VersionedState>);

impl StoredStateReceiver {
    /// Returns the current state, and marks it as seen.
    pub(crate) fn read(&mut self) -> StoredState {
        self.0.borrow_and_update().stored.clone()
    }

    /// Waits for a change after the last [`StoredStateReceiver::read`]. Returns false if there will be none.
    pub(crate) async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// Writes the state into `folder` after each change, and again after a failure.
async fn write_changes(
    folder: Option<PathBuf>,
    mut versioned: watch::Receiver<VersionedState>,
    written: watch::Sender<WriteProgress>,
    impairments: ImpairmentList,
) {
    let mut write_error: Option<String> = None;
    loop {
        let (stored, changes) = {
            let versioned = versioned.borrow_and_update();
            (versioned.stored.clone(), versioned.changes)
        };
        if let Some(folder) =
            folder.clone().filter(|_| changes > written.borrow().changes || write_error.is_some())
        {
            let storing = tokio::task::spawn_blocking(move || state_file::store(&folder, &stored));
            let now = match storing.await {
                Ok(stored) => stored.err(),
                Err(error) => Some(format!("the agent failed: {error}")),
            };
            match &now {
                Some(error) if write_error != now => {
                    tracing::error!(error, "an operator's last word would be forgotten with this agent");
                }
                None if write_error.is_some() => tracing::info!("what operators want is kept again"),
                Some(_) | None => {}
            }
            let message = |error: &String| {
                format!(
                    "{error}. What operators start and stop is forgotten when rta-agent ends; it is tried again every \
                     {} s",
                    RETRY_INTERVAL.as_secs()
                )
            };
            impairments.set(ImpairedPart::State, now.as_ref().map(message));
            write_error = now;
        }
        written.send_replace(WriteProgress { changes, write_error: write_error.clone() });
        tokio::select! {
            changed = versioned.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(RETRY_INTERVAL), if write_error.is_some() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn decision_is_known_to_the_next_agent() {
        let folder = tempfile::tempdir().unwrap();
        let by = Requester { user: "ann".into(), address: String::new() };
        let (memory, task) =
            DesiredStateStore::open(Some(folder.path().to_owned()), ImpairmentList::default());
        let task = tokio::spawn(task);
        memory.record_decision(&"kafka".into(), ActionKind::Start, &by);
        memory.record_decision(&"spark".into(), ActionKind::Stop, &by);
        let quiet = MaintenanceWindow { component: None, until: None };
        memory.set_maintenance(vec![quiet.clone()]);
        memory.wait_until_written().await.unwrap();
        task.abort();

        let (next, _task) =
            DesiredStateStore::open(Some(folder.path().to_owned()), ImpairmentList::default());
        let known = next.subscribe().read();
        assert_eq!(known.decisions.get("kafka").map(|word| word.desired), Some(DesiredState::Running));
        assert_eq!(
            known.decisions.get("spark").map(|word| (word.desired, &word.by)),
            Some((DesiredState::Stopped, &by))
        );
        assert_eq!(known.maintenance, [quiet]);
    }

    #[tokio::test]
    async fn lower_epoch_is_refused_by_the_next_agent_too() {
        let folder = tempfile::tempdir().unwrap();
        let (memory, task) =
            DesiredStateStore::open(Some(folder.path().to_owned()), ImpairmentList::default());
        let task = tokio::spawn(task);
        let raised = [0, 3, 3, 5].map(|epoch| memory.raise_leader_epoch("ITG", epoch));
        assert_eq!(raised, [Ok(false), Ok(true), Ok(false), Ok(true)]);
        assert_eq!([4, 0].map(|epoch| memory.raise_leader_epoch("itg", epoch)), [Err(5); 2]);
        memory.wait_until_written().await.unwrap();
        task.abort();
        let (next, _task) =
            DesiredStateStore::open(Some(folder.path().to_owned()), ImpairmentList::default());
        assert_eq!([4, 5].map(|epoch| next.raise_leader_epoch("ITG", epoch)), [Err(5), Ok(false)]);
    }

    #[tokio::test]
    async fn each_environment_has_its_own_epoch_and_a_leader_of_all_needs_the_highest() {
        let (stored, _task) = DesiredStateStore::open(None, ImpairmentList::default());
        assert_eq!(stored.raise_leader_epoch("ITG", 5), Ok(true));
        assert_eq!(stored.raise_leader_epoch("DEV", 2), Ok(true));
        assert_eq!(stored.raise_leader_epoch("ITG", 4), Err(5));
        assert_eq!(stored.raise_leader_epoch("DEV", 2), Ok(false));
        assert_eq!(stored.raise_leader_epoch("", 4), Err(5));
        assert_eq!(stored.raise_leader_epoch("", 6), Ok(true));
        assert_eq!(["ITG", "DEV"].map(|one| stored.raise_leader_epoch(one, 5)), [Err(6); 2]);
        assert_eq!(stored.raise_leader_epoch("DEV", 6), Ok(false));
        assert_eq!(stored.raise_leader_epoch("DEV", 7), Ok(true));
        assert_eq!(stored.raise_leader_epoch("", 6), Err(7));
    }

    #[tokio::test]
    async fn unwritable_folder_stops_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state");
        let impairments = ImpairmentList::default();
        let (memory, task) = DesiredStateStore::open(Some(folder.clone()), impairments.clone());
        std::fs::write(folder, "a file, no folder").unwrap();
        tokio::spawn(task);
        memory.record_decision(&"kafka".into(), ActionKind::Start, &Requester::default());
        let error = memory.wait_until_written().await.unwrap_err();
        assert!(error.contains("agent.json cannot be written: "), "{error}");
        assert!(memory.subscribe().read().decisions.contains_key("kafka"));
        let to_error = impairments.all();
        assert_eq!((to_error.len(), to_error[0].part), (1, ImpairedPart::State));
        assert!(to_error[0].message.contains("agent.json cannot be written: "), "{}", to_error[0].message);
    }

    #[tokio::test]
    async fn a_damaged_file_is_reported_as_an_impairment() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("agent.json"), "{").unwrap();
        let impairments = ImpairmentList::default();
        let (memory, _task) = DesiredStateStore::open(Some(folder.path().to_owned()), impairments.clone());
        assert!(memory.is_unreadable());
        let message = &impairments.all()[0].message;
        assert!(message.contains("agent.json cannot be read") && message.contains("Autostart is off"));
    }
}
