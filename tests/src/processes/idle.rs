//! Many idle processes with arbitrary command lines, made by running the caller's own program again.

use std::io::{Read as _, pipe};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

/// Environment variable that marks an idle process.
const IDLE_VARIABLE: &str = "RTA_TESTS_IDLE";

/// Idle processes. They end when this is dropped, or when the creating process ends in any way.
#[derive(Debug)]
pub struct IdleProcesses {
    /// Write end of the pipe that all processes wait on; nothing is ever written.
    lease: Option<std::io::PipeWriter>,
    waiting: std::io::PipeReader,
    children: Vec<Child>,
}

impl IdleProcesses {
    /// Idles until the others end and then exits, if this process was started as an idle one. Must be called
    /// first by every program that creates idle processes.
    pub fn run_if_idle_process() {
        if std::env::var_os(IDLE_VARIABLE).is_some() {
            // Nothing is ever written; the processes end with the stream.
            let _ = std::io::stdin().read(&mut [0]);
            std::process::exit(0);
        }
    }

    /// Creates an empty set of processes.
    ///
    /// # Panics
    /// Panics if no pipe can be created.
    #[expect(clippy::new_without_default, reason = "it makes a pipe")]
    pub fn new() -> Self {
        let (waiting, lease) = pipe().expect("a pipe can be made");
        Self { lease: Some(lease), waiting, children: Vec::new() }
    }

    /// Adds a process with this command line, which starts with the program's name; returns its PID.
    ///
    /// # Panics
    /// Panics if it cannot be run.
    pub fn add(&mut self, line: &[String]) -> u32 {
        let (name, arguments) = line.split_first().expect("a command line has a first argument");
        let mut command = Command::new("/proc/self/exe");
        command.arg0(name).args(arguments).env_clear().env(IDLE_VARIABLE, "1");
        command.stdin(self.waiting.try_clone().expect("a pipe can be shared"));
        let child = command.stdout(Stdio::null()).spawn().expect("this program can be run again");
        let pid = child.id();
        self.children.push(child);
        pid
    }

    /// Kills a process and waits for its end.
    ///
    /// # Panics
    /// Panics if it is not one of these processes.
    pub fn kill(&mut self, pid: u32) {
        let at = self.children.iter().position(|member| member.id() == pid).expect("one of the crowd");
        let mut member = self.children.swap_remove(at);
        member.kill().expect("a child can be killed");
        member.wait().expect("a child can be waited for");
    }
}

impl Drop for IdleProcesses {
    fn drop(&mut self) {
        self.lease = None;
        for member in &mut self.children {
            // An error means that it was already waited for.
            let _ = member.wait();
        }
    }
}
