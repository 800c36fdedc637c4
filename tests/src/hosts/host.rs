//! Single simulated host.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{BRIDGE, HostProcess, run_ip};
use crate::{OutputReader, wait_for};

/// Script that sets up a host and becomes its init process, which reaps orphans until its standard input
/// ends. The machine's control groups are hidden, because they are not the host's own.
const INIT: &str = r#"
set -e
echo "$1" > /proc/sys/kernel/hostname
mount --bind "$2" /proc/sys/kernel/random/boot_id
mount -t tmpfs -o mode=755 tmpfs /run
[ ! -d /sys/fs/cgroup ] || mount -t tmpfs -o mode=755,ro tmpfs /sys/fs/cgroup
exec 3<&0 < /dev/null
exec -a host-init bash -c 'cat <&3 > /dev/null & echo ready; wait'
"#;
/// Script that brings up the interface to the other hosts; `$1` is its address.
const INTERFACES: &str = r#"ip link set lo up && ip addr add "$1/24" dev eth0 && ip link set eth0 up"#;

/// Host that is simulated by namespaces; see [`super::NamespacedHosts`].
#[derive(Debug)]
pub struct NamespacedHost {
    name: String,
    address: Ipv4Addr,
    /// File mounted over the kernel's `boot_id`.
    boot_id: PathBuf,
    running: Option<HostProcesses>,
}

/// Processes that keep a host's namespaces alive.
#[derive(Debug)]
struct HostProcesses {
    unshare: Child,
    /// PID of the host's init process in the test's namespace.
    init: u32,
}

impl NamespacedHost {
    pub(super) fn boot(name: &str, address: Ipv4Addr, folder: &Path) -> Self {
        let boot_id = folder.join(format!("{name}.boot_id"));
        let mut host = Self { name: name.to_owned(), address, boot_id, running: None };
        host.power_on();
        host
    }

    /// Returns the host's name, which is also its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its address in the network of the hosts.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Returns true if it is on.
    pub fn is_on(&self) -> bool {
        self.running.is_some()
    }

    /// Ends everything that runs on the host at once, like a power failure. Its files stay.
    pub fn power_off(&mut self) {
        if let Some(mut running) = self.running.take() {
            // Killing `unshare` also kills the host's init process, and the kernel then kills the rest.
            let _ = running.unshare.kill();
            let _ = running.unshare.wait();
            let init = format!("/proc/{}", running.init);
            wait_for("a host to be off", || (!Path::new(&init).exists()).then_some(()));
            // The kernel removes it with the network namespace, at its leisure. An error means that it has.
            let _ = Command::new("ip").args(["link", "delete", &self.port()]).stderr(Stdio::null()).status();
        }
    }

    /// Boots it, with a new boot ID.
    ///
    /// # Panics
    /// Panics if a step fails.
    pub fn power_on(&mut self) {
        let id = std::fs::read("/proc/sys/kernel/random/uuid").expect("the kernel makes UUIDs");
        std::fs::write(&self.boot_id, id).expect("a file can be written");
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child=SIGKILL"]);
        command.args(["--mount-proc", "bash", "-c", INIT, "bash", &self.name]).arg(&self.boot_id);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut unshare = command.spawn().expect("unshare can be run");
        let output = OutputReader::collect(unshare.stdout.take().expect("the output is piped"));
        wait_for("a host to boot", || (!output.lines().is_empty()).then_some(()));
        let id = unshare.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let init = children.trim().parse().expect("unshare has one child");
        self.running = Some(HostProcesses { unshare, init });
        let port = self.port();
        // The MAC address stays the same, or the other hosts would use the old one for half a minute.
        let card = format!("02:00:0a:4d:00:{:02x}", self.address.octets()[3]);
        let (add, peer) =
            (["link", "add", &port, "type", "veth"], ["peer", "name", "eth0", "address", &card]);
        run_ip(&[add.as_slice(), &peer, &["netns", &id.to_string()]].concat());
        run_ip(&["link", "set", &port, "master", BRIDGE, "up"]);
        let mut interfaces = self.command("sh");
        interfaces.args(["-c", INTERFACES, "sh", &self.address.to_string()]);
        let status = interfaces.status().expect("nsenter can be run");
        assert!(status.success(), "{}: no interface: {status}", self.name);
    }

    /// Drops every frame to and from the host, without notifying either side.
    pub fn cut(&self) {
        run_ip(&["link", "set", &self.port(), "nomaster"]);
    }

    /// Undoes [`NamespacedHost::cut`].
    pub fn heal(&self) {
        run_ip(&["link", "set", &self.port(), "master", BRIDGE]);
    }

    /// Returns the name of its port on the bridge.
    fn port(&self) -> String {
        format!("port{}", self.address.octets()[3])
    }

    /// Returns a command that runs on the host as root, with `/` as its directory. The spawned process stays
    /// outside, waits for the one on the host, and exits with it.
    ///
    /// # Panics
    /// Panics if the host is off.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let init = self.running.as_ref().expect("the host is on").init;
        let mut command = Command::new("nsenter");
        command.args(["--target", &init.to_string(), "--mount", "--uts", "--ipc", "--net", "--pid", "--"]);
        command.arg(program);
        command
    }

    /// Sends a signal, such as `KILL`, to a process of the host. Does nothing if it has ended.
    ///
    /// # Panics
    /// Panics if the host is off.
    pub fn signal(&self, pid: u32, signal: &str) {
        let mut kill = self.command("kill");
        kill.args(["-s", signal, &pid.to_string()]).stderr(Stdio::null());
        let _ = kill.status().expect("nsenter can be run");
    }

    /// Returns the processes in the host's own `/proc`, without zombies; empty if the host is off.
    pub fn processes(&self) -> Vec<HostProcess> {
        let root = self.running.as_ref().map(|running| format!("/proc/{}/root/proc", running.init));
        root.map(|root| HostProcess::list(Path::new(&root))).unwrap_or_default()
    }
}

impl Drop for NamespacedHost {
    fn drop(&mut self) {
        self.power_off();
    }
}
