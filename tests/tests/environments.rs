//! Several aggregators over one PostgreSQL divide the environments among them.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rta_tests::{OutputReader, PostgresServer, TestAggregator, TestCluster, TestConfig, binary, wait_for};
use rustix::process::Signal;

/// Addresses of the two aggregators, as people are shown them.
const FIRST: &str = "http://127.0.0.1/first";
const SECOND: &str = "http://127.0.0.1/second";
const ENVIRONMENTS: [&str; 2] = ["ITG", "DEV"];

/// Two environments of one host each, and two aggregators over one database.
struct TwoEnvironments {
    server: PostgresServer,
    url: String,
    cluster: TestCluster,
    other: TestAggregator,
}

impl TwoEnvironments {
    /// Returns `None` if PostgreSQL is not installed.
    fn start() -> Option<Self> {
        let server = PostgresServer::start()?;
        let url = server.create_database();
        let config = TestConfig::new();
        let components =
            [config.component_toml("one", "", ""), config.component_toml("two", "", "")].join("\n");
        let hosts = |addresses: &[std::net::SocketAddr]| {
            let environment = |name: &str, host: &str, component: &str, address: &std::net::SocketAddr| {
                format!(
                    "[[environment]]\nname = \"{name}\"\nhost = [{{ name = \"{host}\", components = [\"{component}\"], \
                     agent = \"http://{address}\" }}]\n"
                )
            };
            environment("ITG", "h1", "one", &addresses[0]) + &environment("DEV", "h2", "two", &addresses[1])
        };
        let builder = TestCluster::builder(config).components(&components).hosts_toml(&["h1", "h2"], hosts);
        let cluster = builder.aggregator_arguments(["--store", &url, "--advertise", FIRST]).start();
        let other = TestAggregator::start(&cluster.config, &["--store", &url, "--advertise", SECOND]);
        let started = Self { server, url, cluster, other };
        started.wait_for_division();
        Some(started)
    }

    fn aggregators(&self) -> [(&'static str, &TestAggregator); 2] {
        [(FIRST, &self.cluster.aggregator), (SECOND, &self.other)]
    }

    /// Returns the address and the epoch of the leader of each environment that has one.
    fn leaders(&self) -> BTreeMap<String, (String, u64)> {
        // An aggregator makes the tables after it has begun to serve.
        if self.server.run_sql(&self.url, "SELECT to_regclass('rta_leases') IS NULL").trim() == "t" {
            return BTreeMap::new();
        }
        let rows = self.server.run_sql(
            &self.url,
            "SELECT environment || ' ' || address || ' ' || epoch FROM rta_leases \
             WHERE holder <> '' AND expires_at > clock_timestamp()",
        );
        let row = |row: &str| -> Option<(String, (String, u64))> {
            let [environment, address, epoch] = row.split(' ').collect::<Vec<_>>()[..] else { return None };
            Some((environment.to_uppercase(), (address.to_owned(), epoch.parse().ok()?)))
        };
        rows.lines().filter_map(row).collect()
    }

    /// Returns the address of the leader of an environment, as an aggregator shows it.
    fn shown_leader(aggregator: &TestAggregator, environment: &str) -> Option<(String, bool)> {
        let overview = aggregator.web.get("/api/v1/overview").body;
        let overview: serde_json::Value = serde_json::from_str(&overview).ok()?;
        let leader = overview["leaders"].as_array()?.iter().find(|one| one["environment"] == environment)?;
        Some((leader["address"].as_str()?.to_owned(), leader["here"] == true))
    }

    /// Waits until each aggregator leads one environment, and serves as its leader.
    fn wait_for_division(&self) {
        wait_for("each to lead one environment", || {
            let leaders = self.leaders();
            let (itg, dev) = (leaders.get("ITG")?, leaders.get("DEV")?);
            (itg.0 != dev.0).then_some(())
        });
        let leaders = self.leaders();
        for (address, aggregator) in self.aggregators() {
            for environment in ENVIRONMENTS {
                wait_for("it to show the leader", || {
                    let expected = leaders.get(environment)?.0.clone();
                    let is_here = expected == address;
                    (Self::shown_leader(aggregator, environment)? == (expected, is_here)).then_some(())
                });
            }
            wait_for("it to be ready", || (aggregator.web.get("/readyz").code == 200).then_some(()));
        }
    }

    /// Waits until each agent has this number of connections with aggregators.
    fn wait_for_connections(&self, expected: usize) {
        for agent in &self.cluster.agents {
            wait_for("the agent to have so many connections", || {
                (connections_to(agent.address.port()) == expected).then_some(())
            });
        }
    }

    /// Starts, stops and starts everything by plans of both environments, which the other aggregator leads.
    fn act_in_both_environments(&self) {
        self.other.rta_success(&["start", "--all", "--yes"]);
        assert_eq!(self.cluster.config.processes().len(), 2);
        self.other.rta_success(&["stop", "--all", "--yes"]);
        assert_eq!(self.cluster.config.processes().len(), 0);
        let plan = self.other.events("kind=plan&limit=1")[0]["plan"].as_u64().unwrap();
        // Each environment's leader has recorded what was stopped there.
        let is_stopped = |environment: &serde_json::Value| {
            environment["hosts"][0]["instances"][0]["stopped_by"]["plan"] == plan
        };
        self.other.wait_for_overview("both to be stopped on purpose", |overview| {
            overview["environments"].as_array().unwrap().iter().all(is_stopped)
        });
        self.other.rta_success(&["start", "--stopped-by", &plan.to_string(), "--yes"]);
        assert_eq!(self.cluster.config.processes().len(), 2);
        let steps = self.other.events("kind=step&limit=100");
        for environment in ENVIRONMENTS {
            let done = steps.iter().filter(|step| step["environment"] == environment && step["to"] == "done");
            assert!(done.count() >= 3, "{steps:?}");
        }
    }

    /// Waits until the aggregator at this address serves as the leader of both environments.
    fn wait_to_lead_both(aggregator: &TestAggregator) {
        for environment in ENVIRONMENTS {
            wait_for("it to lead both", || {
                Self::shown_leader(aggregator, environment).filter(|(_, is_here)| *is_here)
            });
        }
    }
}

/// Returns the number of established TCP connections to a port of this machine (`/proc/net/tcp`, proc_net(5)).
fn connections_to(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_to_port = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields[..], [_, _, remote, "01", ..] if remote.ends_with(&format!(":{port:04X}")))
    };
    table.lines().filter(is_to_port).count()
}

/// Running `rta events --follow`.
struct EventFollower {
    child: Child,
    output: OutputReader,
}

impl Drop for EventFollower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl EventFollower {
    fn start(aggregator: &TestAggregator) -> Self {
        let mut command = Command::new(binary("rta"));
        command.args(["--aggregator", &aggregator.grpc.to_string(), "events", "--follow", "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = OutputReader::collect(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Returns the IDs of the events, in the order in which they were shown.
    fn ids(&self) -> Vec<u64> {
        let lines = self.output.lines();
        let ids = lines.iter().filter_map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            event["id"].as_u64()
        });
        ids.collect()
    }
}

#[test]
fn each_leads_one_environment_and_a_survivor_leads_both() {
    let Some(mut both) = TwoEnvironments::start() else { return };
    let followers = both.aggregators().map(|(_, aggregator)| EventFollower::start(aggregator));
    // Through either aggregator, also through the one that does not lead the environment.
    for (_, aggregator) in both.aggregators() {
        for (component, environment) in [("one", "ITG"), ("two", "DEV")] {
            aggregator.rta_success(&["start", component, "--env", environment, "--yes"]);
            aggregator.rta_success(&["stop", component, "--env", environment, "--yes"]);
        }
        aggregator.rta_success(&["maintenance", "on", "--all", "--reason", "both"]);
        aggregator.rta_success(&["maintenance", "off", "--all"]);
        let refused = aggregator.rta_output(&["start", "--all", "--yes"]);
        assert!(
            refused.contains("different aggregators lead the environments of this start (")
                && refused.contains("); act on one environment at a time, with --env"),
            "{refused}"
        );
        for text in ["ITG is led by", "DEV is led by", FIRST, SECOND] {
            assert!(refused.contains(text), "{refused}");
        }
    }
    // Plans have numbers of their own, and events are one ordered record of which neither misses any.
    let plans = both.other.events("kind=plan&limit=1000");
    let mut numbers: Vec<u64> = plans.iter().filter_map(|event| event["plan"].as_u64()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (1..=8).collect::<Vec<u64>>());
    let recorded = || -> Vec<u64> {
        let mut ids: Vec<u64> =
            both.other.events("limit=1000").iter().map(|event| event["id"].as_u64().unwrap()).collect();
        ids.reverse();
        ids
    };
    for follower in &followers {
        wait_for("all events to be shown", || {
            let (recorded, shown) = (recorded(), follower.ids());
            let first = *shown.first()?;
            let expected: Vec<u64> = recorded.into_iter().filter(|id| *id >= first).collect();
            (shown == expected && shown.len() > 20).then_some(())
        });
    }

    // The page and the command name the leaders.
    let page = both.cluster.aggregator.web.get("/").body;
    assert!(page.contains("ITG: led by") && page.contains("DEV: led by"), "{page}");
    let led = both.leaders().into_iter().map(|(environment, (address, _))| (environment, address));
    let led: Vec<(String, String)> = led.collect();
    for (address, aggregator) in both.aggregators() {
        let status = aggregator.rta_output(&["status"]);
        let line = status.lines().find(|line| line.starts_with("Led: ")).unwrap();
        for (environment, leader) in &led {
            let here = if leader == address { " (this aggregator)" } else { "" };
            assert!(line.contains(&format!("{environment} by {leader}{here}")), "{line}");
        }
        let status: serde_json::Value =
            serde_json::from_str(&aggregator.rta_output(&["status", "--json"])).unwrap();
        let leaders = status["leaders"].as_array().unwrap().iter();
        let shown: BTreeSet<(&str, &str)> = leaders
            .map(|one| (one["environment"].as_str().unwrap(), one["address"].as_str().unwrap()))
            .collect();
        assert_eq!(shown, led.iter().map(|(name, leader)| (name.as_str(), leader.as_str())).collect());
    }

    // An agent reports to the leader of its environment alone.
    both.wait_for_connections(1);
    for (_, aggregator) in both.aggregators() {
        let refreshed = aggregator.rta_success(&["refresh"]);
        assert!(!refreshed.contains("No fresh scan"), "{refreshed}");
    }
    both.wait_for_connections(1);
    let before = both.leaders();
    both.cluster.aggregator.stop(Signal::KILL);
    let killed_at = Instant::now();
    TwoEnvironments::wait_to_lead_both(&both.other);
    println!("the survivor serves as leader of both after {:?}", killed_at.elapsed());
    let after = both.leaders();
    for environment in ENVIRONMENTS {
        let ((led_by, epoch), (leads, now)) = (&before[environment], &after[environment]);
        let is_same = led_by == SECOND;
        assert!(leads == SECOND && (now > epoch) != is_same, "{before:?}, {after:?}");
    }
    both.act_in_both_environments();
    both.wait_for_connections(1);

    // An aggregator that comes back is given an environment, and nothing is stopped or started by that.
    both.cluster.aggregator.start_again();
    both.wait_for_division();
    assert_eq!(both.cluster.config.processes().len(), 2);
    both.cluster.aggregator.rta_success(&["stop", "one", "--env", "ITG", "--yes"]);
    both.cluster.aggregator.rta_success(&["stop", "two", "--env", "DEV", "--yes"]);
}

#[test]
fn paused_leader_does_not_act_and_is_given_an_environment_again() {
    let Some(both) = TwoEnvironments::start() else { return };
    let before = both.leaders();
    let paused = before.iter().find(|(_, (address, _))| address == FIRST).unwrap();
    let (environment, epoch) = (paused.0.clone(), paused.1.1);
    let component = if environment == "ITG" { "one" } else { "two" };
    both.cluster.aggregator.process.signal(Signal::STOP);
    TwoEnvironments::wait_to_lead_both(&both.other);
    both.other.rta_success(&["start", component, "--env", &environment, "--yes"]);
    both.cluster.aggregator.process.signal(Signal::CONT);
    // It passes the request on, or says that it does not lead; in neither case it acts itself.
    let answer = both.cluster.aggregator.rta_output(&["stop", component, "--env", &environment, "--yes"]);
    let is_refused = answer.contains("nothing was done: ");
    let stopped = both.other.events("kind=plan&limit=100").into_iter().any(|event| {
        event["text"].as_str().is_some_and(|text| text.starts_with("stop of")) && event["to"] == "done"
    });
    assert!(is_refused || stopped || answer.contains("stopped"), "{answer}");
    both.wait_for_division();
    let now = both.leaders()[&environment].1;
    assert!(now > epoch, "{now} after {epoch}");
    both.cluster.aggregator.rta_success(&["start", component, "--env", &environment, "--yes"]);
    assert_eq!(both.cluster.config.processes().len(), 1);
}
