//! What a look at the processes does not show, as sentences.

use std::collections::BTreeMap;

use rustix::io::Errno;

use crate::inspect::Candidate;

/// What helps against it.
const REMEDY: &str = "run the agent as root or give it CAP_SYS_PTRACE";

/// Why the processes of components may not all be seen. What cannot be seen is not stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unseen {
    /// Some processes cannot be read at all: they may be anybody's.
    any: Option<String>,
    /// Of some it cannot be told whether they are these components', which are known by their positions.
    components: BTreeMap<usize, String>,
}

impl Unseen {
    pub(crate) fn new<'c>(
        unreadable: &BTreeMap<u32, Errno>,
        candidates: impl Iterator<Item = &'c Candidate>,
    ) -> Self {
        let mut components: BTreeMap<usize, (u32, String)> = BTreeMap::new();
        for candidate in candidates {
            let pid = candidate.process.id.pid;
            for (part, reason) in &candidate.doubts {
                let told = components.entry(part.component).or_insert_with(|| (pid, reason.clone()));
                // Always the same one of several.
                if pid < told.0 {
                    *told = (pid, reason.clone());
                }
            }
        }
        let components = components.into_iter().map(|(component, (pid, reason))| {
            (component, format!("pid {pid} may be it, and {reason}; {REMEDY}"))
        });
        Self { any: any(unreadable), components: components.collect() }
    }

    /// Returns why the processes of the component at this position may not all be seen; `None` where they are.
    pub(crate) fn of(&self, component: usize) -> Option<String> {
        self.components.get(&component).or(self.any.as_ref()).cloned()
    }
}

/// What it means that these processes cannot be read, as a sentence; `None` where there are none.
fn any(unreadable: &BTreeMap<u32, Errno>) -> Option<String> {
    let (pid, error) = unreadable.first_key_value()?;
    let others = match unreadable.len() - 1 {
        0 => String::new(),
        1 => ", nor that of another one".to_owned(),
        others => format!(", nor those of {others} others"),
    };
    Some(format!("the command line of pid {pid} cannot be read{others}: {error}; {REMEDY}"))
}
