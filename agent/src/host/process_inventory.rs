//! Lists every process of this machine with its command line and listening sockets, for people who look for
//! components to configure. Reads once, without haste; scans have a separate access to /proc.

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

use crate::host::process_attributes::ProcfsAttributes;
use crate::host::procfs::ProcFs;
use crate::host::users::user_name;
use crate::host::visibility;

/// Processes that have a command line, as of about one moment.
#[derive(Clone, Debug, Default)]
pub struct ProcessInventory {
    /// Processes by process ID.
    processes: BTreeMap<u32, InventoryProcess>,
    /// Reason why some processes may be missing; `None` if all were read.
    pub problem: Option<String>,
}

/// Process of a inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryProcess {
    /// Process ID.
    pub pid: u32,
    /// Process ID of the parent; 0 if the parent is outside the PID namespace.
    pub parent_pid: u32,
    /// Time since its start, including the time in which the machine slept.
    pub age: Duration,
    /// Command line, never empty: kernel threads and zombies are left out.
    pub line: CommandLine,
    /// User that the process acts for (see [`rta_shared::attributes::acting_user`]): name of the account, or
    /// its number.
    pub user: String,
    /// True if the process is in another PID namespace than this process, as those of containers are.
    pub in_container: bool,
}

impl InventoryProcess {
    /// Returns true if the process belongs to the component, by all criteria.
    ///
    /// # Errors
    /// Returns an error, with the reason, if that cannot be determined.
    pub fn belongs_to(&self, component: &HostComponent) -> Result<bool, String> {
        let to_error = |error| format!("pid {} cannot be read: {error}", self.pid);
        let proc = ProcFs::open().map_err(to_error)?;
        let folder = proc.process(self.pid).map_err(to_error)?;
        component.matches_process(&self.line, &ProcfsAttributes::new(&proc, &folder, self.pid))
    }
}

/// Listening sockets of processes.
#[derive(Clone, Debug, Default)]
pub struct ListeningSockets {
    /// TCP addresses that a process listens on, by process ID, sorted; a process without any is not included.
    pub addresses: BTreeMap<u32, Vec<SocketAddr>>,
    /// Processes whose sockets cannot be read (ptrace(2), "PTRACE_MODE_READ_FSCREDS").
    pub unreadable: BTreeSet<u32>,
}

impl ProcessInventory {
    /// Reads all processes.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if /proc cannot be read at all.
    pub fn collect() -> Result<Self, String> {
        let to_error = |error: ProcError| format!("cannot see the processes: /proc cannot be read: {error}");
        let uptime = Uptime::current().map_err(to_error)?.uptime_duration();
        let mut inventory = Self { problem: visibility::find_hidepid_problem(), ..Self::default() };
        let mut unreadable = 0_u32;
        let own = Process::myself().and_then(|own| own.status()).map_err(to_error)?;
        let mut names = HashMap::new();
        let mut name = |uid: u32| names.entry(uid).or_insert_with(|| user_name(uid)).clone();
        for process in procfs::process::all_processes().map_err(to_error)? {
            match process
                .and_then(|process| read_process(&process, uptime, pid_namespace_depth(&own), &mut name))
            {
                Ok(process) if process.line.is_empty() => {}
                Ok(process) => {
                    inventory.processes.insert(process.pid, process);
                }
                Err(ProcError::PermissionDenied(_)) => unreadable += 1,
                // The process ended while it was read.
                Err(_) => {}
            }
        }
        if unreadable > 0 && inventory.problem.is_none() {
            inventory.problem = Some(format!(
                "cannot see every process: {unreadable} of them may not be read; run this as root"
            ));
        }
        Ok(inventory)
    }

    /// Returns the processes, sorted by process ID.
    pub fn processes(&self) -> impl Iterator<Item = &InventoryProcess> {
        self.processes.values()
    }

    /// Returns the process with this ID.
    pub fn find(&self, pid: u32) -> Option<&InventoryProcess> {
        self.processes.get(&pid)
    }

    /// Returns the IDs of the process with this ID, its parent, and so on, as far as they can be read.
    pub fn lineage(&self, pid: u32) -> Vec<u32> {
        let mut lineage = Vec::new();
        let mut next = self.find(pid);
        while let Some(process) = next.filter(|process| !lineage.contains(&process.pid)) {
            lineage.push(process.pid);
            next = self.find(process.parent_pid);
        }
        lineage
    }

    /// Returns the ancestor from which the process was forked, over any number of forks that all have kept
    /// its command line: the process itself, if its parent has a different one.
    pub fn find_original(&self, pid: u32) -> u32 {
        let line = self.find(pid).map(|process| &process.line);
        let same = |pid: &u32| self.find(*pid).map(|process| &process.line) == line;
        self.lineage(pid).into_iter().take_while(same).last().unwrap_or(pid)
    }

    /// Reads the listening sockets of each process, in whatever network namespace it is.
    pub fn read_listening_sockets(&self) -> ListeningSockets {
        let mut listeners = ListeningSockets::default();
        // The kernel numbers sockets' inodes across all namespaces.
        let mut sockets = HashMap::new();
        let mut namespaces = BTreeSet::new();
        let mut held = Vec::new();
        for pid in self.processes.keys().copied() {
            let process = match i32::try_from(pid).map(Process::new) {
                Ok(Ok(process)) => process,
                _ => continue,
            };
            match socket_inodes(&process) {
                Ok(inodes) if inodes.is_empty() => continue,
                Ok(inodes) => held.push((pid, inodes)),
                Err(ProcError::PermissionDenied(_)) => {
                    listeners.unreadable.insert(pid);
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

/// Reads one process through a single open folder, so that everything belongs to the same process.
fn read_process(
    process: &Process,
    uptime: Duration,
    own_depth: usize,
    name: impl FnOnce(u32) -> String,
) -> ProcResult<InventoryProcess> {
    let stat = process.stat()?;
    let status = process.status()?;
    let mut content = Vec::new();
    process.open_relative("cmdline")?.read_to_end(&mut content)?;
    let ticks = procfs::ticks_per_second();
    let started = Duration::from_millis(stat.starttime.saturating_mul(1000) / ticks);
    Ok(InventoryProcess {
        pid: u32::try_from(stat.pid).unwrap_or_default(),
        parent_pid: u32::try_from(stat.ppid).unwrap_or_default(),
        age: uptime.saturating_sub(started),
        line: CommandLine::parse(&content),
        user: name(acting_user(status.ruid, status.euid)),
        in_container: pid_namespace_depth(&status) != own_depth,
    })
}

/// Returns the number of PID namespaces in which the process has a PID, counted from that of /proc.
fn pid_namespace_depth(status: &Status) -> usize {
    status.nspid.as_ref().map_or(1, Vec::len)
}

/// Returns the inodes of the sockets that a process has open.
fn socket_inodes(process: &Process) -> ProcResult<Vec<u64>> {
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

    fn inventory(processes: &[(u32, u32, &str)]) -> ProcessInventory {
        let processes = processes.iter().map(|(pid, parent_pid, name)| {
            let line = CommandLine::from_arguments([name]);
            let surveyed = InventoryProcess {
                pid: *pid,
                parent_pid: *parent_pid,
                age: Duration::ZERO,
                line,
                user: "kafka".to_owned(),
                in_container: false,
            };
            (*pid, surveyed)
        });
        ProcessInventory { processes: processes.collect(), problem: None }
    }

    #[test]
    fn forks_lead_to_their_original() {
        let inventory = inventory(&[
            (1, 0, "init"),
            (2, 1, "app"),
            (3, 2, "app"),
            (4, 3, "app"),
            (5, 1, "app"),
            (6, 3, "sh"),
        ]);
        assert_eq!([2, 3, 4, 5, 6].map(|pid| inventory.find_original(pid)), [2, 2, 2, 5, 6]);
        assert_eq!(inventory.lineage(4), [4, 3, 2, 1]);
        assert!(inventory.lineage(9).is_empty());
    }

    #[test]
    fn lineage_ends_on_any_input() {
        assert_eq!(inventory(&[(1, 2, "a"), (2, 1, "a")]).lineage(1), [1, 2]);
    }

    #[test]
    fn own_process_is_listed_with_its_listening_sockets() {
        let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let inventory = ProcessInventory::collect().unwrap();
        let own = inventory.find(std::process::id()).unwrap();
        let arguments: Vec<_> = std::env::args_os().map(|argument| argument.into_encoded_bytes()).collect();
        assert_eq!(own.line, CommandLine::from_arguments(&arguments));
        assert_eq!(
            (own.user.clone(), own.in_container),
            (user_name(rustix::process::geteuid().as_raw()), false)
        );
        assert_eq!(inventory.lineage(own.pid)[0], own.pid);
        let listeners = inventory.read_listening_sockets();
        assert!(listeners.addresses[&own.pid].contains(&here.local_addr().unwrap()));
    }
}
