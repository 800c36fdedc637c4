//! Probe commands that a killed agent left behind: no agent waits for them any more, nor limits their time.
//!
//! Each command has a variable in its environment, which its children inherit, that names the agent. The
//! next agent kills those whose agent is gone.

use std::sync::LazyLock;

use rta_shared::process::ProcessId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::host::procfs::{ListedProcess, ProcFs, ProcessDir};

/// Variable in the environment of a probe's command: PID, start, session and PID namespace of its agent.
pub(super) const AGENT_VARIABLE: &str = "RTA_PROBE_AGENT";

/// Value of [`AGENT_VARIABLE`] for this agent; `None` if /proc could not be read.
pub(super) static OWN_MARK: LazyLock<Option<String>> = LazyLock::new(own_mark);

fn own_mark() -> Option<String> {
    let proc = ProcFs::open().ok()?;
    let pid = std::process::id();
    let stat = proc.process(pid).and_then(|own| own.stat()).ok()?;
    let mark = AgentMark {
        agent: ProcessId { pid, start_ticks: stat.start_ticks },
        session: stat.session,
        namespace: own_namespace(&proc)?,
    };
    Some(mark.format())
}

/// Kills the probe commands of agents that are gone, with their children. One that began a session of its own
/// is spared, as it is when its probe ends: it is no part of the probe. Blocking.
pub(crate) fn kill_leftover_probes() {
    let Ok(mut proc) = ProcFs::open() else { return };
    let Some(namespace) = own_namespace(&proc) else { return };
    let mut listed = Vec::new();
    if proc.list(&mut listed).is_err() {
        return;
    }
    for ListedProcess { pid, .. } in listed {
        let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
        // Held before it is checked, so that a reused PID is not killed.
        let Ok(pidfd) = pidfd_open(raw, PidfdFlags::empty()) else { continue };
        let is_leftover = proc.process(pid).is_ok_and(|folder| is_leftover(&proc, &folder, &namespace));
        if is_leftover && pidfd_send_signal(&pidfd, Signal::KILL).is_ok() {
            tracing::warn!(pid, "a probe's command of an earlier agent was still running and was killed");
        }
    }
}

/// Returns true if a process belongs to a probe of an agent of this PID namespace that is gone.
fn is_leftover(proc: &ProcFs, folder: &ProcessDir, namespace: &str) -> bool {
    let Ok(environment) = folder.environment() else { return false };
    let Some(mark) = environment.split(|byte| *byte == 0).find_map(AgentMark::find) else { return false };
    let is_alive = proc
        .process(mark.agent.pid)
        .and_then(|agent| agent.stat())
        .is_ok_and(|stat| stat.start_ticks == mark.agent.start_ticks && !stat.is_zombie);
    let is_in_session = folder.stat().is_ok_and(|stat| stat.session == mark.session);
    mark.namespace == namespace && !is_alive && is_in_session
}

/// Returns the target of the link to the PID namespace of this process.
fn own_namespace(proc: &ProcFs) -> Option<String> {
    String::from_utf8(proc.own_namespace().link.clone()?).ok()
}

/// Agent of a probe's command.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AgentMark {
    agent: ProcessId,
    /// Session of the agent, which its commands share.
    session: u32,
    /// PID namespace in which its PID is valid.
    namespace: String,
}

impl AgentMark {
    fn format(&self) -> String {
        format!("{} {} {} {}", self.agent.pid, self.agent.start_ticks, self.session, self.namespace)
    }

    /// Reads the mark from a variable of an environment; `None` for any other variable.
    fn find(variable: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(variable).ok()?.strip_prefix(AGENT_VARIABLE)?.strip_prefix('=')?;
        let mut words = value.splitn(4, ' ');
        let agent = ProcessId { pid: words.next()?.parse().ok()?, start_ticks: words.next()?.parse().ok()? };
        Some(Self { agent, session: words.next()?.parse().ok()?, namespace: words.next()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    use super::*;

    fn start(mark: &AgentMark) -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").env(AGENT_VARIABLE, mark.format()).process_group(0);
        command.spawn().unwrap()
    }

    #[test]
    fn only_commands_of_agents_that_are_gone_are_killed() {
        let proc = ProcFs::open().unwrap();
        let own = AgentMark::find(format!("{AGENT_VARIABLE}={}", own_mark().unwrap()).as_bytes()).unwrap();
        // A PID above the maximum of the kernel (proc_sys_kernel(5)) and a reused PID.
        let gone = |pid, start_ticks| AgentMark { agent: ProcessId { pid, start_ticks }, ..own.clone() };
        let rows = [
            (own.clone(), false),
            (gone(5_000_000, 1), true),
            (gone(own.agent.pid, own.agent.start_ticks + 1), true),
            // A daemon that the command started, and a probe within a container.
            (AgentMark { session: own.session + 1, ..gone(5_000_000, 1) }, false),
            (AgentMark { namespace: "pid:[1]".to_owned(), ..gone(5_000_000, 1) }, false),
        ];
        let mut children: Vec<Child> = rows.iter().map(|(mark, _)| start(mark)).collect();
        let namespace = own_namespace(&proc).unwrap();
        for (child, (mark, expected)) in children.iter().zip(&rows) {
            let found = is_leftover(&proc, &proc.process(child.id()).unwrap(), &namespace);
            assert_eq!(found, *expected, "{mark:?}");
        }
        kill_leftover_probes();
        for (child, (mark, expected)) in children.iter_mut().zip(rows) {
            match expected {
                true => assert!(!child.wait().unwrap().success()),
                false => {
                    assert!(child.try_wait().unwrap().is_none(), "{mark:?}");
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
            }
        }
        assert_eq!(AgentMark::find(b"RTA_PROBE_AGENT=1 2 x"), None);
        assert_eq!(AgentMark::find(b"PATH=/bin"), None);
    }
}
