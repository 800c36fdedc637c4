//! Detects what else starts a component, and would restart it after a stop, by the origin of its processes.
//! Reading the origin is separate from judging it, which is pure.

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;

use rta_shared::process::{CommandLine, ProcessId};
use rta_shared::sanitize::printable;

use crate::host::process_tree::ProcessTree;
use crate::host::procfs::ProcFs;

/// PID of the host's first process.
const INIT: u32 = 1;
/// Maximum length of a chain of parents. Real chains are short; a longer one was read while it changed.
const MAX_ANCESTORS: usize = 64;
/// Number of arguments that may hold the program's name, since interpreters and their options come first:
/// `python3 -u /usr/bin/supervisord`.
const NAME_ARGUMENTS: usize = 3;

/// Origin of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProcessOrigin {
    /// Ancestors, nearest first, without the agent and its ancestors, the host's first process, and processes
    /// of the component itself.
    ancestors: Vec<AncestorProcess>,
    /// systemd service of the process; `None`: none, or the agent's own.
    service: Option<SystemdService>,
    /// Name of the program in supervisord.
    program: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct AncestorProcess {
    pid: u32,
    /// Name of the program in the kernel.
    name: String,
    arguments: Vec<String>,
    /// Working directory, if it can be read.
    directory: Option<PathBuf>,
}

/// Service of systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SystemdService {
    unit: String,
    /// User whose systemd runs the service; `None`: the host's systemd.
    user: Option<u32>,
}

/// Program that starts a component beside the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExternalSupervisor {
    /// systemd.
    Systemd { unit: String, user: Option<u32> },
    /// supervisord, with its name for the program.
    Supervisord { program: Option<String> },
    /// runit's runsv, s6-supervise or daemontools' supervise, with the folder of the service.
    Folder { supervisor: &'static str, stop: &'static str, folder: String },
    /// monit.
    Monit,
    /// Container runtime, with the start of the container's ID.
    Container { runtime: &'static str, id: Option<String> },
    /// cron.
    Cron,
    /// Another agent of rta.
    Agent { pid: Option<u32> },
    /// Unknown program that is a parent of the process.
    Parent { pid: u32, name: String },
}

impl ExternalSupervisor {
    /// Returns true if the program is known to restart what ends, or may do so; that is unknown for an
    /// arbitrary parent.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self, Self::Parent { .. })
    }
}

impl fmt::Display for ExternalSupervisor {
    /// Formats a sentence such as `systemd runs it as kafka.service; stop it there with "systemctl stop
    /// kafka.service"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Systemd { unit, user: None } => {
                write!(f, "systemd runs it as {unit}; stop it there with \"systemctl stop {unit}\"")
            }
            Self::Systemd { unit, user: Some(user) } => write!(
                f,
                "the systemd of user {user} runs it as {unit}; stop it there with \"systemctl --user stop {unit}\""
            ),
            Self::Supervisord { program } => {
                let program = program.as_deref().unwrap_or("PROGRAM");
                write!(f, "supervisord runs it; stop it there with \"supervisorctl stop {program}\"")
            }
            Self::Folder { supervisor, stop, folder } => {
                write!(f, "{supervisor} runs it; stop it there with \"{stop} {folder}\"")
            }
            Self::Monit => f.write_str(
                "monit starts it; stop it there with \"monit stop SERVICE\" (\"monit summary\" lists the services)",
            ),
            Self::Container { runtime, id } => {
                let id = id.as_deref().unwrap_or("CONTAINER");
                write!(f, "it runs in a container; stop it there with \"{runtime} stop {id}\"")
            }
            Self::Cron => f.write_str("cron starts it; take it out of its crontab"),
            Self::Agent { pid: Some(pid) } => {
                write!(f, "another rta-agent (pid {pid}) runs it; stop it through that one")
            }
            Self::Agent { pid: None } => f.write_str("another rta-agent runs it; stop it through that one"),
            Self::Parent { pid, name } => {
                write!(f, "something else starts it: its parent is pid {pid} ({name}); end that first")
            }
        }
    }
}

impl ProcessOrigin {
    /// Reads the origin of the process `id`. `own` are the processes of the component itself. Blocking;
    /// unreadable parts are left out.
    pub(super) fn read(proc: &ProcFs, tree: &ProcessTree, id: ProcessId, own: &HashSet<u32>) -> Self {
        let agent = std::process::id();
        let mut ancestors = Vec::new();
        let mut at = tree.get(id.pid).map_or(0, |links| links.parent);
        while at > INIT && at != agent && ancestors.len() < MAX_ANCESTORS {
            if !own.contains(&at) {
                ancestors.push(AncestorProcess::read(proc, at));
            }
            at = tree.get(at).map_or(0, |links| links.parent);
        }
        let service = |pid| {
            parse_systemd_service(&std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default())
        };
        let environment = std::fs::read(format!("/proc/{}/environ", id.pid)).unwrap_or_default();
        Self {
            ancestors,
            service: service(id.pid).filter(|found| Some(found) != service(agent).as_ref()),
            program: supervisord_program(&environment),
        }
    }

    /// Returns the program that starts the process, as far as it can be determined; `None`: only the agent or
    /// a person.
    pub(super) fn supervisor(&self) -> Option<ExternalSupervisor> {
        let known = self.ancestors.iter().find_map(|ancestor| ancestor.supervisor(self.program.as_deref()));
        let parent = || {
            // A user's systemd adopts orphans; it starts only what is in a service.
            let parent = self.ancestors.iter().find(|ancestor| ancestor.name != "systemd")?;
            let name = printable(&parent.name).into_owned();
            Some(ExternalSupervisor::Parent { pid: parent.pid, name })
        };
        known.or_else(|| self.service.as_ref().and_then(SystemdService::supervisor)).or_else(parent)
    }
}

impl AncestorProcess {
    fn read(proc: &ProcFs, pid: u32) -> Self {
        let mut line = CommandLine::new();
        // A process that has ended has no arguments, and no name.
        let _ = proc.command_line(pid, &mut line);
        Self {
            pid,
            name: proc.process(pid).and_then(|folder| folder.program()).unwrap_or_default(),
            arguments: line
                .arguments()
                .map(|argument| String::from_utf8_lossy(argument).into_owned())
                .collect(),
            directory: std::fs::read_link(format!("/proc/{pid}/cwd")).ok(),
        }
    }

    /// Returns the supervisor that the ancestor is, if any; `program` is supervisord's name for the process
    /// below it.
    fn supervisor(&self, program: Option<&str>) -> Option<ExternalSupervisor> {
        let first = self
            .arguments
            .iter()
            .take(NAME_ARGUMENTS)
            .map(|argument| argument.rsplit('/').next().unwrap_or_default().trim_end_matches(':'));
        let mut names = std::iter::once(self.name.as_str()).chain(first);
        let folder = |supervisor, stop| {
            let named = || self.arguments.get(1).cloned();
            let folder = self.directory.as_ref().map(|folder| folder.display().to_string()).or_else(named);
            let folder = printable(&folder.unwrap_or_else(|| "SERVICE".to_owned())).into_owned();
            ExternalSupervisor::Folder { supervisor, stop, folder }
        };
        let after = |option: &str| {
            let at = self.arguments.iter().position(|argument| argument == option)?;
            // Same length as in the output of the tools.
            Some(self.arguments.get(at + 1)?.chars().take(12).filter(char::is_ascii_alphanumeric).collect())
        };
        names.find_map(|name| {
            Some(match name {
                "supervisord" => ExternalSupervisor::Supervisord { program: program.map(str::to_owned) },
                "runsv" => folder("runit (runsv)", "sv down"),
                "s6-supervise" => folder("s6-supervise", "s6-svc -d"),
                "supervise" => folder("daemontools (supervise)", "svc -d"),
                "monit" => ExternalSupervisor::Monit,
                "conmon" => ExternalSupervisor::Container { runtime: "podman", id: after("-c") },
                "cron" | "crond" | "anacron" => ExternalSupervisor::Cron,
                "rta-agent" => ExternalSupervisor::Agent { pid: Some(self.pid) },
                _ if name.starts_with("containerd-shim") => {
                    ExternalSupervisor::Container { runtime: "docker", id: after("-id") }
                }
                _ => return None,
            })
        })
    }
}

impl SystemdService {
    /// Returns the program that starts the processes of the service: systemd, or a supervisor that is a
    /// service itself and whose child was reparented.
    fn supervisor(&self) -> Option<ExternalSupervisor> {
        let name = self.unit.strip_suffix(".service").unwrap_or(&self.unit);
        Some(match name {
            "supervisor" | "supervisord" => ExternalSupervisor::Supervisord { program: None },
            "monit" => ExternalSupervisor::Monit,
            "cron" | "crond" | "cronie" | "anacron" => ExternalSupervisor::Cron,
            "docker" | "containerd" => ExternalSupervisor::Container { runtime: "docker", id: None },
            "rta-agent" => ExternalSupervisor::Agent { pid: None },
            // A person's shell.
            "ssh" | "sshd" => return None,
            _ if name.starts_with("ssh@") || name.starts_with("sshd@") => return None,
            _ => ExternalSupervisor::Systemd { unit: printable(&self.unit).into_owned(), user: self.user },
        })
    }
}

/// Returns the innermost service in /proc/PID/cgroup: systemd has the hierarchy of version 2, or one of
/// version 1 that bears its name.
fn parse_systemd_service(cgroups: &str) -> Option<SystemdService> {
    let hierarchies = cgroups.lines().filter_map(|line| line.split_once(':').map(|(_, line)| line));
    let paths = hierarchies.filter_map(|line| line.strip_prefix("name=systemd:").or(line.strip_prefix(':')));
    paths.into_iter().find_map(|path| {
        let (mut user, mut found) = (None, None);
        for unit in path.split('/').filter(|part| part.ends_with(".service")) {
            match unit.strip_prefix("user@").and_then(|rest| rest.strip_suffix(".service")?.parse().ok()) {
                Some(id) => (user, found) = (Some(id), None),
                None => found = Some(unit),
            }
        }
        found.map(|unit| SystemdService { unit: unit.to_owned(), user })
    })
}

/// Returns supervisord's name for a process, from the environment variables that supervisord sets.
fn supervisord_program(environment: &[u8]) -> Option<String> {
    let value = |name: &str| {
        let mut variables = environment.split(|byte| *byte == 0);
        let value = variables.find_map(|one| one.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        Some(printable(&String::from_utf8_lossy(value)).into_owned())
    };
    let name = value("SUPERVISOR_PROCESS_NAME")?;
    match value("SUPERVISOR_GROUP_NAME") {
        Some(group) if group != name => Some(format!("{group}:{name}")),
        _ => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ancestor(name: &str, arguments: &[&str], directory: &str) -> AncestorProcess {
        AncestorProcess {
            pid: 7,
            name: name.to_owned(),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
            directory: (!directory.is_empty()).then(|| directory.into()),
        }
    }

    fn describe(ancestors: Vec<AncestorProcess>, cgroups: &str, environment: &[u8]) -> Option<String> {
        let origin = ProcessOrigin {
            ancestors,
            service: parse_systemd_service(cgroups),
            program: supervisord_program(environment),
        };
        origin.supervisor().map(|supervisor| supervisor.to_string())
    }

    #[test]
    fn each_supervisor_is_named_with_the_way_to_stop_it_there() {
        let id = "0123456789abcdef0123456789abcdef";
        let rows: [(AncestorProcess, &[u8], &str); 9] = [
            (
                ancestor("supervisord", &["/usr/bin/python3", "-u", "/usr/bin/supervisord"], "/"),
                b"A=1\0SUPERVISOR_GROUP_NAME=kafka\0SUPERVISOR_PROCESS_NAME=kafka\0",
                "supervisord runs it; stop it there with \"supervisorctl stop kafka\"",
            ),
            (
                ancestor("python3", &["/usr/bin/python3", "/usr/bin/supervisord", "-c", "x"], "/"),
                b"SUPERVISOR_GROUP_NAME=jobs\0SUPERVISOR_PROCESS_NAME=jobs_01",
                "supervisord runs it; stop it there with \"supervisorctl stop jobs:jobs_01\"",
            ),
            (
                ancestor("runsv", &["runsv", "kafka"], "/etc/sv/kafka"),
                b"",
                "runit (runsv) runs it; stop it there with \"sv down /etc/sv/kafka\"",
            ),
            (
                ancestor("s6-supervise", &["s6-supervise", "kafka"], ""),
                b"",
                "s6-supervise runs it; stop it there with \"s6-svc -d kafka\"",
            ),
            (
                ancestor("monit", &["monit", "-I"], ""),
                b"",
                "monit starts it; stop it there with \"monit stop SERVICE\"",
            ),
            (
                ancestor(
                    "containerd-shim",
                    &["/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", id],
                    "",
                ),
                b"",
                "it runs in a container; stop it there with \"docker stop 0123456789ab\"",
            ),
            (
                ancestor("conmon", &["/usr/bin/conmon", "-c", id], ""),
                b"",
                "it runs in a container; stop it there with \"podman stop 0123456789ab\"",
            ),
            (ancestor("cron", &["/usr/sbin/cron"], ""), b"", "cron starts it; take it out of its crontab"),
            (
                ancestor("rta-agent", &["rta-agent"], ""),
                b"",
                "another rta-agent (pid 7) runs it; stop it through that one",
            ),
        ];
        for (above, environment, expected) in rows {
            let between = AncestorProcess { pid: 9, ..ancestor("bash", &["bash", "run.sh"], "") };
            let describe =
                describe(vec![between, above], "0::/system.slice/any.service\n", environment).unwrap();
            assert!(describe.starts_with(expected), "{describe}");
        }
        let describe = describe(vec![ancestor("keep\u{1b}up", &["./keep"], "")], "0::/\n", b"").unwrap();
        let expected = "something else starts it: its parent is pid 7 (keep\\u{1b}up); end that first";
        assert_eq!(describe, expected);
    }

    #[test]
    fn service_is_found_by_the_control_group() {
        let systemd = |unit: &str| {
            Some(format!("systemd runs it as {unit}; stop it there with \"systemctl stop {unit}\""))
        };
        let rows = [
            ("0::/system.slice/kafka.service\n", systemd("kafka.service")),
            ("0::/system.slice/system-kafka.slice/kafka@1.service/sub\n", systemd("kafka@1.service")),
            ("12:cpu,cpuacct:/\n1:name=systemd:/system.slice/kafka.service\n0::/\n", systemd("kafka.service")),
            ("1:name=systemd:/\n0::/system.slice/kafka.service\n", systemd("kafka.service")),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/kafka.service\n",
                Some(
                    "the systemd of user 1000 runs it as kafka.service; stop it there with \"systemctl --user stop \
                     kafka.service\""
                        .to_owned(),
                ),
            ),
            ("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", None),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
            ("0::/system.slice/ssh.service\n", None),
            ("0::/system.slice/cron.service\n", Some("cron starts it; take it out of its crontab".to_owned())),
            ("0::/docker/0123\n", None),
            ("", None),
        ];
        for (cgroups, expected) in rows {
            assert_eq!(describe(vec![], cgroups, b""), expected, "{cgroups}");
        }
    }

    #[test]
    fn ancestors_are_read_up_to_the_agent() {
        let script = "sleep 1000; true";
        let mut child = std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
        let proc = ProcFs::open().unwrap();
        let (tree, sleep) = loop {
            let tree = ProcessTree::read().unwrap();
            let below = tree.all().find(|(_, links)| links.parent == child.id()).map(|(id, _)| id);
            if let Some(id) = below {
                break (tree, id);
            }
        };
        let origin = ProcessOrigin::read(&proc, &tree, sleep, &HashSet::new());
        let parents: Vec<u32> = origin.ancestors.iter().map(|ancestor| ancestor.pid).collect();
        assert_eq!(parents, [child.id()]);
        assert_eq!(origin.ancestors[0].arguments, ["sh", "-c", script]);
        // Processes of the component itself do not restart it.
        let own = HashSet::from([child.id()]);
        assert_eq!(ProcessOrigin::read(&proc, &tree, sleep, &own).ancestors, []);
        for pid in [sleep.pid, child.id()] {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        child.wait().unwrap();
    }
}
