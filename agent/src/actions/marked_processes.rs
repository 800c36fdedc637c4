//! Finds the processes of a launch by the mark in their environment, including those that have left the
//! launched session and have another parent. Blocking.

use std::fs::File;
use std::io::Read as _;

use rta_shared::process::ProcessId;

use super::action_record::LAUNCH_ID;
use crate::host::process_tree::ProcessTree;

/// Maximum number of bytes read of a process's environment. A process can change the content that the kernel
/// shows.
const MAX_ENVIRONMENT_SIZE: u64 = 1 << 20;

/// Returns the processes of `tree` whose environment has the mark of the launch `id`. Omits processes whose
/// environment the agent may not read; those run as other users than launched commands.
pub(super) fn find_marked_processes(tree: &ProcessTree, id: &str) -> Vec<ProcessId> {
    let mark = format!("{LAUNCH_ID}={id}");
    let is_marked = |id: &ProcessId| {
        let mut environment = Vec::new();
        let file = File::open(format!("/proc/{}/environ", id.pid));
        let read = file.and_then(|file| file.take(MAX_ENVIRONMENT_SIZE).read_to_end(&mut environment));
        read.is_ok() && environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    tree.all().map(|(id, _)| id).filter(is_marked).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_marked_processes_are_found() {
        let begin = |id: &str| Command::new("sleep").arg("1000").env(LAUNCH_ID, id).spawn().unwrap();
        let mut children = [begin("this-launch"), begin("this-launch-not")];
        let found = find_marked_processes(&ProcessTree::read().unwrap(), "this-launch");
        let expected = children[0].id();
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(found.iter().map(|id| id.pid).collect::<Vec<_>>(), [expected]);
    }
}
