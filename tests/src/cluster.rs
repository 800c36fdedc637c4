//! Agents and an aggregator, started from one configuration, and clients of them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use rta_shared::proto::v1::aggregator_service_client::AggregatorServiceClient;
use rustix::process::Signal;
use serde_json::Value;
use tonic::transport::Channel;

use crate::server_process::wait_for_value;
use crate::{
    AgentClient, CertificateFiles, ServerProcess, TestCa, TestConfig, TestUsers, WebClient, binary,
    connect_agent, run_binary, wait_for,
};

/// Address of a free port on loopback.
const FREE_PORT: &str = "127.0.0.1:0";
/// File of the configuration that has the hosts and their agents' addresses.
const HOSTS_FILE: &str = "hosts.toml";

/// Client of an aggregator.
pub type AggregatorClient = AggregatorServiceClient<Channel>;

/// Returns a command that runs one of the binaries; its arguments are added to it.
type CommandFactory = fn(&TestConfig, &str) -> Command;
/// Returns the TOML of the hosts from the addresses of their agents.
type HostsToml = Box<dyn Fn(&[SocketAddr]) -> String>;

/// Running agents and an aggregator, with their configuration. When this is dropped they end, and so does
/// every process that carries the configuration's token.
#[derive(Debug)]
pub struct TestCluster {
    /// Aggregator.
    pub aggregator: TestAggregator,
    /// Agents, in the order of their hosts.
    pub agents: Vec<TestAgent>,
    users: Option<TestUsers>,
    /// Configuration folder, and the stand-ins of its components.
    pub config: TestConfig,
}

impl TestCluster {
    /// Begins the description of a cluster with this configuration folder.
    pub fn builder(config: TestConfig) -> ClusterBuilder {
        ClusterBuilder {
            config,
            components: String::new(),
            environment: "TEST".to_owned(),
            hosts: Vec::new(),
            hosts_toml: None,
            agent_arguments: Vec::new(),
            aggregator_arguments: Vec::new(),
            users: None,
            ca: None,
            command: run_directly,
        }
    }

    /// Returns the users with accounts at the aggregator.
    ///
    /// # Panics
    /// Panics if it has none.
    pub fn users(&self) -> &TestUsers {
        self.users.as_ref().expect("the cluster has users")
    }
}

/// Description of a [`TestCluster`].
#[expect(missing_debug_implementations, reason = "it has a closure, and lives for one statement")]
pub struct ClusterBuilder {
    config: TestConfig,
    components: String,
    environment: String,
    /// Name and other TOML of each host.
    hosts: Vec<(String, String)>,
    hosts_toml: Option<HostsToml>,
    agent_arguments: Vec<String>,
    aggregator_arguments: Vec<String>,
    users: Option<TestUsers>,
    ca: Option<TestCa>,
    command: CommandFactory,
}

impl ClusterBuilder {
    /// Returns the configuration folder.
    pub fn config(&self) -> &TestConfig {
        &self.config
    }

    /// Adds the TOML of components.
    #[must_use]
    pub fn components(mut self, toml: &str) -> Self {
        self.components.push_str(toml);
        self
    }

    /// Sets the name of the environment, `TEST` by default.
    #[must_use]
    pub fn environment(mut self, name: &str) -> Self {
        name.clone_into(&mut self.environment);
        self
    }

    /// Adds a host with these components, and its agent.
    #[must_use]
    pub fn host(self, name: &str, components: &[&str]) -> Self {
        self.host_with(name, &format!("components = {components:?}"))
    }

    /// Adds a host with this TOML beside its name and agent, and its agent.
    #[must_use]
    pub fn host_with(mut self, name: &str, toml: &str) -> Self {
        self.hosts.push((name.to_owned(), toml.to_owned()));
        self
    }

    /// Adds agents of these hosts. `toml` returns the whole TOML of the platform's hosts from the addresses
    /// of these agents.
    #[must_use]
    pub fn hosts_toml(mut self, names: &[&str], toml: impl Fn(&[SocketAddr]) -> String + 'static) -> Self {
        self.hosts = names.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        self.hosts_toml = Some(Box::new(toml));
        self
    }

    /// Adds arguments for every agent.
    #[must_use]
    pub fn agent_arguments<A: AsRef<str>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.agent_arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Adds arguments for the aggregator.
    #[must_use]
    pub fn aggregator_arguments<A: AsRef<str>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.aggregator_arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Lets the aggregator keep its data, in the test's folder `data`.
    #[must_use]
    pub fn data(self) -> Self {
        let data = self.config.path("data").display().to_string();
        self.aggregator_arguments(["--data".to_owned(), data])
    }

    /// Gives the aggregator accounts of users, with `viewing` set to `open` or `closed`.
    #[must_use]
    pub fn users(mut self, viewing: &str) -> Self {
        let users = TestUsers::new(&self.config, viewing);
        let file = users.file.display().to_string();
        self.users = Some(users);
        self.aggregator_arguments(["--users".to_owned(), file])
    }

    /// Lets agents and aggregator use TLS, with certificates that `ca` signs.
    #[must_use]
    pub fn tls(mut self, ca: &TestCa) -> Self {
        self.ca = Some(ca.clone());
        self
    }

    /// Sets the command that runs the binaries.
    #[must_use]
    pub fn command(mut self, command: CommandFactory) -> Self {
        self.command = command;
        self
    }

    /// Writes the configuration, and starts the agents and the aggregator.
    ///
    /// # Panics
    /// Panics if a program does not start.
    pub fn start(self) -> TestCluster {
        if !self.components.is_empty() {
            self.config.write("components.toml", &self.components);
        }
        let agents = self.start_agents();
        let mut arguments = self.aggregator_arguments;
        arguments.extend(self.ca.iter().flat_map(|ca| ca.create_host("aggregator").flags(&ca.ca())));
        let aggregator = TestAggregator::start_with(&self.config, arguments, self.command);
        TestCluster { aggregator, agents, users: self.users, config: self.config }
    }

    /// Starts the agents. The file of hosts first has placeholders for their addresses, and then the real
    /// ones, which the agents load: agents and aggregator must have the same configuration.
    fn start_agents(&self) -> Vec<TestAgent> {
        if self.hosts.is_empty() {
            return Vec::new();
        }
        let placeholders = (1..).take(self.hosts.len()).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        self.config.write(HOSTS_FILE, &self.hosts_file(&placeholders.collect::<Vec<_>>()));
        let agents = self.hosts.iter().map(|(host, _)| {
            let mut arguments = self.agent_arguments.clone();
            arguments.extend(self.ca.iter().flat_map(|ca| ca.create_host(host).flags(&ca.ca())));
            TestAgent::start_with(&self.config, host, arguments, self.command)
        });
        let agents: Vec<TestAgent> = agents.collect();
        let addresses: Vec<SocketAddr> = agents.iter().map(|agent| agent.address).collect();
        self.config.write(HOSTS_FILE, &self.hosts_file(&addresses));
        for agent in &agents {
            agent.process.signal(Signal::HUP);
        }
        agents.iter().for_each(TestAgent::wait_for_reload);
        agents
    }

    fn hosts_file(&self, addresses: &[SocketAddr]) -> String {
        if let Some(toml) = &self.hosts_toml {
            return toml(addresses);
        }
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        let mut text = format!("[[environment]]\nname = \"{}\"\n", self.environment);
        for ((name, toml), address) in self.hosts.iter().zip(addresses) {
            let _ = writeln!(
                text,
                "[[environment.host]]\nname = \"{name}\"\n{toml}\nagent = \"{scheme}://{address}\""
            );
        }
        text
    }
}

fn run_directly(_: &TestConfig, program: &str) -> Command {
    Command::new(binary(program))
}

/// Agent of one host.
#[derive(Debug)]
pub struct TestAgent {
    /// Agent's process.
    pub process: ServerProcess,
    /// Address that it listens on.
    pub address: SocketAddr,
    /// Arguments without the address.
    arguments: Vec<String>,
}

impl TestAgent {
    /// Starts the agent of a host on a free port, with further arguments.
    pub fn start<A: AsRef<str>>(config: &TestConfig, host: &str, arguments: &[A]) -> Self {
        Self::start_with(config, host, owned(arguments), run_directly)
    }

    fn start_with(config: &TestConfig, host: &str, more: Vec<String>, command: CommandFactory) -> Self {
        let (folder, runtime) = (config.folder(), config.path("runtime"));
        let mut arguments = vec!["--config".to_owned(), folder.display().to_string()];
        arguments.extend(["--host".to_owned(), host.to_owned()]);
        // Only agents of the same test compete with each other.
        arguments.extend(["--runtime".to_owned(), runtime.display().to_string()]);
        arguments.extend(more);
        let mut agent = command(config, "rta-agent");
        agent.args(["--listen", FREE_PORT]).args(&arguments);
        let mut process = ServerProcess::spawn(agent);
        let address = process.address("address");
        Self { process, address, arguments }
    }

    /// Ends the agent with this signal, and waits for its end.
    pub fn stop(&mut self, signal: Signal) {
        self.process.signal(signal);
        self.process.wait();
    }

    /// Starts another agent with the same arguments at the same address. The one before must have ended.
    pub fn start_again(&mut self) {
        let listen = ["--listen".to_owned(), self.address.to_string()];
        self.process = ServerProcess::start("rta-agent", listen.iter().chain(&self.arguments));
        self.process.address("address");
    }

    /// Lets the agent load its changed configuration for the first time, and waits until it has.
    pub fn reload(&self) {
        self.process.signal(Signal::HUP);
        self.wait_for_reload();
    }

    fn wait_for_reload(&self) {
        wait_for("an agent to read its configuration", || {
            let log = self.process.log();
            log.iter().any(|line| line.contains("configuration reloaded")).then_some(())
        });
    }

    /// Connects to the agent.
    pub async fn client(&self) -> AgentClient {
        connect_agent(self.address).await
    }
}

/// Aggregator with the page and the gRPC service.
#[derive(Debug)]
pub struct TestAggregator {
    /// Aggregator's process.
    pub process: ServerProcess,
    /// Page.
    pub web: WebClient,
    /// Address of the gRPC service.
    pub grpc: SocketAddr,
    /// Arguments without the addresses.
    arguments: Vec<String>,
}

impl TestAggregator {
    /// Starts an aggregator on free ports, with further arguments.
    pub fn start<A: AsRef<str>>(config: &TestConfig, arguments: &[A]) -> Self {
        Self::start_with(config, owned(arguments), run_directly)
    }

    fn start_with(config: &TestConfig, more: Vec<String>, command: CommandFactory) -> Self {
        let mut arguments = vec!["--config".to_owned(), config.folder().display().to_string()];
        arguments.extend(more);
        let mut aggregator = command(config, "rta-aggregator");
        aggregator.args(["--web", FREE_PORT, "--grpc", FREE_PORT]).args(&arguments);
        Self::listening(ServerProcess::spawn(aggregator), arguments)
    }

    fn listening(mut process: ServerProcess, arguments: Vec<String>) -> Self {
        let (web, grpc) = (WebClient(process.address("web")), process.address("grpc"));
        Self { process, web, grpc, arguments }
    }

    /// Ends the aggregator with this signal, and waits for its end.
    pub fn stop(&mut self, signal: Signal) {
        self.process.signal(signal);
        self.process.wait();
    }

    /// Starts another aggregator with the same arguments on free ports. The one before must have ended.
    pub fn start_again(&mut self) {
        self.start_again_at([FREE_PORT, FREE_PORT]);
    }

    /// Starts another aggregator with the same arguments and addresses. The one before must have ended.
    pub fn start_again_at_same_addresses(&mut self) {
        let addresses = [self.web.0, self.grpc].map(|address| address.to_string());
        self.start_again_at(addresses.each_ref().map(String::as_str));
    }

    fn start_again_at(&mut self, [web, grpc]: [&str; 2]) {
        let arguments = std::mem::take(&mut self.arguments);
        let listen = ["--web", web, "--grpc", grpc].map(str::to_owned);
        let process = ServerProcess::start("rta-aggregator", listen.iter().chain(&arguments));
        *self = Self::listening(process, arguments);
    }

    /// Waits until the state of every host is known, or that it cannot be reached.
    pub fn wait_until_ready(&self) {
        wait_for("every host to be known", || (self.web.get("/readyz").code == 200).then_some(()));
    }

    /// Runs the command `rta` with this aggregator.
    pub fn rta(&self, arguments: &[&str]) -> Output {
        run_binary("rta", ["--aggregator", &self.grpc.to_string()].iter().chain(arguments))
    }

    /// Runs the command `rta` with this aggregator over TLS, optionally with a certificate.
    ///
    /// # Panics
    /// Panics if a path is not text.
    pub fn rta_over_tls(&self, ca: &Path, own: Option<&CertificateFiles>, arguments: &[&str]) -> Output {
        let address = format!("https://{}", self.grpc);
        let mut flags = vec![("--aggregator", Path::new(&address)), ("--ca", ca)];
        if let Some(own) = own {
            flags.extend([("--cert", own.certificate.as_path()), ("--key", own.key.as_path())]);
        }
        let flags = flags.iter().flat_map(|(flag, value)| [Path::new(flag), value]);
        run_binary("rta", flags.chain(arguments.iter().map(Path::new)))
    }

    /// Runs the command `rta` with this aggregator, and returns its standard output.
    ///
    /// # Panics
    /// Panics if its exit code is not 0.
    pub fn rta_success(&self, arguments: &[&str]) -> String {
        let output = self.rta(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("the command writes text")
    }

    /// Runs the command `rta` with this aggregator, and returns its standard output and standard error.
    ///
    /// # Panics
    /// Panics if they are not text.
    pub fn rta_output(&self, arguments: &[&str]) -> String {
        let output = self.rta(arguments);
        let text = |bytes| String::from_utf8(bytes).expect("the command writes text");
        text(output.stdout) + &text(output.stderr)
    }

    /// Returns the overview of the JSON API.
    ///
    /// # Panics
    /// Panics if it is not served.
    pub fn overview(&self) -> Value {
        serde_json::from_str(&self.web.get("/api/v1/overview").body).expect("the overview is JSON")
    }

    /// Waits until the overview meets a condition, and returns it.
    pub fn wait_for_overview(&self, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        wait_for_value(what, || self.overview(), is_met)
    }

    /// Returns the first host of the overview.
    pub fn host(&self) -> Value {
        self.overview()["environments"][0]["hosts"][0].clone()
    }

    /// Waits until the first host of the overview meets a condition, and returns it.
    pub fn wait_for_host(&self, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        wait_for_value(what, || self.host(), is_met)
    }

    /// Returns every instance of the first environment.
    ///
    /// # Panics
    /// Panics if there is no environment.
    pub fn instances(&self) -> Vec<Value> {
        let overview = self.overview();
        let hosts = overview["environments"][0]["hosts"].as_array().expect("an environment has hosts");
        hosts.iter().flat_map(|host| host["instances"].as_array().into_iter().flatten()).cloned().collect()
    }

    /// Waits until an instance has this health, and returns it.
    pub fn wait_for_health(&self, component: &str, health: &str) -> Value {
        self.wait_for_instance(component, &format!("to be {health}"), |instance| instance["health"] == health)
    }

    /// Returns the first instance of a component in the first environment.
    ///
    /// # Panics
    /// Panics if there is none.
    pub fn instance(&self, component: &str) -> Value {
        let mut instances = self.instances().into_iter();
        instances.find(|instance| instance["component"] == component).expect("a host carries it")
    }

    /// Waits until the first instance of a component meets a condition, and returns it.
    pub fn wait_for_instance(&self, component: &str, what: &str, is_met: impl Fn(&Value) -> bool) -> Value {
        wait_for_value(&format!("{component} {what}"), || self.instance(component), is_met)
    }

    /// Returns events of the JSON API that the query selects, the newest first.
    ///
    /// # Panics
    /// Panics if they are not served.
    pub fn events(&self, query: &str) -> Vec<Value> {
        let answer = self.web.get(&format!("/api/v1/events?{query}")).body;
        let answer: Value = serde_json::from_str(&answer).expect("events are JSON");
        answer["events"].as_array().expect("there is a list of events").clone()
    }

    /// Connects to the gRPC service.
    ///
    /// # Panics
    /// Panics if it cannot be reached.
    pub async fn client(&self) -> AggregatorClient {
        let client = AggregatorClient::connect(format!("http://{}", self.grpc)).await;
        // Plans of thousands of steps are larger than tonic's default.
        client.expect("the aggregator can be reached").max_decoding_message_size(64 << 20)
    }
}

fn owned<A: AsRef<str>>(arguments: &[A]) -> Vec<String> {
    arguments.iter().map(|argument| argument.as_ref().to_owned()).collect()
}
