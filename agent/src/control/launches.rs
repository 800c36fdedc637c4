//! State of each component's action and launch, of this agent or an earlier one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use tonic::Code;

use super::launch_record::{BegunAction, Launch, Record, RecordWriter, Written};
use super::process_tree::ProcessTree;
use super::refusal::Refusal;

/// Running actions and last launches of all components; clones share them. Stored in the agent's folder if
/// there is one.
#[derive(Clone, Debug)]
pub(crate) struct Launches(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    boot_id: String,
    records: Mutex<HashMap<Name, Record>>,
    writer: Writer,
}

/// Storage of the records.
#[derive(Debug)]
enum Writer {
    /// No storage: no later agent uses the records.
    None,
    Folder(RecordWriter),
    /// The folder cannot be used, so that nothing is started. Carries a sentence.
    Unusable(String),
}

impl Launch {
    /// Returns true if the session with this number still is the one of the launch. A number is not reused as
    /// long as the session has members; a session without a known live member is not trusted.
    pub(super) fn stands(&self, tree: &ProcessTree) -> bool {
        let is_in_it = |id: &ProcessId| {
            tree.is_alive(*id) && tree.get(id.pid).is_some_and(|links| links.session == self.leader.pid)
        };
        is_in_it(&self.leader) || self.members.iter().any(is_in_it)
    }
}

impl Launches {
    /// Loads the records of this boot that an earlier agent stored in `folder`. With `None` nothing is loaded
    /// or stored. If the folder cannot be used, every start is refused, since a start of an earlier agent may
    /// be running. Blocking.
    pub(crate) fn open(folder: Option<&Path>, boot_id: &str) -> Self {
        let opened = folder.map(|folder| RecordWriter::open(folder, boot_id));
        let (writer, records) = match opened {
            None => (Writer::None, HashMap::new()),
            Some(Ok((writer, records))) => (Writer::Folder(writer), records),
            Some(Err(error)) => {
                tracing::error!(error, "nothing can be started: launches cannot be kept");
                (Writer::Unusable(error), HashMap::new())
            }
        };
        let boot_id = boot_id.to_owned();
        Self(Arc::new(Shared { boot_id, records: Mutex::new(records), writer }))
    }

    /// Returns the reason why nothing can be started, as a sentence; `None` if starts are possible.
    pub(crate) fn impairment(&self) -> Option<String> {
        match &self.0.writer {
            Writer::Unusable(error) => {
                Some(format!("nothing can be started: launches cannot be kept: {error}"))
            }
            Writer::None | Writer::Folder(_) => None,
        }
    }

    /// Returns the records of all components.
    pub(super) fn all(&self) -> HashMap<Name, Record> {
        self.with(|records| records.clone())
    }

    /// Returns the last launch of a component.
    pub(super) fn of(&self, component: &Name) -> Option<Launch> {
        self.with(|records| records.get(component)?.launch.clone())
    }

    /// Records the beginning of an action; returns when the record is stored.
    ///
    /// # Errors
    /// Returns an error if the record cannot be stored.
    pub(super) async fn action_begins(&self, component: &Name, action: BegunAction) -> Result<(), Refusal> {
        let written = self.change(component, |record| {
            record.action = Some(action);
            record.stop_command = None;
        });
        self.is_usable()?;
        match written {
            None => Ok(()),
            Some(written) => kept(written.await),
        }
    }

    /// Records the end of the action, successful or not.
    pub(super) fn action_ended(&self, component: &Name) {
        self.change(component, |record| {
            record.action = None;
            record.stop_command = None;
        });
    }

    /// Records a launch; returns when the record is stored. Blocking.
    ///
    /// # Errors
    /// Returns an error if the record cannot be stored.
    pub(super) fn launched(&self, component: &Name, launch: Launch) -> Result<(), Refusal> {
        self.change_now(component, |record| record.launch = Some(launch))
    }

    /// Records the running stop command; returns when the record is stored. Blocking.
    ///
    /// # Errors
    /// Returns an error if the record cannot be stored.
    pub(super) fn stop_command_runs(&self, component: &Name, command: ProcessId) -> Result<(), Refusal> {
        self.change_now(component, |record| record.stop_command = Some(command))
    }

    /// Records the members of the launched session. Once the leader has ended, they prove that the session
    /// still exists.
    pub(super) fn has_members(&self, component: &Name, members: Vec<ProcessId>) {
        self.change(component, |record| {
            if let Some(launch) = &mut record.launch {
                launch.members = members;
            }
        });
    }

    /// Records that the launch became the component, with the processes that matched.
    pub(super) fn finished(&self, component: &Name, matched: Vec<ProcessId>) {
        self.change(component, |record| {
            if let Some(launch) = &mut record.launch {
                launch.members = matched;
                launch.is_unfinished = false;
            }
        });
    }

    /// Records that no process of the launch is left.
    pub(super) fn ended(&self, component: &Name) {
        self.change(component, |record| record.launch = None);
    }

    fn change_now(&self, component: &Name, change: impl FnOnce(&mut Record)) -> Result<(), Refusal> {
        let written = self.change(component, change);
        self.is_usable()?;
        match written {
            None => Ok(()),
            Some(written) => kept(written.blocking_recv()),
        }
    }

    fn is_usable(&self) -> Result<(), Refusal> {
        match &self.0.writer {
            Writer::None | Writer::Folder(_) => Ok(()),
            Writer::Unusable(error) => Err(not_kept(error)),
        }
    }

    /// Changes the record of a component and stores it; `None` if nothing is stored, or nothing changed.
    fn change(&self, component: &Name, change: impl FnOnce(&mut Record)) -> Option<Written> {
        self.with(|records| {
            let new = || Record::new(component, &self.0.boot_id);
            let record = records.entry(component.clone()).or_insert_with(new);
            let before = record.clone();
            change(record);
            // Queued under the lock, so that of two changes the later one stays.
            match &self.0.writer {
                Writer::Folder(writer) if *record != before => Some(writer.replace(record.clone())),
                Writer::Folder(_) | Writer::None | Writer::Unusable(_) => None,
            }
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Name, Record>) -> T) -> T {
        work(&mut self.0.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn kept<E>(written: Result<Result<(), String>, E>) -> Result<(), Refusal> {
    let outcome = written.unwrap_or_else(|_| Err("the thread that keeps launches ended".to_owned()));
    outcome.map_err(|error| not_kept(&error))
}

fn not_kept(error: &str) -> Refusal {
    let reason = format!(
        "nothing was launched, since it could not be noted for the next agent, which might start a second one: {error}"
    );
    Refusal::new(Code::FailedPrecondition, reason)
}

#[cfg(test)]
mod tests {
    use super::super::process_tree::ProcessLinks;
    use super::*;

    fn launch() -> Launch {
        Launch {
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

    #[test]
    fn a_session_stands_while_somebody_known_is_in_it() {
        let launches = Launches::open(None, "");
        let name = Name::from("app");
        let id = |pid| ProcessId { pid, start_ticks: 10 };
        let member = |session| ProcessLinks { start_ticks: 10, parent: 1, group: 7, session };
        launches.launched(&name, launch()).unwrap();
        assert!(launches.of(&name).unwrap().is_unfinished);
        launches.finished(&name, vec![id(8)]);
        let session = launches.of(&name).unwrap();
        assert!(session.stands(&ProcessTree::from_links([(7, member(7))])));
        assert!(session.stands(&ProcessTree::from_links([(8, member(7))])));
        // An unrelated session with the same number.
        assert!(!session.stands(&ProcessTree::from_links([(9, member(7))])));
        assert!(
            !session.stands(&ProcessTree::from_links([(7, ProcessLinks { start_ticks: 11, ..member(7) })]))
        );
        assert!(!session.stands(&ProcessTree::from_links([(8, member(8))])));
    }

    #[test]
    fn next_agent_knows_what_was_launched_and_not_what_ended() {
        let folder = tempfile::tempdir().unwrap();
        let launches = Launches::open(Some(folder.path()), "boot");
        launches.launched(&"app".into(), launch()).unwrap();
        launches.launched(&"gone".into(), launch()).unwrap();
        launches.ended(&"gone".into());
        // One thread writes in order, so earlier records are written by then.
        launches.stop_command_runs(&"app".into(), launch().leader).unwrap();
        let next = Launches::open(Some(folder.path()), "boot");
        assert_eq!(next.all(), launches.all().into_iter().filter(|(name, _)| *name == *"app").collect());
        assert!(Launches::open(Some(folder.path()), "next boot").all().is_empty());
    }

    #[test]
    fn nothing_is_launched_that_cannot_be_kept() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let launches = Launches::open(Some(file.path()), "boot");
        let refusal = launches.launched(&"app".into(), launch()).unwrap_err();
        assert!(
            refusal.reason.starts_with("nothing was launched, since it could not be noted"),
            "{}",
            refusal.reason
        );
    }
}
