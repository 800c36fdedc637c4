//! Random actions on the components' processes, each entered in the record.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rta_tests::{RandomNumbers, TestConfig, binary, wait_for};

use crate::report_checker::ReportChecker;

/// Runs a shell that runs a shell that becomes the stand-in, all under one PID.
const LAUNCHER: &str = r#"exec /bin/sh -c 'exec "$STAND_IN" "--token=$TOKEN"'"#;
/// Script of a restless process, which matches by its last argument. A line of input makes it fork children,
/// which briefly show its command line; the end of input makes it another program under the same PID.
const FORKING_LAUNCHER: &str = r#"while read _; do (:); /bin/true; done; exec "$STAND_IN" --token=none"#;
/// Last PID assigned in the writer's PID namespace; the next process gets the PID after it.
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
/// Time after which a restless process's children have ended.
const YOUNG_AGE: Duration = Duration::from_millis(100);

/// Processes of the bench, and a random number generator.
pub(crate) struct RandomActions {
    pub(crate) components: Vec<String>,
    running: BTreeMap<String, Child>,
    /// Processes that do not belong to components.
    unrelated: Vec<Child>,
    random: RandomNumbers,
    /// Number of times that each action was performed.
    pub(crate) done: BTreeMap<&'static str, usize>,
}

impl RandomActions {
    pub(crate) fn new(components: Vec<String>, seed: u64) -> Self {
        Self {
            components,
            running: BTreeMap::new(),
            unrelated: Vec::new(),
            random: RandomNumbers::new(seed),
            done: BTreeMap::new(),
        }
    }

    /// Returns a number below `below`.
    pub(crate) fn random(&mut self, below: usize) -> usize {
        self.random.below(below)
    }

    /// Performs a random action on a random component.
    pub(crate) fn run_next(&mut self, config: &TestConfig, record: &mut ReportChecker) {
        let at = self.random(self.components.len());
        let component = self.components[at].clone();
        let choice = self.random(4);
        let what = match self.running.remove(&component) {
            None => self.start(&component, choice, config, record),
            Some(child) => self.end(&component, child, choice, config, record),
        };
        *self.done.entry(what).or_default() += 1;
        // Limits the number of unrelated processes.
        while self.unrelated.len() > 20 {
            end(self.unrelated.remove(0));
        }
    }

    fn start(
        &mut self,
        component: &str,
        choice: usize,
        config: &TestConfig,
        record: &mut ReportChecker,
    ) -> &'static str {
        let token = format!("{component}-{}", config.token());
        let (child, what) = match choice {
            0 => (config.start_stand_in(component), "started"),
            1 => {
                let child = shell(LAUNCHER).env("TOKEN", &token).spawn().unwrap();
                (child, "started by a launcher that executes twice")
            }
            2 => {
                let argument = format!("--token={token}");
                let child =
                    shell(FORKING_LAUNCHER).args(["sh", &argument]).stdin(Stdio::piped()).spawn().unwrap();
                (child, "started as a shell that forks")
            }
            _ => {
                if self.unrelated.is_empty() {
                    self.unrelated.push(unrelated());
                }
                let other = self.unrelated.swap_remove(0);
                let pid = other.id();
                end(other);
                let child = with_pid(pid, || config.start_stand_in(component));
                let hit = child.id() == pid;
                (child, if hit { "started under the PID of another" } else { "started; the PID was missed" })
            }
        };
        record.began(component, child.id());
        wait_for("a command line", || shows(child.id(), &token).then_some(()));
        self.running.insert(component.to_owned(), child);
        what
    }

    fn end(
        &mut self,
        component: &str,
        mut child: Child,
        choice: usize,
        config: &TestConfig,
        record: &mut ReportChecker,
    ) -> &'static str {
        let pid = child.id();
        if let Some(mut lines) = child.stdin.take() {
            // Only restless processes have an input.
            lines.write_all(b"\n\n\n").unwrap();
            if choice.is_multiple_of(2) {
                child.stdin = Some(lines);
                self.running.insert(component.to_owned(), child);
                std::thread::sleep(YOUNG_AGE);
                return "forked children";
            }
            drop(lines);
            let token = format!("{component}-{}", config.token());
            wait_for("a command line", || (!shows(pid, &token)).then_some(()));
            record.ended(component, pid);
            self.unrelated.push(child);
            return "became another program under its PID";
        }
        end(child);
        record.ended(component, pid);
        match choice {
            0 | 1 => "killed",
            2 => {
                let other = with_pid(pid, unrelated);
                let hit = other.id() == pid;
                self.unrelated.push(other);
                if hit { "killed, and another got its PID" } else { "killed; the PID was missed" }
            }
            _ => {
                let next = with_pid(pid, || config.start_stand_in(component));
                let hit = next.id() == pid;
                record.began(component, next.id());
                self.running.insert(component.to_owned(), next);
                if hit { "restarted under its PID" } else { "restarted; the PID was missed" }
            }
        }
    }
}

impl Drop for RandomActions {
    fn drop(&mut self) {
        self.running.values_mut().chain(&mut self.unrelated).for_each(|child| {
            // An error means that it has ended.
            let _ = child.kill();
            let _ = child.wait();
        });
    }
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts a process with this PID, which must be free, unless another process takes it first.
fn with_pid(pid: u32, start: impl FnOnce() -> Child) -> Child {
    std::fs::write(LAST_PID, (pid - 1).to_string()).unwrap();
    start()
}

fn unrelated() -> Child {
    let mut command = Command::new(binary("stand-in"));
    command.arg("--token=none").env("STAND_IN_LEASE", std::process::id().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env("STAND_IN", binary("stand-in"));
    command.env("STAND_IN_LEASE", std::process::id().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Returns true if a process has this token as an argument, according to /proc.
fn shows(pid: u32, token: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|argument| argument.strip_prefix(b"--token=") == Some(token.as_bytes()))
}
