//! Several aggregators over one PostgreSQL: one leads, and another takes over when it dies or is paused.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::time::Instant;

use rta_shared::proto::v1;
use rta_tests::{
    PostgresServer, TestAggregator, TestCluster, TestConfig, connect_agent, request_target, wait_for,
};
use rustix::process::Signal;
use tonic::Code;

/// Script of a component that takes 4 s to start, and counts its starts.
const SLOW_START: &str =
    "echo start >> \"$(dirname \"$0\")/starts\"\nsleep 4\nexec \"$stand_in\" --token=slow-$token";

/// One host, and two aggregators over one database; the first leads.
struct Pair {
    server: PostgresServer,
    url: String,
    cluster: TestCluster,
    other: TestAggregator,
}

impl Pair {
    /// Returns `None` if PostgreSQL is not installed.
    fn start() -> Option<Self> {
        let server = PostgresServer::start()?;
        let url = server.create_database();
        let config = TestConfig::new();
        let slow = config.scripted_component_toml("slow", SLOW_START, "");
        let last = config.component_toml("last", "\"slow\"", "");
        let builder = TestCluster::builder(config).components(&slow).components(&last);
        let builder = builder.host("h", &["slow", "last"]);
        let builder = builder.aggregator_arguments(["--store", &url, "--advertise", "http://first"]);
        let cluster = builder.start();
        let other = ["--store", &url, "--advertise", "http://second"];
        let pair = Self { other: TestAggregator::start(&cluster.config, &other), server, url, cluster };
        pair.wait_for_leader("http://first", &pair.cluster.aggregator);
        Some(pair)
    }

    /// Returns address and epoch of the aggregator whose lease has not expired.
    fn leader(&self) -> Option<(String, u64)> {
        let sql = "SELECT address || ' ' || epoch FROM rta_leases WHERE expires_at > clock_timestamp()";
        let row = self.server.run_sql(&self.url, sql);
        let (address, epoch) = row.split_once(' ')?;
        Some((address.to_owned(), epoch.parse().unwrap()))
    }

    /// Waits until the aggregator at this address leads, and serves as leader.
    fn wait_for_leader(&self, address: &str, aggregator: &TestAggregator) {
        wait_for("another leader", || self.leader().filter(|(leader, _)| leader == address));
        wait_for("it to serve as leader", || {
            (aggregator.web.get("/readyz").code == 200 && warning(aggregator).is_none()).then_some(())
        });
        aggregator.wait_for_host("the host to be heard of", |host| host["reachable"] == true);
    }

    fn starts(&self) -> usize {
        std::fs::read_to_string(self.cluster.config.path("starts")).unwrap_or_default().lines().count()
    }
}

/// Returns the impairment of an aggregator that does not lead.
fn warning(aggregator: &TestAggregator) -> Option<String> {
    let overview = aggregator.web.get("/api/v1/overview");
    let Ok(overview) = serde_json::from_str::<serde_json::Value>(&overview.body) else {
        return Some("no answer".to_owned());
    };
    let part = overview["impairments"].as_array()?.iter().find(|one| one["part"] == "leadership")?;
    Some(part["message"].as_str()?.to_owned())
}

#[test]
fn killed_leader_is_replaced_which_closes_its_plan_and_starts_nothing_twice() {
    let Some(mut pair) = Pair::start() else { return };
    let told = wait_for("the second to follow", || {
        warning(&pair.other).filter(|told| told.contains("http://first"))
    });
    assert!(told.contains("this aggregator follows: that at http://first ("), "{told}");
    let refused = pair.other.rta_output(&["start", "slow"]);
    assert!(
        refused.contains("the aggregator at http://first (") && refused.contains("leads; ask that one"),
        "{refused}"
    );
    for command in [&["maintenance", "on", "--host", "h", "--reason", "test"][..], &["config", "reload"]] {
        let refused = pair.other.rta_output(command);
        assert!(refused.contains("leads; ask that one"), "{command:?}: {refused}");
    }

    let (_, epoch) = pair.leader().unwrap();
    let address = pair.cluster.aggregator.grpc.to_string();
    let starting = std::thread::spawn(move || {
        rta_tests::run_binary("rta", ["--aggregator", &address, "start", "last", "--yes"])
    });
    wait_for("the start to begin", || (pair.starts() == 1).then_some(()));
    pair.cluster.aggregator.stop(Signal::KILL);
    let killed_at = Instant::now();
    wait_for("another leader", || {
        pair.leader().filter(|(leader, now)| leader == "http://second" && *now > epoch)
    });
    let taken = killed_at.elapsed();
    pair.wait_for_leader("http://second", &pair.other);
    let serving = killed_at.elapsed();
    println!("lease taken after {taken:?}, serving after {serving:?}");
    drop(starting.join());

    let ended = wait_for("the plan to be closed", || {
        pair.other
            .events("kind=plan")
            .into_iter()
            .find(|event| event["text"].as_str().unwrap().contains("interrupted"))
    });
    assert_eq!(ended["plan"], 1, "{ended}");
    pair.other.wait_for_health("slow", "up");
    // The start of the earlier leader was carried out once, and the plan did not go on by itself.
    assert_eq!((pair.starts(), pair.cluster.config.processes().len()), (1, 1));
    let done = pair.other.rta(&["start", "last", "--yes"]);
    assert!(done.status.success(), "{done:?}");
    pair.other.wait_for_health("last", "up");
    assert_eq!((pair.starts(), pair.cluster.config.processes().len()), (1, 2));
    // The first one comes back as a follower.
    pair.cluster.aggregator.start_again();
    let told = wait_for("it to follow", || {
        warning(&pair.cluster.aggregator).filter(|told| told.contains("http://second"))
    });
    assert!(told.contains("this aggregator follows"), "{told}");
}

#[test]
fn follower_shows_the_record_of_the_leader() {
    let Some(pair) = Pair::start() else { return };
    let (leader, follower) = (&pair.cluster.aggregator, &pair.other);
    wait_for("the second to follow", || warning(follower));
    leader.rta_success(&["start", "last", "--yes"]);
    leader.rta_success(&["maintenance", "on", "slow", "--host", "h", "--reason", "new disks"]);
    let shown = follower
        .wait_for_instance("slow", "to be in maintenance", |instance| !instance["maintenance"].is_null());
    assert_eq!(shown["maintenance"]["reason"], "new disks", "{shown}");
    let listed = follower.web.get("/api/v1/maintenance").body;
    assert!(listed.contains("new disks"), "{listed}");

    // Events have the same numbers everywhere, and a watch goes on with the leader's.
    let ids = |aggregator: &TestAggregator| -> Vec<u64> {
        aggregator.events("limit=1000").iter().map(|event| event["id"].as_u64().unwrap()).collect()
    };
    wait_for("the same events", || (ids(leader) == ids(follower) && ids(leader).len() > 3).then_some(()));

    let plans = |aggregator: &TestAggregator| -> serde_json::Value {
        serde_json::from_str(&aggregator.web.get("/api/v1/plans").body).unwrap()
    };
    let ended = wait_for("the plan's end", || {
        Some(plans(follower)["plans"][0].clone()).filter(|plan| !plan["end"].is_null())
    });
    assert_eq!((&ended["id"], &ended["end"]["done"]), (&1.into(), &2.into()), "{ended}");
    assert_eq!(ended["steps"], plans(leader)["plans"][0]["steps"], "{ended}");
    assert!(follower.web.get("/plan?id=1").body.contains("start of last"), "the page of the plan");

    leader.rta_success(&["stop", "last", "--yes"]);
    let shown = follower
        .wait_for_instance("last", "stopped on purpose", |instance| !instance["stopped_by"].is_null());
    assert_eq!(shown["stopped_by"]["plan"], 2, "{shown}");
    leader.rta_success(&["start", "last", "--yes"]);
    follower.wait_for_instance("last", "to run again", |instance| {
        instance["stopped_by"].is_null() && instance["health"] == "up"
    });
    leader.rta_success(&["maintenance", "off", "slow", "--host", "h"]);
    follower.wait_for_instance("slow", "out of maintenance", |instance| instance["maintenance"].is_null());

    pair.server.stop();
    let told = wait_for("the follower to report it", || {
        let overview = follower.overview();
        let parts = overview["impairments"].as_array().unwrap().clone();
        let store = parts.into_iter().find(|one| one["part"] == "store")?;
        Some(store["message"].as_str().unwrap().to_owned())
    });
    assert!(told.contains("the record of the leader is not read since"), "{told}");
    pair.server.start_again();
    wait_for("the record to be read again", || {
        let overview = follower.overview();
        let parts = overview["impairments"].as_array()?;
        parts.iter().all(|one| one["part"] != "store").then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_leader_acts_no_more_and_follows_when_it_wakes_up() {
    let Some(pair) = tokio::task::spawn_blocking(Pair::start).await.unwrap() else { return };
    tokio::task::block_in_place(|| pair.paused_leader());
    // Its requests are refused by the agent, too.
    let mut agent = connect_agent(pair.cluster.agents[0].address).await;
    let target = request_target(&mut agent).await.unwrap();
    for (epoch, expected) in [(1, "the epoch of this aggregator is 1"), (0, "this aggregator has no epoch")] {
        let request = v1::AgentServiceActRequest {
            kind: v1::ActionKind::Start.into(),
            component: "slow".to_owned(),
            by: None,
            target: Some(v1::RequestTarget { epoch, ..target.clone() }),
        };
        let refused = agent.act(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains(expected), "{refused}");
    }
    assert_eq!(pair.starts(), 0);
}

impl Pair {
    fn paused_leader(&self) {
        let first = &self.cluster.aggregator;
        let (_, epoch) = self.leader().unwrap();
        assert_eq!(epoch, 1);
        first.process.signal(Signal::STOP);
        self.wait_for_leader("http://second", &self.other);
        assert_eq!(self.leader(), Some(("http://second".to_owned(), 2)));
        first.process.signal(Signal::CONT);
        let refused = first.rta(&["start", "slow"]);
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && told.contains("nothing was done: "), "{told}");
        let told = wait_for("it to follow", || warning(first).filter(|told| told.contains("http://second")));
        assert!(told.contains("this aggregator follows"), "{told}");
        self.other.rta_success(&["maintenance", "on", "--host", "h", "--reason", "test"]);
        self.other.rta_success(&["maintenance", "off", "--host", "h"]);
        // The earlier leader wrote nothing after the other one had taken over.
        assert_eq!(self.leader(), Some(("http://second".to_owned(), 2)));
    }
}

#[test]
fn leader_keeps_its_lead_over_an_outage_of_the_database() {
    let Some(mut pair) = Pair::start() else { return };
    let first = &pair.cluster.aggregator;
    pair.server.stop();
    let told = wait_for("the lease to lapse", || warning(first));
    assert!(told.contains("the lease of this aggregator has expired: postgres://"), "{told}");
    let refused = first.rta_output(&["start", "slow"]);
    assert!(refused.contains("does not know whether it leads"), "{refused}");
    assert_eq!(first.host()["reachable"], true);
    pair.server.start_again();
    wait_for("somebody to lead", || pair.leader());
    let (leader, follower) = match pair.leader().unwrap().0.as_str() {
        "http://first" => (&pair.cluster.aggregator, &pair.other),
        _ => (&pair.other, &pair.cluster.aggregator),
    };
    wait_for("the leader to serve", || {
        (leader.web.get("/readyz").code == 200 && warning(leader).is_none()).then_some(())
    });
    wait_for("the other to follow", || {
        warning(follower).filter(|told| told.contains("this aggregator follows"))
    });
    wait_for("the record to be written", || {
        leader.overview()["impairments"].as_array().unwrap().is_empty().then_some(())
    });
    leader.rta_success(&["start", "slow"]);
    assert_eq!(pair.starts(), 1);

    // An orderly end hands the lead over at once.
    let (_, epoch) = pair.leader().unwrap();
    let began = Instant::now();
    let leads_first = leader.grpc == pair.cluster.aggregator.grpc;
    if leads_first {
        pair.cluster.aggregator.stop(Signal::TERM)
    } else {
        pair.other.stop(Signal::TERM)
    }
    wait_for("the other to lead", || pair.leader().filter(|(_, now)| *now > epoch));
    println!("handed over after {:?}", began.elapsed());
}

#[test]
fn follower_needs_a_shared_database() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let folder = config.folder();
    let arguments = ["--config", folder.to_str().unwrap(), "--advertise", "http://first"];
    let refused = rta_tests::run_binary("rta-aggregator", arguments);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(2)
            && told.contains("--advertise: only aggregators over one PostgreSQL"),
        "{told}"
    );
}
