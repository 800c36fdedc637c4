//! Several aggregators over one PostgreSQL, each of which leads its share of the environments.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rta_tests::measurement::{CpuMeter, percentile, resident_kb};
use rta_tests::{FakeAgents, PostgresServer, TestAggregator, TestConfig, binary};
use rustix::process::Signal;
use tokio::runtime::Runtime;

use crate::agent_process::AgentProcess;
use crate::changes::{Changer, refresh_time, watch_latencies};
use crate::rows::Measured;
use crate::scenario::{COMPONENTS, Options, SETTLE, START_PATIENCE, mb, raise_open_files};

/// Interval between two looks at what is waited for.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Measures `count` aggregators over one database with so many hosts in as many environments. The agents of each
/// environment are in a process of their own, since a process may have too few open files for all.
pub(crate) fn measure_several(hosts: usize, count: usize, options: &Options) -> Measured {
    let note = |what: &str| println!("{hosts} hosts, {count} aggregators: {what}");
    raise_open_files();
    binary("rta-aggregator");
    let server = PostgresServer::start().expect("PostgreSQL is installed");
    let url = server.create_database();
    let in_each = hosts / count;
    let agents = FakeAgents::new(in_each, COMPONENTS);
    let others: Vec<AgentProcess> = (1..count).map(|at| AgentProcess::start(at, in_each)).collect();
    let config = TestConfig::new();
    let environments: String = others.iter().map(|other| other.environment_toml.as_str()).collect();
    config.write("components.toml", &(agents.startable_toml() + &environments));
    let ports = agents.ports().chain(others.iter().flat_map(AgentProcess::ports));
    let agent_ports = ports.map(|port| format!("{port:04X}")).collect();
    note("start");
    let began = Instant::now();
    let start = |at: usize| {
        let address = address_of(at);
        TestAggregator::start(&config, &["--store", &url, "--advertise", &address])
    };
    let mut aggregators: Vec<TestAggregator> = (0..count).map(start).collect();
    let several = Several { server: &server, url: &url, agent_ports };
    several.wait_for_division(&aggregators, count);
    let mut measured = Measured::new();
    measured.insert("several-ready", began.elapsed().as_secs_f64());
    note("agents have one connection each");
    several.wait_for_connections();
    measured.insert("several-settled", began.elapsed().as_secs_f64());
    std::thread::sleep(SETTLE);

    note("rest");
    let mut meters: Vec<CpuMeter> =
        aggregators.iter().map(|aggregator| CpuMeter::new(aggregator.process.pid())).collect();
    let (rest, before) = (Instant::now(), used_seconds(&mut meters));
    std::thread::sleep(Duration::from_secs(options.rest_seconds));
    let used = used_seconds(&mut meters) - before;
    let of_each = count as f64;
    measured.insert("several-rest", used / rest.elapsed().as_secs_f64() / of_each * 100.0);
    let resident: f64 = aggregators.iter().map(|aggregator| mb(resident_kb(aggregator.process.pid()))).sum();
    measured.insert("several-resident", resident / of_each);
    let connections = several.connections() as f64;
    measured.insert("several-connections", connections / several.agent_ports.len() as f64);

    // The hosts that change are in the first environment.
    let leader = several.leaders()["e"];
    let other = (leader + 1) % count;
    note("WatchOverview at an aggregator that does not lead");
    let runtime = Runtime::new().expect("a runtime can be made");
    let mut changer = Changer::new(&agents, in_each);
    let seen = watch_latencies(&runtime, aggregators[other].grpc, &mut changer, 60);
    changer.restore();
    for (key, share) in [("several-watch-p50", 0.5), ("several-watch-p99", 0.99)] {
        measured.insert(key, percentile(&seen, share).as_secs_f64() * 1e3);
    }
    measured.insert("page-size", aggregators[other].web.get("/").body.len() as f64 / 1e3);
    note("refresh");
    let client = runtime.block_on(aggregators[other].client()).max_decoding_message_size(256 << 20);
    measured.insert("several-refresh", refresh_time(&runtime, client).as_secs_f64());

    note("the leader is killed");
    let killed = Instant::now();
    aggregators[leader].stop(Signal::KILL);
    several.wait_for("another leader", || several.leaders().get("e").is_some_and(|now| *now != leader));
    measured.insert("several-taken", killed.elapsed().as_secs_f64());
    aggregators.remove(leader);
    several.wait_for("the hosts to be known", || are_ready(&aggregators));
    several.wait_for_connections();
    measured.insert("several-followed", killed.elapsed().as_secs_f64());
    measured
}

/// Platform that several aggregators follow.
struct Several<'a> {
    server: &'a PostgresServer,
    url: &'a str,
    /// Ports of the agents as `/proc/net/tcp` writes them.
    agent_ports: HashSet<String>,
}

impl Several<'_> {
    /// Returns the number of the aggregator that leads each environment, by its name in lower case.
    fn leaders(&self) -> HashMap<String, usize> {
        if self.server.run_sql(self.url, "SELECT to_regclass('rta_leases') IS NULL").trim() == "t" {
            return HashMap::new();
        }
        let rows = self.server.run_sql(
            self.url,
            "SELECT environment || ' ' || address FROM rta_leases \
             WHERE holder <> '' AND expires_at > clock_timestamp()",
        );
        let row = |row: &str| {
            let (environment, address) = row.split_once(' ')?;
            Some((environment.to_lowercase(), address.rsplit('/').next()?.parse().ok()?))
        };
        rows.lines().filter_map(row).collect()
    }

    /// Waits until each aggregator leads an environment, and knows all hosts.
    fn wait_for_division(&self, aggregators: &[TestAggregator], count: usize) {
        self.wait_for("each to lead one environment", || {
            let leaders = self.leaders();
            (0..count).all(|at| leaders.values().filter(|leader| **leader == at).count() == 1)
        });
        self.wait_for("every host to be known", || are_ready(aggregators));
    }

    /// Waits until each agent has one connection.
    fn wait_for_connections(&self) {
        self.wait_for("each agent to have one connection", || self.connections() == self.agent_ports.len());
    }

    /// Returns the number of established TCP connections with agents (`/proc/net/tcp`, proc_net(5)).
    fn connections(&self) -> usize {
        let table = std::fs::read_to_string("/proc/net/tcp").expect("connections can be listed");
        let is_with_agent = |line: &&str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            matches!(fields[..], [_, _, remote, "01", ..]
                if remote.split_once(':').is_some_and(|(_, port)| self.agent_ports.contains(port)))
        };
        table.lines().filter(is_with_agent).count()
    }

    fn wait_for(&self, what: &str, is_it: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_it() {
            assert!(
                began.elapsed() < START_PATIENCE,
                "waited in vain for {what}: {:?}, {} connections",
                self.leaders(),
                self.connections()
            );
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

fn address_of(aggregator: usize) -> String {
    format!("http://127.0.0.1/{aggregator}")
}

fn are_ready(aggregators: &[TestAggregator]) -> bool {
    aggregators.iter().all(|aggregator| aggregator.web.get("/readyz").code == 200)
}

fn used_seconds(meters: &mut [CpuMeter]) -> f64 {
    meters.iter_mut().map(|meter| meter.read().as_secs_f64()).sum()
}
