//! Hosts with their agents, and the aggregators.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rta_tests::{NamespacedHost, NamespacedHosts, WebClient, binary, wait_for};
use tempfile::TempDir;

use crate::aggregators::{AggregatorState, Aggregators, advertised, host_of};
use crate::components::INSTANCES;
use crate::sampler::get;

/// Hosts with agents, and those of the aggregators.
pub(crate) const HOSTS: [&str; AGENTS + MAX_AGGREGATORS] = ["h1", "h2", "h3", "center", "center2", "center3"];
/// Number of hosts with agents.
pub(crate) const AGENTS: usize = 3;
/// Maximum number of aggregators.
pub(crate) const MAX_AGGREGATORS: usize = 3;
/// Folder with a subfolder per architecture that holds libfaketime, which shifts a program's
/// wall clock when preloaded.
const LIBRARIES: &str = "/usr/lib";
/// Host whose agent has a shifted clock, and the shift.
const SKEWED: (usize, &str) = (1, "+2h");

/// User of the look-alikes: nobody.
const FOREIGN_USER: u32 = 65_534;

/// System under test.
#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) hosts: NamespacedHosts,
    pub(crate) aggregators: Aggregators,
    folder: TempDir,
    /// Child processes of the bench that have not ended.
    children: Vec<Child>,
}

/// Destination of an agent's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgentLog {
    /// File.
    File,
    /// Pipe whose reader ends after the first line.
    ClosedPipe,
}

impl Platform {
    /// Starts the agents and the aggregators, and waits until every host is reachable.
    pub(crate) fn start(hosts: NamespacedHosts, aggregators: Aggregators) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut platform = Self { hosts, aggregators, folder, children: Vec::new() };
        std::fs::create_dir(platform.path("config")).unwrap();
        std::fs::write(platform.path("config/platform.toml"), platform.configuration()).unwrap();
        for host in 0..AGENTS {
            platform.start_agent(host, AgentLog::File);
        }
        for aggregator in 0..platform.aggregators.states.len() {
            platform.start_aggregator(aggregator);
            let web = platform.next_web().unwrap();
            wait_for("every host to be reached", || {
                let overview =
                    serde_json::from_str::<serde_json::Value>(&get(web, "/api/v1/overview")?.body).ok()?;
                let hosts = overview["environments"][0]["hosts"].as_array()?.clone();
                hosts.iter().all(|host| host["reachable"] == true).then_some(())
            });
        }
        platform
    }

    fn configuration(&self) -> String {
        let folder = self.folder.path().display().to_string();
        let stand_in = binary("stand-in").display().to_string();
        let tables: String = INSTANCES.iter().map(|instance| instance.table(&stand_in, &folder)).collect();
        let hosts = (0..AGENTS).map(|host| {
            let carried = INSTANCES.iter().filter(|instance| instance.host == host);
            let names: Vec<String> =
                carried.map(|instance| format!("\"{}\"", instance.component)).collect();
            let (name, address) = (HOSTS[host], self.hosts.get(host).address());
            format!(
                "[[environment.host]]\nname = \"{name}\"\ncomponents = [{}]\nagent = \"http://{address}:7601\"\n",
                names.join(", ")
            )
        });
        let hosts: String = hosts.collect();
        format!("{tables}[[environment]]\nname = \"CHAOS\"\n{hosts}")
    }

    /// Keeps the folder shared by all hosts after the run, for inspection. Returns its path.
    pub(crate) fn keep_folder(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// Returns a path in the folder shared by all hosts.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the host at this position.
    pub(crate) fn host(&self, host: usize) -> &NamespacedHost {
        self.hosts.get(host)
    }

    /// Starts the agent of a host.
    pub(crate) fn start_agent(&mut self, host: usize, log: AgentLog) {
        self.start_agent_at(host, 7601, log);
    }

    /// Starts an agent of a host on a different port, with the same state folder as its first agent.
    pub(crate) fn start_agent_at(&mut self, host: usize, port: u16, log: AgentLog) {
        let machine = self.hosts.get(host);
        let mut words = vec![
            binary("rta-agent").display().to_string(),
            "--config".to_owned(),
            self.path("config").display().to_string(),
            "--host".to_owned(),
            machine.name().to_owned(),
            "--listen".to_owned(),
            format!("{}:{port}", machine.address()),
            "--insecure".to_owned(),
            "--state".to_owned(),
            self.path(&format!("state-{}", machine.name())).display().to_string(),
        ];
        if log == AgentLog::ClosedPipe {
            let script = "\"$@\" 2>&1 | head -n 1 > /dev/null";
            words.splice(0..0, ["bash", "-c", script, "bash"].map(str::to_owned));
        }
        let mut command = machine.command("env");
        if let Some(library) = fake_time().filter(|_| host == SKEWED.0) {
            command.args([
                format!("LD_PRELOAD={}", library.display()),
                format!("FAKETIME={}", SKEWED.1),
                "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
            ]);
        }
        command.args(words).env("RTA_LOG", "info");
        let file = self.path(&format!("agent-{}.log", self.hosts.get(host).name()));
        self.spawn(command, &file);
    }

    /// Starts an aggregator.
    pub(crate) fn start_aggregator(&mut self, aggregator: usize) {
        let center = self.hosts.get(host_of(aggregator));
        let address = center.address();
        let mut command = center.command(binary("rta-aggregator"));
        command.arg("--config").arg(self.path("config"));
        match self.aggregators.store() {
            Some(store) => command.args(["--store", store, "--advertise", &advertised(aggregator)]),
            None => command.arg("--data").arg(self.path("data")),
        };
        command.args(["--web", &format!("{address}:8080"), "--grpc", &format!("{address}:7600")]);
        command.args(["--insecure", "--read-only"]).env("RTA_LOG", "info");
        let name = if aggregator == 0 { String::new() } else { format!("-{}", aggregator + 1) };
        let file = self.path(&format!("aggregator{name}.log"));
        self.spawn(command, &file);
        self.aggregators.states[aggregator] = AggregatorState::Running;
    }

    /// Returns the page of the next aggregator that answers; `None` if none does.
    pub(crate) fn next_web(&mut self) -> Option<WebClient> {
        let Self { aggregators, hosts, .. } = self;
        aggregators.next_web(|host| hosts.get(host).address())
    }

    /// Starts a program whose output is appended to `file`.
    fn spawn(&mut self, mut command: Command, file: &std::path::Path) {
        let log = std::fs::File::options().create(true).append(true).open(file).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.children.retain_mut(|child| child.try_wait().unwrap().is_none());
        self.children.push(command.spawn().unwrap());
    }

    /// Runs a process of another user with the command line of an instance.
    pub(crate) fn start_look_alike(&mut self, at: usize) {
        let mut command = self.hosts.get(INSTANCES[at].host).command("env");
        // The token becomes an argument only after the process has switched to the other user.
        command.arg(format!("TOKEN={}", INSTANCES[at].component)).arg("STAND_IN_LEASE=1");
        let user = FOREIGN_USER.to_string();
        command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
        command.args(["sh", "-c", r#"exec "$0" "--token=$TOKEN""#]).arg(binary("stand-in"));
        let file = self.path("look-alikes.log");
        self.spawn(command, &file);
    }

    /// Kills the look-alikes of an instance.
    pub(crate) fn end_look_alikes(&self, at: usize) {
        let host = self.hosts.get(INSTANCES[at].host);
        let token = format!("--token={}", INSTANCES[at].component);
        for process in host.processes() {
            if process.uid == FOREIGN_USER && process.arguments.contains(&token) {
                host.signal(process.pid, "KILL");
            }
        }
    }

    /// Stops a host's agent that listens on `port`; returns false if it has already ended.
    pub(crate) fn end_second_agent(&self, host: usize, port: u16) -> bool {
        let ending = format!(":{port}");
        let mut has_served = false;
        for process in self.hosts.get(host).processes() {
            let is_agent = process.arguments.first().is_some_and(|argument| argument.ends_with("/rta-agent"));
            if is_agent && process.arguments.iter().any(|argument| argument.ends_with(&ending)) {
                self.hosts.get(host).signal(process.pid, "KILL");
                has_served = true;
            }
        }
        has_served
    }

    /// Returns the PIDs of the programs with this name on a host, as seen on that host.
    pub(crate) fn pids(&self, host: usize, program: &str) -> Vec<u32> {
        let is_it = |argument: &String| argument.rsplit('/').next() == Some(program);
        let processes = self.hosts.get(host).processes();
        let found = processes.iter().filter(|process| process.arguments.first().is_some_and(is_it));
        found.map(|process| process.pid).collect()
    }

    /// Sends a signal to every agent of a host, and waits for their end.
    pub(crate) fn end_agents(&self, host: usize, signal: &str) {
        self.end(host, "rta-agent", signal);
    }

    /// Sends a signal to an aggregator, and waits for its end.
    pub(crate) fn end_aggregator(&mut self, aggregator: usize, signal: &str) {
        self.aggregators.states[aggregator] = AggregatorState::Ended;
        self.end(host_of(aggregator), "rta-aggregator", signal);
    }

    /// Stops an aggregator by SIGSTOP.
    pub(crate) fn pause_aggregator(&mut self, aggregator: usize) {
        self.aggregators.states[aggregator] = AggregatorState::Paused;
        self.signal_aggregator(aggregator, "STOP");
    }

    /// Lets a paused aggregator run again.
    pub(crate) fn resume_aggregator(&mut self, aggregator: usize) {
        self.signal_aggregator(aggregator, "CONT");
        self.aggregators.states[aggregator] = AggregatorState::Running;
    }

    fn signal_aggregator(&self, aggregator: usize, signal: &str) {
        let host = host_of(aggregator);
        self.pids(host, "rta-aggregator")
            .into_iter()
            .for_each(|pid| self.hosts.get(host).signal(pid, signal));
    }

    fn end(&self, host: usize, program: &str, signal: &str) {
        for pid in self.pids(host, program) {
            self.hosts.get(host).signal(pid, signal);
        }
        wait_for(&format!("{program} to end"), || self.pids(host, program).is_empty().then_some(()));
    }
}

/// Returns the library that shifts a clock, if it is installed.
///
/// # Panics
/// Panics in the gate if it is not installed.
fn fake_time() -> Option<PathBuf> {
    let folders = std::fs::read_dir(LIBRARIES).into_iter().flatten().flatten();
    let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    let library = libraries.find(|library| library.exists());
    assert!(library.is_some() || std::env::var_os("RTA_GATE").is_none(), "libfaketime is not installed");
    library
}

impl Drop for Platform {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Errors mean that it has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
