//! Which session the agent began for each component.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rta_shared::name::Name;
use rta_shared::process::ProcessId;

use super::table::Table;

/// The sessions that the agent began since it runs, the last one for each component.
#[derive(Clone, Debug, Default)]
pub(super) struct Launches(Arc<Mutex<HashMap<Name, Session>>>);

/// A session that the agent began.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// The launched process.
    pub(super) leader: ProcessId,
    /// More processes that are known to be of it.
    members: Vec<ProcessId>,
    /// What was launched never became the component, as far as is known.
    pub(super) is_unfinished: bool,
}

impl Session {
    /// Whether the session with its number is still this one. A number is not given anew as long as a session
    /// has members; of one that has lost all that is known of it, nothing is believed.
    pub(super) fn stands(&self, table: &Table) -> bool {
        let is_in_it = |id: &ProcessId| {
            table.lives(*id) && table.get(id.pid).is_some_and(|kin| kin.session == self.leader.pid)
        };
        is_in_it(&self.leader) || self.members.iter().any(is_in_it)
    }
}

impl Launches {
    /// Remembers what was launched for a component.
    pub(super) fn began(&self, component: &Name, leader: ProcessId) {
        let session = Session { leader, members: Vec::new(), is_unfinished: true };
        self.with(|sessions| drop(sessions.insert(component.clone(), session)));
    }

    /// Remembers who is in its session: of one that has lost its leader, others tell that it stands.
    pub(super) fn has_members(&self, component: &Name, members: Vec<ProcessId>) {
        self.with(|sessions| {
            if let Some(session) = sessions.get_mut(component) {
                session.members = members;
            }
        });
    }

    /// What was launched became the component: these matched.
    pub(super) fn finished(&self, component: &Name, matched: Vec<ProcessId>) {
        self.with(|sessions| {
            if let Some(session) = sessions.get_mut(component) {
                session.members = matched;
                session.is_unfinished = false;
            }
        });
    }

    /// Nothing of what was launched is left.
    pub(super) fn ended(&self, component: &Name) {
        self.with(|sessions| drop(sessions.remove(component)));
    }

    pub(super) fn of(&self, component: &Name) -> Option<Session> {
        self.with(|sessions| sessions.get(component).cloned())
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Name, Session>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Kin;
    use super::*;

    #[test]
    fn a_session_stands_while_somebody_known_is_in_it() {
        let launches = Launches::default();
        let name = Name::from("app");
        let id = |pid| ProcessId { pid, start_ticks: 10 };
        let member = |session| Kin { start_ticks: 10, parent: 1, group: 7, session };
        launches.began(&name, id(7));
        assert!(launches.of(&name).unwrap().is_unfinished);
        launches.finished(&name, vec![id(8)]);
        let session = launches.of(&name).unwrap();
        assert!(session.stands(&Table::of([(7, member(7))])));
        assert!(session.stands(&Table::of([(8, member(7))])));
        // Somebody else's session of the same number.
        assert!(!session.stands(&Table::of([(9, member(7))])));
        assert!(!session.stands(&Table::of([(7, Kin { start_ticks: 11, ..member(7) })])));
        assert!(!session.stands(&Table::of([(8, member(8))])));
    }
}
