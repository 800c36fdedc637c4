//! Lists every process of this machine with its command line and listening sockets, for people who look for
//! components to configure. Reads once, without haste; scans have a separate access to /proc.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use rta_shared::attributes::acting_user;
use rta_shared::config::HostComponent;
use rta_shared::process::CommandLine;
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::host::process_attributes::ProcfsAttributes;
use crate::host::procfs::{ProcFs, ProcessDir};
use crate::host::sockets::{add_listening_sockets, socket_inodes};
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

/// Process of an inventory.
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
        let to_error = |error: Errno| format!("cannot see the processes: /proc cannot be read: {error}");
        let mut proc = ProcFs::open().map_err(to_error)?;
        let mut listed = Vec::new();
        proc.list(&mut listed).map_err(to_error)?;
        let own_depth =
            proc.process(std::process::id()).and_then(|own| own.status()).map_err(to_error)?.namespaces;
        let since_boot = since_boot();
        let mut inventory = Self { problem: visibility::find_hidepid_problem(), ..Self::default() };
        let mut unreadable = 0_u32;
        let mut names = HashMap::new();
        let mut name = |uid: u32| names.entry(uid).or_insert_with(|| user_name(uid)).clone();
        for pid in listed.into_iter().map(|listed| listed.pid) {
            let folder = proc.process(pid);
            match folder.and_then(|folder| read_process(pid, &folder, since_boot, own_depth, &mut name)) {
                Ok(process) if process.line.is_empty() => {}
                Ok(process) => {
                    inventory.processes.insert(process.pid, process);
                }
                Err(Errno::ACCESS | Errno::PERM) => unreadable += 1,
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
        let Ok(proc) = ProcFs::open() else { return listeners };
        // The kernel numbers sockets' inodes across all namespaces.
        let mut sockets = HashMap::new();
        let mut namespaces = BTreeSet::new();
        let mut held = Vec::new();
        for pid in self.processes.keys().copied() {
            let Ok(process) = proc.process(pid) else { continue };
            match socket_inodes(&process) {
                Ok(inodes) if inodes.is_empty() => continue,
                Ok(inodes) => held.push((pid, inodes)),
                Err(Errno::ACCESS | Errno::PERM) => {
                    listeners.unreadable.insert(pid);
                    continue;
                }
                Err(_) => continue,
            }
            if process.link("ns/net").is_ok_and(|namespace| namespaces.insert(namespace)) {
                add_listening_sockets(&process, &mut sockets);
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
    pid: u32,
    process: &ProcessDir,
    since_boot: Duration,
    own_depth: usize,
    name: impl FnOnce(u32) -> String,
) -> Result<InventoryProcess, Errno> {
    let stat = process.stat()?;
    let status = process.status()?;
    let mut line = CommandLine::new();
    process.command_line(&mut line)?;
    let ticks = rustix::param::clock_ticks_per_second();
    let started = Duration::from_millis(stat.start_ticks.saturating_mul(1000) / ticks);
    Ok(InventoryProcess {
        pid,
        parent_pid: stat.parent_pid,
        age: since_boot.saturating_sub(started),
        line,
        user: name(acting_user(status.real_uid, status.effective_uid)),
        in_container: status.namespaces != own_depth,
    })
}

/// Returns the time since the boot, including that in which the machine slept. Start times count from it; in
/// some containers /proc/uptime does not.
fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
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
