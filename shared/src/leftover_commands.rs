//! Commands that a killed program left behind: nobody waits for them any more, nor limits their time.
//!
//! Each command has a variable in its environment, which its children inherit, that names the program which
//! runs it. The next program kills those whose own is gone.

use std::collections::HashSet;
use std::fs;
use std::sync::LazyLock;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::proc_stat::ProcStat;
use crate::process::ProcessId;

/// Value of the variable for this program: its PID, start, session and PID namespace; `None` if /proc cannot
/// be read.
pub static OWN_MARK: LazyLock<Option<String>> = LazyLock::new(|| {
    let pid = std::process::id();
    let own = read_stat(pid)?;
    let program = ProcessId { pid, start_ticks: own.start_ticks };
    Some(ProgramMark { program, session: own.session, namespace: own_namespace()? }.format())
});

/// Processes of a command that are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    /// All.
    All,
    /// Those of a command that has not ended itself, which leads their process group. What an ended one left
    /// in the background may be meant to stay.
    OfUnfinishedCommands,
}

/// Kills the processes with this variable whose program is gone, and returns their PIDs. One that began a
/// session of its own is spared: it is no part of the command. Blocking.
pub fn kill_leftovers(variable: &str, kind: Leftovers) -> Vec<u32> {
    let Some(namespace) = own_namespace() else { return Vec::new() };
    let Ok(listed) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let mut found = Vec::new();
    for pid in pids {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
        // Held before it is checked, so that a reused PID is not killed.
        let Ok(pidfd) = pidfd_open(raw, PidfdFlags::empty()) else { continue };
        if let Some(group) = leftover_group(pid, variable, &namespace) {
            found.push((pid, group, pidfd));
        }
    }
    let leaders: HashSet<u32> =
        found.iter().filter(|(pid, group, _)| pid == group).map(|one| one.0).collect();
    let is_meant = |group: &u32| kind == Leftovers::All || leaders.contains(group);
    let meant = found.iter().filter(|(_, group, _)| is_meant(group));
    let killed = meant.filter(|(.., pidfd)| pidfd_send_signal(pidfd, Signal::KILL).is_ok());
    killed.map(|(pid, ..)| *pid).collect()
}

/// Returns the process group of a process that belongs to a command of a program of this PID namespace that
/// is gone; `None`: it does not.
fn leftover_group(pid: u32, variable: &str, namespace: &str) -> Option<u32> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mark = environment.split(|byte| *byte == 0).find_map(|one| ProgramMark::find(one, variable))?;
    let program = read_stat(mark.program.pid);
    let is_alive =
        program.is_some_and(|stat| stat.start_ticks == mark.program.start_ticks && !stat.is_zombie);
    let own = read_stat(pid)?;
    let is_leftover =
        mark.namespace == namespace && !is_alive && own.session == mark.session && !own.is_zombie;
    is_leftover.then_some(own.group)
}

/// Returns the target of the link to the PID namespace of this process.
fn own_namespace() -> Option<String> {
    fs::read_link("/proc/self/ns/pid").ok()?.into_os_string().into_string().ok()
}

/// Reads the state of a process; `None` if it is gone.
fn read_stat(pid: u32) -> Option<ProcStat> {
    ProcStat::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// Program that runs a command.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProgramMark {
    program: ProcessId,
    /// Session of the program, which its commands share.
    session: u32,
    /// PID namespace in which its PID is valid.
    namespace: String,
}

impl ProgramMark {
    fn format(&self) -> String {
        format!("{} {} {} {}", self.program.pid, self.program.start_ticks, self.session, self.namespace)
    }

    /// Reads the mark from a variable of an environment; `None` for any other variable.
    fn find(text: &[u8], variable: &str) -> Option<Self> {
        let value = std::str::from_utf8(text).ok()?.strip_prefix(variable)?.strip_prefix('=')?;
        let mut words = value.splitn(4, ' ');
        let program =
            ProcessId { pid: words.next()?.parse().ok()?, start_ticks: words.next()?.parse().ok()? };
        Some(Self { program, session: words.next()?.parse().ok()?, namespace: words.next()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    use super::*;

    fn own_mark(variable: &str) -> ProgramMark {
        let text = format!("{variable}={}", OWN_MARK.as_ref().unwrap());
        ProgramMark::find(text.as_bytes(), variable).unwrap()
    }

    /// A PID above the maximum of the kernel (proc_sys_kernel(5)).
    fn gone(own: &ProgramMark) -> ProgramMark {
        ProgramMark { program: ProcessId { pid: 5_000_000, start_ticks: 1 }, ..own.clone() }
    }

    fn start(variable: &str, mark: &ProgramMark, group: i32) -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").env(variable, mark.format()).process_group(group);
        command.spawn().unwrap()
    }

    fn end(mut child: Child, is_killed: bool) {
        if !is_killed {
            assert!(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
        }
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn only_commands_of_programs_that_are_gone_are_killed() {
        let variable = "RTA_TEST_ALL";
        let own = own_mark(variable);
        let reused = ProcessId { start_ticks: own.program.start_ticks + 1, ..own.program };
        let rows = [
            (own.clone(), false),
            (gone(&own), true),
            (ProgramMark { program: reused, ..own.clone() }, true),
            // A daemon that the command started, and a command within a container.
            (ProgramMark { session: own.session + 1, ..gone(&own) }, false),
            (ProgramMark { namespace: "pid:[1]".to_owned(), ..gone(&own) }, false),
        ];
        let children: Vec<Child> = rows.iter().map(|(mark, _)| start(variable, mark, 0)).collect();
        let mut expected: Vec<u32> = Vec::new();
        for (child, (_, is_killed)) in children.iter().zip(&rows) {
            expected.extend(is_killed.then(|| child.id()));
        }
        let mut killed = kill_leftovers(variable, Leftovers::All);
        killed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(killed, expected);
        children.into_iter().zip(rows).for_each(|(child, (_, is_killed))| end(child, is_killed));
    }

    #[test]
    fn what_an_ended_command_left_in_the_background_may_stay() {
        let variable = "RTA_TEST_UNFINISHED";
        let mark = gone(&own_mark(variable));
        let leader = start(variable, &mark, 0);
        let group = i32::try_from(leader.id()).unwrap();
        let member = start(variable, &mark, group);
        // The leader of this group was not left behind.
        let mut other = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let background = start(variable, &mark, i32::try_from(other.id()).unwrap());
        assert_eq!(kill_leftovers(variable, Leftovers::OfUnfinishedCommands).len(), 2);
        for (child, is_killed) in [(leader, true), (member, true), (background, false)] {
            end(child, is_killed);
        }
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn marks_are_read() {
        assert_eq!(ProgramMark::find(b"RTA_X=1 2 x", "RTA_X"), None);
        assert_eq!(ProgramMark::find(b"PATH=/bin", "RTA_X"), None);
    }
}
