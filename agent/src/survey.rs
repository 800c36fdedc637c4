//! Every process of this machine with its command line, and what it listens on: for people who look for what
//! could be watched. Read once, in no hurry; the scan has its own way to /proc.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process, Status};
use procfs::{Current as _, ProcError, ProcResult, Uptime};
use rta_shared::attributes::acting_user;
use rta_shared::config::HostComponent;
use rta_shared::process::CommandLine;

use crate::attributes::Attributes;
use crate::procfs::Proc;
use crate::users::user_name;
use crate::visibility;

/// The processes that have a command line, as they were at about one moment.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// By process ID.
    processes: BTreeMap<u32, Surveyed>,
    /// Why some processes may not have been seen; `None` where all were.
    pub problem: Option<String>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// Its process ID.
    pub pid: u32,
    /// Its parent's process ID; 0 where the parent is outside the PID namespace.
    pub parent_pid: u32,
    /// The time since its start, that in which the machine slept included.
    pub age: Duration,
    /// Never empty: kernel threads and zombies are left out.
    pub line: CommandLine,
    /// The user that it acts for (see [`rta_shared::attributes::acting_user`]): the account's name, or its number.
    pub user: String,
    /// It lives in another PID namespace than this process, as those of containers do.
    pub in_container: bool,
}

impl Surveyed {
    /// Returns whether it is one of the component's processes, by all criteria.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub fn is_of(&self, component: &HostComponent) -> Result<bool, String> {
        let told = |error| format!("pid {} cannot be read: {error}", self.pid);
        let proc = Proc::open().map_err(told)?;
        let folder = proc.process(self.pid).map_err(told)?;
        component.claims(&self.line, &Attributes::new(&proc, &folder, self.pid))
    }
}

/// Who listens where.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    /// The TCP addresses that a process listens on, by its ID, sorted; a process without any is not there.
    pub addresses: BTreeMap<u32, Vec<SocketAddr>>,
    /// The processes whose sockets may not be seen (ptrace(2), "PTRACE_MODE_READ_FSCREDS").
    pub unseen: BTreeSet<u32>,
}

impl Survey {
    /// Looks at every process.
    ///
    /// # Errors
    /// A sentence, where /proc cannot be read at all.
    pub fn take() -> Result<Self, String> {
        let told = |error: ProcError| format!("cannot see the processes: /proc cannot be read: {error}");
        let uptime = Uptime::current().map_err(told)?.uptime_duration();
        let mut survey = Self { problem: visibility::problem(), ..Self::default() };
        let mut unreadable = 0_u32;
        let own = Process::myself().and_then(|own| own.status()).map_err(told)?;
        let mut names = HashMap::new();
        let mut name = |uid: u32| names.entry(uid).or_insert_with(|| user_name(uid)).clone();
        for process in procfs::process::all_processes().map_err(told)? {
            match process.and_then(|process| read(&process, uptime, depth(&own), &mut name)) {
                Ok(process) if process.line.is_empty() => {}
                Ok(process) => {
                    survey.processes.insert(process.pid, process);
                }
                Err(ProcError::PermissionDenied(_)) => unreadable += 1,
                // It ended while it was looked at.
                Err(_) => {}
            }
        }
        if unreadable > 0 && survey.problem.is_none() {
            survey.problem = Some(format!(
                "cannot see every process: {unreadable} of them may not be read; run this as root"
            ));
        }
        Ok(survey)
    }

    /// The processes, by their IDs.
    pub fn processes(&self) -> impl Iterator<Item = &Surveyed> {
        self.processes.values()
    }

    /// The process with this ID.
    pub fn find(&self, pid: u32) -> Option<&Surveyed> {
        self.processes.get(&pid)
    }

    /// The process with this ID, its parent, and so on, as far as they can be seen.
    pub fn lineage(&self, pid: u32) -> Vec<u32> {
        let mut lineage = Vec::new();
        let mut next = self.find(pid);
        while let Some(process) = next.filter(|process| !lineage.contains(&process.pid)) {
            lineage.push(process.pid);
            next = self.find(process.parent_pid);
        }
        lineage
    }

    /// The process that the one with this ID was forked from, over any number of forks that all have kept its
    /// command line: itself, where its parent has another one.
    pub fn original(&self, pid: u32) -> u32 {
        let line = self.find(pid).map(|process| &process.line);
        let same = |pid: &u32| self.find(*pid).map(|process| &process.line) == line;
        self.lineage(pid).into_iter().take_while(same).last().unwrap_or(pid)
    }

    /// Reads what each process listens on, in whatever network namespace it lives.
    pub fn listeners(&self) -> Listeners {
        let mut listeners = Listeners::default();
        // The kernel counts sockets' inodes over all namespaces.
        let mut sockets = HashMap::new();
        let mut namespaces = BTreeSet::new();
        let mut held = Vec::new();
        for pid in self.processes.keys().copied() {
            let process = match i32::try_from(pid).map(Process::new) {
                Ok(Ok(process)) => process,
                _ => continue,
            };
            match inodes(&process) {
                Ok(inodes) if inodes.is_empty() => continue,
                Ok(inodes) => held.push((pid, inodes)),
                Err(ProcError::PermissionDenied(_)) => {
                    listeners.unseen.insert(pid);
                    continue;
                }
                Err(_) => continue,
            }
            let namespace = std::fs::metadata(format!("/proc/{pid}/ns/net")).map(|file| file.ino());
            if namespace.is_ok_and(|namespace| namespaces.insert(namespace)) {
                // Without IPv6 there is no second table.
                let tables = [process.tcp(), process.tcp6()];
                let entries = tables.into_iter().flatten().flatten();
                let listening = entries.filter(|entry| entry.state == TcpState::Listen);
                sockets.extend(listening.map(|entry| (entry.inode, entry.local_address)));
            }
        }
        for (pid, inodes) in held {
            let mut addresses: Vec<SocketAddr> =
                inodes.iter().filter_map(|inode| sockets.get(inode)).copied().collect();
            addresses.sort_unstable();
            addresses.dedup();
            if !addresses.is_empty() {
                listeners.addresses.insert(pid, addresses);
            }
        }
        listeners
    }
}

/// Everything is read through one hold on the process, and so is of one process.
fn read(
    process: &Process,
    uptime: Duration,
    own_depth: usize,
    name: impl FnOnce(u32) -> String,
) -> ProcResult<Surveyed> {
    let stat = process.stat()?;
    let status = process.status()?;
    let mut content = Vec::new();
    process.open_relative("cmdline")?.read_to_end(&mut content)?;
    let ticks = procfs::ticks_per_second();
    let started = Duration::from_millis(stat.starttime.saturating_mul(1000) / ticks);
    Ok(Surveyed {
        pid: u32::try_from(stat.pid).unwrap_or_default(),
        parent_pid: u32::try_from(stat.ppid).unwrap_or_default(),
        age: uptime.saturating_sub(started),
        line: CommandLine::parse(&content),
        user: name(acting_user(status.ruid, status.euid)),
        in_container: depth(&status) != own_depth,
    })
}

/// In how many PID namespaces it has a number, counted from that of /proc.
fn depth(status: &Status) -> usize {
    status.nspid.as_ref().map_or(1, Vec::len)
}

/// The inodes of the sockets that a process holds.
fn inodes(process: &Process) -> ProcResult<Vec<u64>> {
    let descriptors = process.fd()?;
    Ok(descriptors
        .filter_map(|descriptor| match descriptor.ok()?.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(processes: &[(u32, u32, &str)]) -> Survey {
        let processes = processes.iter().map(|(pid, parent_pid, name)| {
            let line = CommandLine::from_arguments([name]);
            let surveyed = Surveyed {
                pid: *pid,
                parent_pid: *parent_pid,
                age: Duration::ZERO,
                line,
                user: "kafka".to_owned(),
                in_container: false,
            };
            (*pid, surveyed)
        });
        Survey { processes: processes.collect(), problem: None }
    }

    #[test]
    fn forks_lead_back_to_their_original() {
        let survey = survey(&[
            (1, 0, "init"),
            (2, 1, "app"),
            (3, 2, "app"),
            (4, 3, "app"),
            (5, 1, "app"),
            (6, 3, "sh"),
        ]);
        assert_eq!([2, 3, 4, 5, 6].map(|pid| survey.original(pid)), [2, 2, 2, 5, 6]);
        assert_eq!(survey.lineage(4), [4, 3, 2, 1]);
        assert!(survey.lineage(9).is_empty());
    }

    #[test]
    fn a_lineage_ends_whatever_proc_says() {
        assert_eq!(survey(&[(1, 2, "a"), (2, 1, "a")]).lineage(1), [1, 2]);
    }

    #[test]
    fn this_very_process_is_seen_with_what_it_listens_on() {
        let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let survey = Survey::take().unwrap();
        let own = survey.find(std::process::id()).unwrap();
        let arguments: Vec<_> = std::env::args_os().map(|argument| argument.into_encoded_bytes()).collect();
        assert_eq!(own.line, CommandLine::from_arguments(&arguments));
        assert_eq!(
            (own.user.clone(), own.in_container),
            (user_name(rustix::process::geteuid().as_raw()), false)
        );
        assert_eq!(survey.lineage(own.pid)[0], own.pid);
        let listeners = survey.listeners();
        assert!(listeners.addresses[&own.pid].contains(&here.local_addr().unwrap()));
    }
}
