//! Simulated agents of one environment in a process of their own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _, stdin, stdout};
use std::process::{Child, ChildStdin, Command, Stdio};

use rta_tests::FakeAgents;

use crate::scenario::{COMPONENTS, raise_open_files};

/// Option of the bench with which it simulates agents only: `ENVIRONMENT,HOSTS`.
pub(crate) const SIMULATE: &str = "--simulate";

/// Process with the agents of an environment. It ends when this is dropped, or with the bench.
pub(crate) struct AgentProcess {
    /// Configuration of the environment.
    pub(crate) environment_toml: String,
    child: Child,
    /// The process ends when this is closed.
    stdin: Option<ChildStdin>,
}

impl AgentProcess {
    /// Starts the agents of the environment of this number, each of which has so many hosts.
    pub(crate) fn start(environment: usize, hosts: usize) -> Self {
        let program = std::env::current_exe().expect("the bench knows its own program");
        let mut child = Command::new(program)
            .args(["--bench", SIMULATE, &format!("{environment},{hosts}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the bench can start itself");
        let stdin = child.stdin.take();
        let lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
        let lines = lines.map(|line| line.expect("the agents are described"));
        let environment_toml = lines.take_while(|line| !line.is_empty()).map(|line| line + "\n").collect();
        Self { environment_toml, child, stdin }
    }

    /// Returns the ports of the agents.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        let port = |line: &str| line.rsplit_once(':')?.1.trim_end_matches('"').parse().ok();
        self.environment_toml.lines().filter_map(port)
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// Simulates the agents that [`AgentProcess::start`] asks for until the standard input ends.
pub(crate) fn simulate(environment: usize, hosts: usize) {
    raise_open_files();
    let agents = FakeAgents::beginning_with(environment * hosts, hosts, COMPONENTS);
    let toml = agents.environment_toml(&format!("E{environment}"));
    // The lines are followed by an empty one.
    writeln!(stdout(), "{toml}").expect("the bench reads the description");
    let _ = stdin().read_to_end(&mut Vec::new());
}
