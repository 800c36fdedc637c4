//! Simulated agents for tests and benches of large platforms. They have reports but no processes, and perform
//! starts and stops by changing the reports. Each can be made sick.

mod service;
mod streams;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use rta_shared::proto::v1;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use service::FakeAgentService;

/// How a simulated agent behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentBehaviour {
    /// Answers at once.
    #[default]
    Healthy,
    /// Accepts connections and requests, and answers none.
    Hung,
    /// Answers every request after this delay.
    Slow(Duration),
    /// Ends each stream after its first report.
    Flapping,
    /// Sends reports that cannot be decoded.
    Garbage,
    /// Refuses connections; those that exist have ended.
    Dead,
}

/// Agents of simulated hosts, in this process. They end when this is dropped.
#[derive(Debug)]
pub struct FakeAgents {
    agents: Vec<FakeAgent>,
    /// Number of the first host.
    first: usize,
    /// Time that each action takes.
    action_time: watch::Sender<Duration>,
    /// Number of actions requested from the agents.
    actions: Arc<AtomicUsize>,
    _runtime: Runtime,
}

#[derive(Debug)]
struct FakeAgent {
    address: SocketAddr,
    report: watch::Sender<v1::Report>,
    behaviour: watch::Sender<AgentBehaviour>,
}

/// Clock of a host.
#[derive(Clone, Copy, Debug)]
struct HostClock {
    /// Seconds ahead of this machine's clock.
    ahead: i64,
}

impl HostClock {
    fn now(self) -> SystemTime {
        let size = Duration::from_secs(self.ahead.unsigned_abs());
        let now = SystemTime::now();
        if self.ahead < 0 { now - size } else { now + size }
    }
}

impl FakeAgents {
    /// Creates hosts with components, all of them running.
    ///
    /// # Panics
    /// Panics if no socket can be bound.
    pub fn new(hosts: usize, components: usize) -> Self {
        Self::with_clocks(&vec![0; hosts], components)
    }

    /// Creates a host for each clock, given in seconds ahead of this machine's, with
    /// components that are all running.
    ///
    /// # Panics
    /// Panics if no socket can be bound.
    pub fn with_clocks(ahead: &[i64], components: usize) -> Self {
        Self::build(0, ahead, components)
    }

    /// Creates hosts with components, all of them running, for a platform that has other hosts too: the names
    /// of these begin with that of the host at the position `first`.
    ///
    /// # Panics
    /// Panics if no socket can be bound.
    pub fn beginning_with(first: usize, hosts: usize, components: usize) -> Self {
        Self::build(first, &vec![0; hosts], components)
    }

    fn build(first: usize, ahead: &[i64], components: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let actions = Arc::new(AtomicUsize::new(0));
        let action_time = watch::Sender::new(Duration::ZERO);
        let agents = (first..).zip(ahead).map(|(at, ahead)| {
            let clock = HostClock { ahead: *ahead };
            let report = watch::Sender::new(initial_report(at, components, clock));
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("there is a free port");
            let address = listener.local_addr().expect("it has an address");
            let behaviour = watch::Sender::default();
            let service = FakeAgentService {
                report: report.clone(),
                behaviour: behaviour.subscribe(),
                actions: Arc::clone(&actions),
                action_time: action_time.subscribe(),
                clock,
            };
            runtime.spawn(serve(listener, address, service, behaviour.subscribe()));
            FakeAgent { address, report, behaviour }
        });
        let agents = agents.collect();
        Self { agents, first, actions, action_time, _runtime: runtime }
    }

    /// Returns the configuration of their platform: each component but the first depends on the one before
    /// it. No component can be started.
    pub fn toml(&self) -> String {
        self.toml_with("", 1)
    }

    /// Returns the same configuration with a start command for each component.
    pub fn startable_toml(&self) -> String {
        self.startable_toml_in(1)
    }

    /// Returns the same configuration with the hosts spread over a number of environments.
    pub fn startable_toml_in(&self, environments: usize) -> String {
        self.toml_with("start = { command = [\"/bin/true\"] }\n", environments)
    }

    /// Returns the name of the host at a position.
    pub fn host_name(at: usize) -> String {
        host_name(at)
    }

    /// Returns the ports of the agents.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.agents.iter().map(|agent| agent.address.port())
    }

    /// Sets how the agent of a host behaves from now on.
    ///
    /// # Panics
    /// Panics if the host does not exist.
    pub fn set_behaviour(&self, host: usize, behaviour: AgentBehaviour) {
        self.agents[host].behaviour.send_replace(behaviour);
    }

    /// Sets the time that each start and stop takes from now on.
    pub fn set_action_time(&self, time: Duration) {
        self.action_time.send_replace(time);
    }

    /// Returns the number of starts, stops and restarts requested from the agents.
    pub fn action_count(&self) -> usize {
        self.actions.load(Ordering::SeqCst)
    }

    fn toml_with(&self, start: &str, environments: usize) -> String {
        let mut toml = String::new();
        let names: Vec<String> =
            self.agents[0].report.borrow().components.iter().map(|one| one.component.clone()).collect();
        for (at, name) in names.iter().enumerate() {
            let needs = at.checked_sub(1).map(|before| format!("\"{}\"", names[before])).unwrap_or_default();
            let _ = writeln!(
                toml,
                "[[component]]\nname = \"{name}\"\ncriteria = [{{ regex = '{name}' }}]\ndepends_on = [{needs}]\n{start}"
            );
        }
        let _ = writeln!(toml, "[[role]]\nname = \"r\"\ncomponents = {names:?}");
        let in_each = self.agents.len().div_ceil(environments);
        for (number, first) in (0..self.agents.len()).step_by(in_each).enumerate() {
            let number = if environments == 1 { String::new() } else { number.to_string() };
            let last = self.agents.len().min(first + in_each);
            toml.push_str(&self.environment_toml_of(first..last, &format!("E{number}")));
        }
        toml
    }

    /// Returns the configuration of an environment of all these hosts, for a platform whose role and components
    /// are those of [`FakeAgents::toml`] of other agents.
    pub fn environment_toml(&self, environment: &str) -> String {
        self.environment_toml_of(0..self.agents.len(), environment)
    }

    fn environment_toml_of(&self, hosts: Range<usize>, environment: &str) -> String {
        let mut toml = format!("[[environment]]\nname = \"{environment}\"\n");
        for at in hosts {
            let (name, address) = (host_name(self.first + at), self.agents[at].address);
            let _ = writeln!(
                toml,
                "[[environment.host]]\nname = \"{name}\"\nrole = \"r\"\nagent = \"http://{address}\""
            );
        }
        toml
    }

    /// Sets the reported state of a component of a host.
    ///
    /// # Panics
    /// Panics if the host or component does not exist.
    pub fn set_state(&self, host: usize, component: usize, state: v1::State) {
        set_component_state(&self.agents[host].report, component, state);
    }

    /// Returns the number of components of all hosts in this reported state.
    pub fn count_in_state(&self, state: v1::State) -> usize {
        let count = |agent: &FakeAgent| {
            agent.report.borrow().components.iter().filter(|one| one.state() == state).count()
        };
        self.agents.iter().map(count).sum()
    }
}

/// Serves an agent. It listens again at the same address when it returns from the dead.
async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    service: FakeAgentService,
    mut behaviour: watch::Receiver<AgentBehaviour>,
) {
    let mut listener = Some(listener);
    loop {
        let incoming = listener.take().unwrap_or_else(|| {
            let socket = TcpSocket::new_v4().expect("there are sockets");
            socket.set_reuseaddr(true).expect("a socket can be shared with ended connections");
            socket.bind(address).expect("the agent's port is still free");
            socket.listen(128).expect("the agent can listen again")
        });
        let mut life = behaviour.clone();
        let death = async move {
            let _ = life.wait_for(|now| *now == AgentBehaviour::Dead).await;
        };
        let server = Server::builder().add_service(service.clone());
        let served = server
            .serve_with_incoming_shutdown(TcpIncoming::from(incoming).with_nodelay(Some(true)), death)
            .await;
        let returned = behaviour.wait_for(|now| *now != AgentBehaviour::Dead).await;
        if served.is_err() || returned.is_err() {
            return;
        }
    }
}

/// Sets the state of a component in `report`.
fn set_component_state(report: &watch::Sender<v1::Report>, component: usize, state: v1::State) {
    report.send_modify(|report| {
        let seen = &mut report.components[component];
        seen.set_state(state);
        let runs = state == v1::State::Running;
        seen.processes = if runs { vec![process(component)] } else { Vec::new() };
        seen.parts = vec![part(component, runs)];
        report.seen_at = Some(SystemTime::now().into());
    });
}

/// Returns the name of a simulated host.
fn host_name(at: usize) -> String {
    format!("h{at:04}")
}

fn pid(component: usize) -> u32 {
    1000 + u32::try_from(component).expect("there are few components")
}

fn process(component: usize) -> v1::Process {
    v1::Process { pid: pid(component), ..v1::Process::default() }
}

fn part(component: usize, runs: bool) -> v1::PartReport {
    let pids = if runs { vec![pid(component)] } else { Vec::new() };
    let count = Some(v1::PartCount { min: 1, max: Some(1) });
    v1::PartReport { count, running: u32::from(runs), pids, ..v1::PartReport::default() }
}

fn initial_report(at: usize, components: usize, clock: HostClock) -> v1::Report {
    let component = |at: usize| v1::ComponentReport {
        component: format!("component {at}"),
        state: v1::State::Running.into(),
        processes: vec![process(at)],
        parts: vec![part(at, true)],
        ..v1::ComponentReport::default()
    };
    v1::Report {
        host: host_name(at),
        boot_id: host_name(at),
        scanned_at: Some(clock.now().into()),
        seen_at: Some(clock.now().into()),
        processes_seen: 300,
        components: (0..components).map(component).collect(),
        agent_version: "0".to_owned(),
        ..v1::Report::default()
    }
}
