//! Several simulated hosts on this machine, each with its own namespaces, on one bridge.
//!
//! A [`NamespacedHost`] has its own network stack, address, PIDs, `/proc`, name, boot ID and `/run`. It needs
//! root, util-linux and iproute2. Nothing is left when it is dropped or when the test's process is killed:
//! the namespaces live as long as their processes, which end with their standard input.

mod host;
mod process;

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

pub use host::NamespacedHost;
pub use process::HostProcess;

use crate::wait_for;

/// Network namespace of the calling thread.
const OWN_NETWORK: &str = "/proc/thread-self/ns/net";
/// Bridge that joins the hosts, in the network namespace of the test's thread.
const BRIDGE: &str = "br0";

/// Simulated hosts, and the network that joins them.
///
/// The thread that starts them moves into that network, as machine 10.77.0.254, together with every process
/// and thread that it starts later. It moves back when this is dropped.
#[derive(Debug)]
pub struct NamespacedHosts {
    hosts: Vec<NamespacedHost>,
    /// Original network namespace of the thread.
    home: File,
    /// Process that keeps the network namespace alive.
    keeper: Child,
    /// Files mounted over those of the hosts' kernels.
    _folder: TempDir,
}

impl NamespacedHosts {
    /// Starts a host for each name: the first has the address 10.77.0.1, and so on. Returns `None` with a
    /// loud message if this machine cannot run them.
    ///
    /// # Panics
    /// Panics in the gate (`RTA_GATE` is set), which meets all requirements, and if a
    /// step fails unexpectedly.
    pub fn start(names: &[&str]) -> Option<Self> {
        let Some(reason) = missing_requirement() else { return Some(Self::set_up(names)) };
        assert!(std::env::var_os("RTA_GATE").is_none(), "no hosts to test with: {reason}");
        skip(&reason);
        None
    }

    fn set_up(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let home = File::open(OWN_NETWORK).expect("a thread has a network namespace");
        let mut keeper = Command::new("unshare");
        keeper.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let keeper = keeper.spawn().expect("unshare can be run");
        let network = format!("/proc/{}/ns/net", keeper.id());
        let link = |path: &str| std::fs::read_link(path).ok();
        wait_for("a network namespace", || (link(&network) != link(OWN_NETWORK)).then_some(()));
        move_into(&File::open(network).expect("the keeper runs"));
        run_ip(&["link", "set", "lo", "up"]);
        run_ip(&["link", "add", BRIDGE, "type", "bridge"]);
        run_ip(&["addr", "add", "10.77.0.254/24", "dev", BRIDGE]);
        run_ip(&["link", "set", BRIDGE, "up"]);
        let hosts = names.iter().zip(1..).map(|(name, number)| {
            let address = Ipv4Addr::new(10, 77, 0, number);
            NamespacedHost::boot(name, address, folder.path())
        });
        let hosts = hosts.collect();
        Self { hosts, home, keeper, _folder: folder }
    }

    /// Returns the hosts, in the order of their names.
    pub fn all(&self) -> &[NamespacedHost] {
        &self.hosts
    }

    /// Returns the host at this position.
    ///
    /// # Panics
    /// Panics if there are fewer.
    pub fn get(&self, index: usize) -> &NamespacedHost {
        &self.hosts[index]
    }

    /// Returns the host at this position, to turn it off and on.
    ///
    /// # Panics
    /// Panics if there are fewer.
    pub fn get_mut(&mut self, index: usize) -> &mut NamespacedHost {
        &mut self.hosts[index]
    }
}

impl Drop for NamespacedHosts {
    fn drop(&mut self) {
        self.hosts.clear();
        move_into(&self.home);
        // An error means that it has ended.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn move_into(network: &File) {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("root can move between network namespaces");
}

/// Runs ip(8) in the hosts' network.
fn run_ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("ip can be run");
    assert!(status.success(), "ip {} failed with {status}", arguments.join(" "));
}

/// Returns the first requirement that this machine does not meet, as a sentence.
fn missing_requirement() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the test does not run as root".to_owned());
    }
    for program in ["bash", "ip", "nsenter", "setpriv", "unshare"] {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&folders).any(|folder| folder.join(program).exists()) {
            return Some(format!("{program} is not installed (util-linux, iproute2)"));
        }
    }
    let status = Command::new("unshare").args(["--net", "--pid", "--fork", "true"]).status();
    let is_allowed = status.is_ok_and(|status| status.success()) && Path::new("/proc/self/ns/net").exists();
    (!is_allowed).then(|| "namespaces cannot be made here".to_owned())
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skip(reason: &str) {
    eprintln!("SKIPPED: no hosts to test with: {reason}");
}
