//! Process tree with parents, groups and sessions, from one reading of /proc.

use std::collections::HashMap;

use rta_shared::process::ProcessId;
use rustix::io::Errno;

use crate::host::procfs::ProcFs;

/// Properties of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessLinks {
    pub(crate) start_ticks: u64,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    pub(crate) session: u32,
}

/// Live processes by PID, without zombies.
#[derive(Debug, Default)]
pub(crate) struct ProcessTree(HashMap<u32, ProcessLinks>);

impl ProcessTree {
    /// Reads the tree. Blocking.
    ///
    /// # Errors
    /// Returns an error if /proc cannot be read. A process that cannot be read is left out.
    pub(crate) fn read() -> Result<Self, Errno> {
        let mut proc = ProcFs::open()?;
        let mut listed = Vec::new();
        proc.list(&mut listed)?;
        let links = listed.iter().filter_map(|listed| {
            let stat = proc.process(listed.pid).and_then(|folder| folder.stat()).ok()?;
            (!stat.is_zombie).then_some((
                listed.pid,
                ProcessLinks {
                    start_ticks: stat.start_ticks,
                    parent: stat.parent_pid,
                    group: stat.group,
                    session: stat.session,
                },
            ))
        });
        Ok(Self(links.collect()))
    }

    pub(crate) fn get(&self, pid: u32) -> Option<&ProcessLinks> {
        self.0.get(&pid)
    }

    /// Returns the process that has this PID.
    pub(crate) fn id(&self, pid: u32) -> Option<ProcessId> {
        self.get(pid).map(|links| ProcessId { pid, start_ticks: links.start_ticks })
    }

    /// Returns true if this very process lives.
    pub(crate) fn is_alive(&self, id: ProcessId) -> bool {
        self.id(id.pid) == Some(id)
    }

    /// Returns the members of the session that `leader` created.
    pub(crate) fn session_members(&self, leader: ProcessId) -> Vec<ProcessId> {
        let members = self
            .all()
            .filter(|(id, links)| links.session == leader.pid && id.start_ticks >= leader.start_ticks);
        members.map(|(id, _)| id).collect()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (ProcessId, &ProcessLinks)> {
        self.0.iter().map(|(pid, links)| (ProcessId { pid: *pid, start_ticks: links.start_ticks }, links))
    }
}

#[cfg(test)]
impl ProcessTree {
    pub(crate) fn from_links(links: impl IntoIterator<Item = (u32, ProcessLinks)>) -> Self {
        Self(links.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_has_this_process_and_its_parent() {
        let tree = ProcessTree::read().unwrap();
        let own = tree.get(std::process::id()).unwrap();
        assert_eq!(own.parent, std::os::unix::process::parent_id());
        assert!(tree.is_alive(tree.id(own.parent).unwrap()));
        assert!(!tree.is_alive(ProcessId { pid: std::process::id(), start_ticks: own.start_ticks + 1 }));
    }
}
