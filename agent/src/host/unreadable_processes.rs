//! Sentences on processes that a scan cannot read or classify.

use std::collections::BTreeMap;

use rustix::io::Errno;

use crate::host::process_matcher::ProcessCandidate;

/// Remedy for unreadable processes.
const REMEDY: &str = "run the agent as root or give it CAP_SYS_PTRACE";

/// Reasons why some processes of components may be unseen. A component with unseen processes is not reported
/// as stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnreadableProcesses {
    /// Reason if some processes cannot be read at all: they may belong to any component.
    any: Option<String>,
    /// Reason for each component, by its position, with processes that cannot be classified.
    components: BTreeMap<usize, String>,
}

impl UnreadableProcesses {
    pub(crate) fn new<'c>(
        unreadable: &BTreeMap<u32, Errno>,
        candidates: impl Iterator<Item = &'c ProcessCandidate>,
    ) -> Self {
        let mut components: BTreeMap<usize, (u32, String)> = BTreeMap::new();
        for candidate in candidates {
            let pid = candidate.process.id.pid;
            for (part, reason) in &candidate.doubts {
                let first = components.entry(part.component).or_insert_with(|| (pid, reason.clone()));
                // Of several reasons, that of the lowest PID, so that the choice is stable.
                if pid < first.0 {
                    *first = (pid, reason.clone());
                }
            }
        }
        let components = components.into_iter().map(|(component, (pid, reason))| {
            (component, format!("pid {pid} may be it, and {reason}; {REMEDY}"))
        });
        Self { any: describe_unreadable(unreadable), components: components.collect() }
    }

    /// Returns the reason why processes of the component at this position may be unseen; `None` if all are
    /// seen.
    pub(crate) fn reason_for(&self, component: usize) -> Option<String> {
        self.components.get(&component).or(self.any.as_ref()).cloned()
    }
}

/// Returns a sentence on unreadable processes; `None` if there are none.
fn describe_unreadable(unreadable: &BTreeMap<u32, Errno>) -> Option<String> {
    let (pid, error) = unreadable.first_key_value()?;
    let others = match unreadable.len() - 1 {
        0 => String::new(),
        1 => ", nor that of another one".to_owned(),
        others => format!(", nor those of {others} others"),
    };
    Some(format!("the command line of pid {pid} cannot be read{others}: {error}; {REMEDY}"))
}
