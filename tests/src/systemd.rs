//! Real systemd with a real system bus, as PID 1 of its own namespaces.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::{OutputReader, wait_for};

/// Units that systemd requires by default; here they do nothing.
const TARGETS: [&str; 12] = [
    "basic.target",
    "exit.target",
    "final.target",
    "halt.target",
    "multi-user.target",
    "poweroff.target",
    "reboot.target",
    "shutdown.target",
    "sockets.target",
    "sysinit.target",
    "umount.target",
    "network.target",
];

/// Script that enters its own control group ($1), and ends with the thread that started it.
const OUTER: &str = r#"
set -e
mkdir -p "$1"
echo $$ > "$1/cgroup.procs"
exec setpriv --pdeathsig KILL unshare -m -u -i -p -C --fork --kill-child=SIGKILL --mount-proc bash -c "$3" bash "$2"
"#;

/// Script that becomes systemd with the units of a folder ($1).
const INNER: &str = r#"
set -e
umount -R -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/dbus
export container=unshare SYSTEMD_UNIT_PATH="$1" SYSTEMD_LOG_TARGET=console PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no
"#;

/// Real systemd as PID 1 of its own PID, mount, UTS, IPC and cgroup namespaces. The network is the test's
/// own. All its processes end when this is dropped.
#[derive(Debug)]
pub struct RealSystemd {
    /// `unshare`, whose only child is systemd.
    parent: Child,
    init: u32,
    cgroup: PathBuf,
    log: OutputReader,
    units: TempDir,
}

impl RealSystemd {
    /// Starts systemd with these units, each a name and a content, beside its own. `None` if this machine
    /// cannot run it: the test is then skipped with a loud message.
    ///
    /// # Panics
    /// Panics in the gate (`RTA_GATE` is set), which meets all requirements, if systemd cannot be run.
    pub fn start(token: &str, units: &[(&str, String)]) -> Option<Self> {
        let began = missing().map_or_else(|| Self::begin(token, units), Err);
        match began {
            Ok(systemd) => Some(systemd),
            Err(why) => {
                assert!(std::env::var_os("RTA_GATE").is_none(), "no systemd to test with: {why}");
                skip(&why);
                None
            }
        }
    }

    fn begin(token: &str, units: &[(&str, String)]) -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let write = |name: &str, content: &str| {
            std::fs::write(folder.path().join(name), content).expect("a unit can be written");
        };
        for target in TARGETS {
            write(target, "[Unit]\nDefaultDependencies=no\n");
        }
        write(
            "test.target",
            "[Unit]\nRequires=basic.target dbus.service\nAfter=basic.target\nAllowIsolate=yes\n",
        );
        write(
            "dbus.socket",
            "[Unit]\nDefaultDependencies=no\n[Socket]\nListenStream=/run/dbus/system_bus_socket\n",
        );
        write(
            "dbus.service",
            "[Unit]\nDefaultDependencies=no\nRequires=dbus.socket\nAfter=dbus.socket\n[Service]\nType=notify\n\
             ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile \
             --systemd-activation --syslog-only\n",
        );
        for (name, content) in units {
            write(name, content);
        }
        let unified = Path::new("/sys/fs/cgroup/unified");
        let groups = if unified.is_dir() { unified } else { Path::new("/sys/fs/cgroup") };
        let cgroup = groups.join(format!("rta-test-{token}"));
        let mut command = Command::new("bash");
        command.args(["-c", OUTER, "bash"]).arg(&cgroup).arg(folder.path()).arg(INNER);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut parent = command.spawn().map_err(|error| format!("bash cannot be run: {error}"))?;
        let log = OutputReader::collect(parent.stderr.take().expect("the log is piped"));
        let mut systemd = Self { parent, init: 0, cgroup, log, units: folder };
        wait_for("systemd to come up", || systemd.poll().transpose())?;
        Ok(systemd)
    }

    /// Returns `Some` once its bus exists, and an error if it has exited.
    fn poll(&mut self) -> Result<Option<()>, String> {
        if let Some(status) = self.parent.try_wait().expect("a child can be asked") {
            return Err(format!("it ended with {status}: {:?}", self.log.lines()));
        }
        let id = self.parent.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let Some(init) = children.split_whitespace().next().and_then(|pid| pid.parse().ok()) else {
            return Ok(None);
        };
        self.init = init;
        // Until it has become systemd it has the outer root, where another systemd may run.
        let name = std::fs::read_to_string(format!("/proc/{init}/comm")).unwrap_or_default();
        if name.trim() != "systemd" {
            return Ok(None);
        }
        let active = self
            .enter("systemctl")
            .args(["is-active", "--quiet", "dbus.service"])
            .stderr(Stdio::null())
            .status();
        Ok(active.is_ok_and(|status| status.success()).then_some(()))
    }

    /// Returns a command that runs inside, in all namespaces but the network.
    pub fn enter(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init.to_string(), "-m", "-u", "-i", "-p", "-C", "--"]);
        command.arg(program.as_ref()).env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.env_remove("DBUS_SYSTEM_BUS_ADDRESS");
        command
    }

    /// Runs `systemctl` inside, to completion.
    ///
    /// # Panics
    /// Panics if it cannot be run.
    pub fn systemctl(&self, arguments: &[&str]) -> Output {
        self.enter("systemctl").args(arguments).output().expect("nsenter can be run")
    }

    /// Returns the output of systemd and its units so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Returns the folder of its units.
    pub fn units(&self) -> &Path {
        self.units.path()
    }
}

impl Drop for RealSystemd {
    fn drop(&mut self) {
        // Killing `unshare` also kills systemd, and thereby everything in its namespace.
        let _ = self.parent.kill();
        let _ = self.parent.wait();
        // The last process may take a moment to leave.
        wait_for("the control group to be empty", || {
            remove(&self.cgroup);
            (!self.cgroup.exists()).then_some(())
        });
    }
}

/// Removes a control group and its descendants, as far as they are empty.
fn remove(group: &Path) {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    // An error means that it is not empty.
    let _ = std::fs::remove_dir(group);
}

/// Returns the first unmet requirement for running systemd in a test.
fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the test does not run as root".to_owned());
    }
    let needed = [
        "/lib/systemd/systemd",
        "/usr/bin/systemctl",
        "/usr/bin/dbus-daemon",
        "/usr/bin/unshare",
        "/usr/bin/nsenter",
        "/usr/bin/setpriv",
    ];
    needed.into_iter().find(|path| !Path::new(path).exists()).map(|path| format!("{path} is not installed"))
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: no systemd to test with: {why}");
}
