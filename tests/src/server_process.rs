//! Programs that serve until they are stopped, and programs that run to completion.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::output_reader::ReadMode;
use crate::{OutputReader, binary};

/// Time limit that only broken tests exceed.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Interval between two looks at an awaited condition.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Calls `attempt` until it returns a value.
///
/// # Panics
/// Panics after a minute without a value; `what` names the awaited condition.
pub fn wait_for<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TEST_TIMEOUT;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Reads a value until it meets a condition, and returns it.
///
/// # Panics
/// Panics after a minute without such a value, and shows the last one; `what` names the awaited condition.
pub(crate) fn wait_for_value(what: &str, read: impl Fn() -> Value, is_met: impl Fn(&Value) -> bool) -> Value {
    /// Characters of the value that are shown.
    const MAX_SHOWN: usize = 4_000;
    let deadline = Instant::now() + TEST_TIMEOUT;
    loop {
        let value = read();
        if is_met(&value) {
            return value;
        }
        let shown = || value.to_string().chars().take(MAX_SHOWN).collect::<String>();
        assert!(Instant::now() < deadline, "waited in vain for {what}: {}", shown());
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Runs one of the binaries to completion, without input.
///
/// # Panics
/// Panics if it cannot be run.
pub fn run_binary<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Output {
    let mut command = Command::new(binary(name));
    command.args(arguments).stdin(Stdio::null()).env_remove("RTA_AGGREGATOR").env_remove("RTA_LOG");
    command.env_remove("RTA_CA").env_remove("RTA_CERT").env_remove("RTA_KEY").env_remove("RTA_TOKEN_FILE");
    command.output().expect("the binary can be run")
}

/// Serving binary, killed when this is dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    log: OutputReader,
    _runtime: Option<TempDir>,
}

impl ServerProcess {
    /// Starts one of the binaries, with its log as JSON.
    ///
    /// # Panics
    /// Panics if it cannot be run.
    pub fn start<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(binary(name));
        command.args(arguments);
        Self::spawn(command)
    }

    /// Starts `command`, which ends in the arguments of one of the binaries, with its log as JSON. Adds
    /// `--insecure` if there is no certificate, and disables the socket unless `--socket` is given, because
    /// this machine's socket does not belong to tests.
    ///
    /// # Panics
    /// Panics if it cannot be run.
    pub fn spawn(mut command: Command) -> Self {
        let has = |flag: &str| command.get_args().any(|argument| argument == flag);
        let (is_clear, has_socket) = (!has("--tls-cert") && !has("--insecure"), has("--socket"));
        if is_clear {
            command.arg("--insecure");
        }
        if !has_socket {
            command.args(["--socket", "none"]);
        }
        // An agent without a given runtime folder gets a folder of its own, as if it were alone on the
        // machine. It may run as another user.
        let is_told = command.get_args().any(|argument| argument == "--runtime");
        let runtime = (!is_told).then(|| {
            let folder = tempfile::tempdir().expect("a folder can be made");
            let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            std::fs::set_permissions(folder.path(), everybody).expect("a folder's mode can be changed");
            command.env("RTA_RUNTIME_DIR", folder.path());
            folder
        });
        command.args(["--log-format", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).env("RTA_LOG", "info");
        let mut child = command.spawn().expect("the binary can be run");
        let log = OutputReader::collect(child.stderr.take().expect("the log is piped"));
        Self { child, log, _runtime: runtime }
    }

    /// Returns the address that it logged as "listening" under this key.
    ///
    /// # Panics
    /// Panics if it does not log one in time, or exits.
    pub fn address(&mut self, key: &str) -> SocketAddr {
        wait_for("a program to listen", || {
            let ended = self.child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "it ended: {:#?}", self.log.lines());
            self.log.lines().iter().find_map(|line| {
                let event: serde_json::Value = serde_json::from_str(line).ok()?;
                (event["message"] == "listening").then(|| event[key].as_str()?.parse().ok()).flatten()
            })
        })
    }

    /// Returns its log so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Closes the reading end of its log after the next line, as if `| logger` had ended.
    pub fn close_log(&self) {
        self.log.set_mode(ReadMode::Closed);
    }

    /// Stops reading its log after the next line, but keeps it open.
    pub fn stall_log(&self) {
        self.log.set_mode(ReadMode::Stalled);
    }

    /// Returns its process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// Panics if it has ended.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a PID");
        kill_process(pid, signal).expect("a child can be signalled");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Panics if it does not end in time.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("a program to end", || self.child.try_wait().expect("a child can be asked"))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // An error means that it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
