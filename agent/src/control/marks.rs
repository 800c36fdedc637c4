//! Finding what a launch began by the mark in its environment: also what has left the launched session, and has
//! another parent. Blocking.

use std::fs::File;
use std::io::Read as _;

use rta_shared::process::ProcessId;

use super::launch_record::LAUNCH_ID;
use super::table::Table;

/// So much of a process's environment is looked at. The kernel gives out what a process made of its own.
const LONGEST: u64 = 1 << 20;

/// Returns those of `table` whose environment has the mark of the launch `id`. Processes whose environment the
/// agent may not read, which run as others than it launches, are left out.
pub(super) fn marked(table: &Table, id: &str) -> Vec<ProcessId> {
    let mark = format!("{LAUNCH_ID}={id}");
    let is_marked = |id: &ProcessId| {
        let mut environment = Vec::new();
        let file = File::open(format!("/proc/{}/environ", id.pid));
        let read = file.and_then(|file| file.take(LONGEST).read_to_end(&mut environment));
        read.is_ok() && environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    table.all().map(|(id, _)| id).filter(is_marked).collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn only_what_has_the_mark_is_found() {
        let begin = |id: &str| Command::new("sleep").arg("1000").env(LAUNCH_ID, id).spawn().unwrap();
        let mut children = [begin("this-launch"), begin("this-launch-not")];
        let found = marked(&Table::read().unwrap(), "this-launch");
        let expected = children[0].id();
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(found.iter().map(|id| id.pid).collect::<Vec<_>>(), [expected]);
    }
}
