//! Child processes of a test, and the control groups of processes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Child processes of a test, killed and waited for when this is dropped.
#[derive(Debug, Default)]
pub struct ChildProcesses(Vec<Child>);

impl ChildProcesses {
    /// Starts a process and returns its PID.
    ///
    /// # Panics
    /// Panics if it cannot be run.
    pub fn spawn(&mut self, command: &mut Command) -> u32 {
        self.spawn_with_log(command, Stdio::null())
    }

    /// Starts a process whose standard error goes to `log`, and returns its PID.
    ///
    /// # Panics
    /// Panics if it cannot be run.
    pub fn spawn_with_log(&mut self, command: &mut Command, log: impl Into<Stdio>) -> u32 {
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        let child = child.expect("the program can be run");
        let pid = child.id();
        self.0.push(child);
        pid
    }

    /// Takes over a process that was started elsewhere.
    pub fn adopt(&mut self, child: Child) {
        self.0.push(child);
    }

    /// Kills a process and waits for its end.
    ///
    /// # Panics
    /// Panics if it is not one of these processes.
    pub fn kill(&mut self, pid: u32) {
        let at = self.0.iter().position(|child| child.id() == pid).expect("it was begun");
        end(self.0.remove(at));
    }
}

impl Drop for ChildProcesses {
    fn drop(&mut self) {
        self.0.drain(..).for_each(end);
    }
}

/// Returns the folder of the control group that an agent created for a process; `None` if it created none.
pub fn control_group(pid: u32) -> Option<PathBuf> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    if !Path::new(path).file_name()?.to_str()?.starts_with("rta-") {
        return None;
    }
    let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    roots.iter().map(|root| Path::new(root).join(path)).find(|folder| folder.is_dir())
}

fn end(mut child: Child) {
    // Errors mean that it has ended and was waited for.
    let _ = child.kill();
    let _ = child.wait();
}
