//! Several aggregators over one PostgreSQL: one leads an environment, and another takes over when it dies or
//! is paused.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use rta_shared::proto::v1;
use rta_tests::{
    PostgresServer, TestAggregator, TestCa, TestCluster, TestConfig, WebSession, connect_agent,
    request_target, wait_for,
};
use rustix::process::Signal;
use tonic::Code;

/// Script of a component that takes 4 s to start, and counts its starts.
const SLOW_START: &str =
    "echo start >> \"$(dirname \"$0\")/starts\"\nsleep 4\nexec \"$stand_in\" --token=slow-$token";

/// Addresses of the two aggregators, as people are shown them.
const FIRST: &str = "http://127.0.0.1/first";
const SECOND: &str = "http://127.0.0.1/second";

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
        Self::start_with(TestConfig::new(), &[])
    }

    /// Starts both with further arguments. Returns `None` if PostgreSQL is not installed.
    fn start_with(config: TestConfig, arguments: &[&str]) -> Option<Self> {
        let server = PostgresServer::start()?;
        let url = server.create_database();
        let of_both = |address| [&["--store", &url, "--advertise", address][..], arguments].concat();
        let slow = config.scripted_component_toml("slow", SLOW_START, "");
        let last = config.component_toml("last", "\"slow\"", "");
        let builder = TestCluster::builder(config).components(&slow).components(&last);
        let builder = builder.host("h", &["slow", "last"]);
        let cluster = builder.aggregator_arguments(of_both(FIRST)).start();
        let is_first = |(leader, _): &(String, u64)| leader == FIRST;
        wait_for("the first to lead", || read_leader(&server, &url, "test").filter(is_first));
        let other = TestAggregator::start(&cluster.config, &of_both(SECOND));
        let pair = Self { other, server, url, cluster };
        pair.wait_for_leader(FIRST, &pair.cluster.aggregator);
        Some(pair)
    }

    /// Returns address and epoch of the aggregator whose lease has not expired.
    fn leader(&self) -> Option<(String, u64)> {
        read_leader(&self.server, &self.url, "test")
    }

    /// Waits until the aggregator at this address leads, and serves as leader.
    fn wait_for_leader(&self, address: &str, aggregator: &TestAggregator) {
        wait_for("another leader", || self.leader().filter(|(leader, _)| leader == address));
        wait_for("it to serve as leader", || {
            (aggregator.web.get("/readyz").code == 200 && leads(aggregator)).then_some(())
        });
        aggregator.wait_for_host("the host to be heard of", |host| host["reachable"] == true);
    }

    fn starts(&self) -> usize {
        std::fs::read_to_string(self.cluster.config.path("starts")).unwrap_or_default().lines().count()
    }
}

/// Returns address and epoch of the aggregator whose lease of an environment has not expired.
fn read_leader(server: &PostgresServer, url: &str, environment: &str) -> Option<(String, u64)> {
    let sql = format!(
        "SELECT address || ' ' || epoch FROM rta_leases \
         WHERE environment = '{environment}' AND holder <> '' AND expires_at > clock_timestamp()"
    );
    if server.run_sql(url, "SELECT to_regclass('rta_leases') IS NULL").trim() == "t" {
        return None;
    }
    let row = server.run_sql(url, &sql);
    let (address, epoch) = row.split_once(' ')?;
    Some((address.to_owned(), epoch.parse().unwrap()))
}

/// Returns the environments, and for each whether the aggregator says that it leads it itself.
fn led_environments(aggregator: &TestAggregator) -> Vec<(String, bool)> {
    let overview = aggregator.web.get("/api/v1/overview").body;
    let overview: serde_json::Value = serde_json::from_str(&overview).unwrap_or_default();
    let leaders = overview["leaders"].as_array().cloned().unwrap_or_default().into_iter();
    leaders.map(|one| (one["environment"].as_str().unwrap().to_owned(), one["here"] == true)).collect()
}

/// Returns true if the aggregator says that it leads the first environment.
fn leads(aggregator: &TestAggregator) -> bool {
    led_environments(aggregator).first().is_some_and(|(_, is_here)| *is_here)
}

/// Waits until an aggregator follows the one at this address, and has read its record.
fn wait_to_follow(aggregator: &TestAggregator, address: &str) {
    wait_for("it to follow", || {
        let overview = aggregator.web.get("/api/v1/overview").body;
        let overview: serde_json::Value = serde_json::from_str(&overview).ok()?;
        let leader = &overview["leaders"][0];
        (leader["here"] == false && leader["address"] == address).then_some(())
    });
    wait_for("it to read the record", || {
        let events = aggregator.web.get("/api/v1/events?limit=1");
        (events.code == 200 && events.body.contains("\"id\"")).then_some(())
    });
}

/// Returns the impairment of an aggregator through which nothing can be done.
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
    wait_to_follow(&pair.other, FIRST);
    assert_eq!(warning(&pair.other), None);

    let (_, epoch) = pair.leader().unwrap();
    // Through the follower, which becomes the leader in the middle of the plan.
    let address = pair.other.grpc.to_string();
    let starting = std::thread::spawn(move || {
        rta_tests::run_binary("rta", ["--aggregator", &address, "start", "last", "--yes"])
    });
    wait_for("the start to begin", || (pair.starts() == 1).then_some(()));
    pair.cluster.aggregator.stop(Signal::KILL);
    let killed_at = Instant::now();
    wait_for("another leader", || pair.leader().filter(|(leader, now)| leader == SECOND && *now > epoch));
    let taken = killed_at.elapsed();
    pair.wait_for_leader(SECOND, &pair.other);
    let serving = killed_at.elapsed();
    println!("lease taken after {taken:?}, serving after {serving:?}");
    let reported = String::from_utf8(starting.join().unwrap().stdout).unwrap();
    assert!(reported.contains("interrupted"), "the command follows the plan to its end: {reported}");

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
    wait_to_follow(&pair.cluster.aggregator, SECOND);
    let done = pair.cluster.aggregator.rta(&["stop", "last", "--yes"]);
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn follower_shows_the_record_of_the_leader() {
    let Some(pair) = Pair::start() else { return };
    let (leader, follower) = (&pair.cluster.aggregator, &pair.other);
    wait_to_follow(follower, FIRST);
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
    let reported = wait_for("the follower to report it", || {
        let overview = follower.overview();
        let parts = overview["impairments"].as_array().unwrap().clone();
        let store = parts.into_iter().find(|one| one["part"] == "store")?;
        Some(store["message"].as_str().unwrap().to_owned())
    });
    assert!(reported.contains("the record of the leader is not read since"), "{reported}");
    pair.server.start_again();
    wait_for("the record to be read again", || {
        let overview = follower.overview();
        let parts = overview["impairments"].as_array()?;
        parts.iter().all(|one| one["part"] != "store").then_some(())
    });
}

#[test]
fn action_through_a_follower_is_recorded_for_its_person() {
    let Some(server) = PostgresServer::start() else { return };
    let url = server.create_database();
    let config = TestConfig::new();
    let ca = TestCa::new(config.path("pki"));
    let app = config.component_toml("app", "", "");
    let builder = TestCluster::builder(config).components(&app).host("h", &["app"]).tls(&ca).users("open");
    let cluster = builder.aggregator_arguments(["--store", &url, "--advertise", FIRST]).start();
    let leader = &cluster.aggregator;
    wait_for("the first to lead", || leads(leader).then_some(()));
    let users = cluster.users().file.display().to_string();
    let mut arguments: Vec<String> =
        ["--store", &url, "--advertise", SECOND, "--users", &users].map(str::to_owned).into();
    arguments.extend(ca.files("hosts/aggregator").flags(&ca.ca()));
    let follower = TestAggregator::start(&cluster.config, &arguments);
    wait_to_follow(&follower, FIRST);

    // The command, with the certificate of a person: it shows the progress and the end.
    let person = ca.create_user("carol");
    let done = follower.rta_over_tls(&ca.ca(), Some(&person), &["start", "app", "--yes"]);
    assert!(done.status.success() && String::from_utf8_lossy(&done.stdout).contains("started"), "{done:?}");
    let by = |plan: u64| {
        let mut begins = leader.events("kind=plan").into_iter().filter(|event| event["to"] == "under way");
        let begin = begins.find(|event| event["plan"] == plan).unwrap();
        begin["by"]["user"].as_str().unwrap().to_owned()
    };
    assert_eq!(by(1), "carol");
    // A host's certificate and a viewer's token may look alone, here as there.
    let host = ca.files("hosts/h");
    let refused = follower.rta_over_tls(&ca.ca(), Some(&host), &["stop", "app", "--yes"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("may look, and not act"), "{refused:?}");
    let post = |path: &str, token: &str, body: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        follower.web.request("POST", path, &headers, body)
    };
    let (operator, viewer) = (&cluster.users().operator_token, &cluster.users().viewer_token);
    assert_eq!(post("/api/v1/stop", viewer, "{\"component\": \"app\"}").code, 403);

    // A script, by the API of the follower.
    let post_keyed = |aggregator: &TestAggregator| {
        let bearer = format!("Bearer {operator}");
        let headers = [
            ("Authorization", bearer.as_str()),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", "k1"),
        ];
        aggregator.web.request("POST", "/api/v1/stop", &headers, "{\"component\": \"app\"}")
    };
    let begun = post_keyed(&follower);
    assert_eq!(begun.code, 201, "{}", begun.body);
    assert!(begun.head.contains("location: /api/v1/plans/2"), "{}", begun.head);
    wait_for("its end", || {
        let plan = follower.web.get("/api/v1/plans/2").body;
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        (plan["end"]["done"] == 1).then_some(())
    });
    assert_eq!(by(2), "job");
    // The same request at the leader has the same answer, and stops nothing again.
    let again = post_keyed(leader);
    assert_eq!((again.code, again.header("idempotent-replayed")), (201, Some("true")), "{again:?}");
    assert_eq!(again.body, begun.body);
    assert!(leader.events("kind=plan").iter().all(|event| event["plan"].as_u64() <= Some(2)));
    let late = post("/api/v1/plans/2/cancel", operator, "");
    assert!(late.body.contains("plan 2 has ended"), "the leader's refusal: {}", late.body);
    let body = "{\"on\": true, \"host\": \"h\", \"reason\": \"new disks\"}";
    let changed = post("/api/v1/maintenance", operator, body);
    assert!(changed.code == 200 && changed.body.contains("job"), "{}", changed.body);
    leader.wait_for_host("maintenance", |host| host["maintenance"]["by"]["user"] == "job");
    assert!(follower.web.get("/api/v1/maintenance").body.contains("new disks"));
    let body = "{\"host\": \"h\", \"every\": \"sat 02:00\", \"length\": \"2h\", \"time_zone\": \"UTC\"}";
    let planned = post("/api/v1/maintenance/planned", operator, body);
    assert!(planned.code == 201 && planned.body.contains("\"user\":\"job\""), "{planned:?}");
    // The command, whose list is answered here.
    let own =
        ["maintenance", "plan", "--every", "day 04:00", "--for", "1h", "--host", "h", "--time-zone", "UTC"];
    let done = follower.rta_over_tls(&ca.ca(), Some(&person), &own);
    assert!(done.status.success(), "{done:?}");
    let planned = |aggregator: &TestAggregator| -> Vec<(u64, String)> {
        let listed = aggregator.web.get("/api/v1/maintenance/planned").body;
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let one = |plan: &serde_json::Value| {
            (plan["id"].as_u64().unwrap(), plan["by"]["user"].as_str().unwrap().to_owned())
        };
        listed["planned"].as_array().unwrap().iter().map(one).collect()
    };
    let both = [(1, "job".to_owned()), (2, "carol".to_owned())];
    wait_for("the record to be read", || (planned(&follower) == both).then_some(()));
    assert_eq!(planned(leader), both);
    let cancelled = post("/api/v1/maintenance/planned/2/cancel", operator, "");
    assert_eq!(cancelled.code, 200, "{cancelled:?}");
    assert_eq!((planned(&follower), planned(leader)), (both[..1].to_vec(), both[..1].to_vec()));
    let gone = post("/api/v1/maintenance/planned/7/cancel", operator, "");
    assert!(gone.code == 404 && gone.body.contains("no planned maintenance 7"), "{gone:?}");

    // A person, by the page of the follower.
    let session = follower.web.session("ann");
    let form = format!("csrf={}&environment=TEST&host=h&component=app", session.csrf);
    let begun = follower.web.request("POST", "/start", &[("Cookie", &session.cookie)], &form);
    assert_eq!(begun.header("location"), Some("/plan?id=3"), "{}: {}", begun.head, begun.body);
    leader.wait_for_health("app", "up");
    assert_eq!(by(3), "ann");
    let form = format!("csrf={}&host=h&at=2050-01-01+02:00&length=1h&time_zone=UTC", session.csrf);
    let headers = [("Cookie", session.cookie.as_str())];
    assert_eq!(follower.web.request("POST", "/maintenance/plan", &headers, &form).code, 303);
    let form = format!("csrf={}&id=1", session.csrf);
    assert_eq!(follower.web.request("POST", "/maintenance/cancel", &headers, &form).code, 303);
    assert_eq!(
        (planned(&follower), planned(leader)),
        (vec![(3, "ann".to_owned())], vec![(3, "ann".to_owned())])
    );
    for (aggregator, reported) in [(leader, "Led by this aggregator"), (&follower, "Led by <a href=")] {
        let page = aggregator.web.get("/").body;
        assert!(page.contains(reported), "{page}");
    }
}

#[test]
fn session_is_valid_at_every_aggregator_and_after_a_change_of_the_leader() {
    let Some(server) = PostgresServer::start() else { return };
    let url = server.create_database();
    let config = TestConfig::new();
    let app = config.component_toml("app", "", "");
    let builder = TestCluster::builder(config).components(&app).host("h", &["app"]).users("closed");
    let mut cluster = builder.aggregator_arguments(["--store", &url, "--advertise", FIRST]).start();
    let users = cluster.users().file.display().to_string();
    let arguments = ["--store", &url, "--advertise", SECOND, "--users", &users];
    let follower = TestAggregator::start(&cluster.config, &arguments);
    let sees = |aggregator: &TestAggregator, session: &WebSession| {
        let headers = [("Cookie", session.cookie.as_str())];
        let page = aggregator.web.request("GET", "/", &headers, "");
        page.code == 200 && page.body.contains("Sign out")
    };
    let session = wait_for("the first to serve", || {
        (cluster.aggregator.web.get("/readyz").code == 200).then(|| cluster.aggregator.web.session("ann"))
    });
    wait_for("the second to serve", || (follower.web.get("/readyz").code == 200).then_some(()));
    assert!(sees(&follower, &session));
    // No value of the table signs anybody in.
    let secret = session.cookie.split('=').nth(1).unwrap();
    let rows = server.run_sql(&url, "SELECT * FROM rta_sessions");
    assert!(rows.contains("ann") && !rows.contains(secret), "{rows}");

    // It is as valid elsewhere: with the form's token, which is the session's own.
    let page = follower.web.request("GET", "/", &[("Cookie", session.cookie.as_str())], "");
    let there = WebSession { cookie: session.cookie.clone(), csrf: page.csrf() };
    let form = format!("csrf={}", there.csrf);
    let signed_out = follower.web.request("POST", "/sign-out", &[("Cookie", there.cookie.as_str())], &form);
    assert_eq!(signed_out.code, 303, "{}", signed_out.body);
    assert!(!sees(&follower, &session));
    wait_for("the first to learn of it", || (!sees(&cluster.aggregator, &session)).then_some(()));

    let session = cluster.aggregator.web.session("ann");
    cluster.aggregator.stop(Signal::KILL);
    assert!(sees(&follower, &session), "before the other leads");
    wait_for("the other to lead", || {
        let headers = [("Cookie", session.cookie.as_str())];
        let overview = follower.web.request("GET", "/api/v1/overview", &headers, "").body;
        let overview: serde_json::Value = serde_json::from_str(&overview).ok()?;
        (overview["leaders"][0]["here"] == true).then_some(())
    });
    assert!(sees(&follower, &session));
    // People stay signed in over an outage of the database, too, and sign out for good in it.
    let other = follower.web.session("bob");
    server.stop();
    assert!(sees(&follower, &session) && sees(&follower, &other));
    let form = format!("csrf={}", other.csrf);
    follower.web.request("POST", "/sign-out", &[("Cookie", other.cookie.as_str())], &form);
    assert!(!sees(&follower, &other));
    server.start_again();
    cluster.aggregator.start_again();
    wait_for("the first to know the session", || sees(&cluster.aggregator, &session).then_some(()));
    wait_for("the end to be known", || (!sees(&cluster.aggregator, &other)).then_some(()));
    assert!(!sees(&follower, &other));
}

#[test]
fn reload_through_one_aggregator_reaches_the_other() {
    let Some(pair) = Pair::start() else { return };
    wait_to_follow(&pair.other, FIRST);
    pair.cluster.config.write("more.toml", &pair.cluster.config.component_toml("unused", "", ""));
    // Through the one that does not lead.
    let before = pair.other.overview()["config_digest"].clone();
    pair.other.rta_success(&["config", "reload"]);
    let digest = pair.other.overview()["config_digest"].clone();
    assert_ne!(digest, before);
    let leader = &pair.cluster.aggregator;
    leader.wait_for_overview("the same configuration", |overview| overview["config_digest"] == digest);
    // It goes on to lead, with the new configuration.
    leader.rta_success(&["start", "last", "--yes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_leader_acts_no_more_and_follows_when_it_wakes_up() {
    let Some(pair) = tokio::task::spawn_blocking(Pair::start).await.unwrap() else { return };
    let starts = tokio::task::block_in_place(|| pair.paused_leader());
    // Its requests are refused by the agent, too.
    let mut agent = connect_agent(pair.cluster.agents[0].address).await;
    let target = request_target(&mut agent).await.unwrap();
    for (epoch, expected) in [(1, "the epoch of this aggregator is 1"), (0, "this aggregator has no epoch")] {
        let request = v1::AgentServiceActRequest {
            kind: v1::ActionKind::Start.into(),
            component: "slow".to_owned(),
            by: None,
            target: Some(v1::RequestTarget { epoch, ..target.clone() }),
            request_id: String::new(),
        };
        let refused = agent.act(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains(expected), "{refused}");
    }
    assert_eq!(pair.starts(), starts);
}

impl Pair {
    /// Pauses the leader until the other one leads. Returns the number of starts: 1 if it already followed
    /// again, and passed the request on.
    fn paused_leader(&self) -> usize {
        let first = &self.cluster.aggregator;
        let (_, epoch) = self.leader().unwrap();
        assert_eq!(epoch, 1);
        first.process.signal(Signal::STOP);
        self.wait_for_leader(SECOND, &self.other);
        assert_eq!(self.leader(), Some((SECOND.to_owned(), 2)));
        first.process.signal(Signal::CONT);
        let answer = first.rta(&["start", "slow"]);
        let reported = String::from_utf8(answer.stderr).unwrap();
        // It may close its connections before it answers: it begins to follow.
        let is_refused =
            reported.contains("nothing was done: ") || reported.contains("no connection to the aggregator");
        assert!(answer.status.success() || is_refused, "{reported}");
        wait_to_follow(first, SECOND);
        self.other.rta_success(&["maintenance", "on", "--host", "h", "--reason", "test"]);
        self.other.rta_success(&["maintenance", "off", "--host", "h"]);
        // The earlier leader wrote nothing after the other one had taken over.
        assert_eq!(self.leader(), Some((SECOND.to_owned(), 2)));
        usize::from(answer.status.success())
    }
}

#[test]
fn plan_is_refused_while_the_database_hangs() {
    let Some(pair) = Pair::start() else { return };
    pair.server.pause();
    let refused = pair.cluster.aggregator.rta_output(&["start", "last", "--yes"]);
    pair.server.resume();
    assert!(refused.contains("nothing was done") && !refused.contains("begun"), "{refused}");
    wait_for("somebody to lead", || pair.leader());
    pair.other.wait_for_overview("the leader", |overview| overview["leaders"][0].is_object());
    assert_eq!(pair.starts(), 0);
    wait_for("a start to be possible again", || {
        pair.other.rta(&["start", "slow"]).status.success().then_some(())
    });
    assert_eq!(pair.starts(), 1);
}

#[test]
fn past_is_replayed_as_notifications_through_any_aggregator() {
    let config = TestConfig::new();
    let file = config.path("notify.toml");
    let rules = "for = \"1s\"\n[[route]]\nchannels = [\"ops\"]\n\
                 [[channel]]\nname = \"ops\"\n[channel.command]\nrun = [\"/bin/true\"]\n";
    std::fs::write(&file, rules).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let Some(pair) = Pair::start_with(config, &["--notify", file.to_str().unwrap()]) else { return };
    wait_to_follow(&pair.other, FIRST);
    let replayed = pair.cluster.aggregator.rta_success(&["notify", "dry-run", "--since", "1d"]);
    assert_eq!(pair.other.rta_success(&["notify", "dry-run", "--since", "1d"]), replayed);
    assert!(pair.other.rta_success(&["notify", "status"]).contains("ops"));
}

#[test]
fn leader_keeps_its_lead_over_an_outage_of_the_database() {
    let Some(mut pair) = Pair::start() else { return };
    let first = &pair.cluster.aggregator;
    pair.server.stop();
    let reported = wait_for("the lease to lapse", || warning(first));
    assert!(reported.contains("the lease"), "{reported}");
    let reported =
        wait_for("the lease to lapse", || warning(first).filter(|reported| reported.contains("has expired")));
    assert!(reported.contains("the lease of this aggregator has expired: postgres://"), "{reported}");
    let plan = ["maintenance", "plan", "--every", "sat 02:00", "--for", "1h", "--host", "h"];
    for command in [&["start", "slow"][..], &plan, &["maintenance", "cancel", "1"]] {
        let refused = first.rta_output(command);
        assert!(refused.contains("does not know whether it leads"), "{command:?}: {refused}");
    }
    assert_eq!(first.host()["reachable"], true);
    pair.server.start_again();
    wait_for("somebody to lead", || pair.leader());
    let (leader, follower) = match pair.leader().unwrap().0.as_str() {
        FIRST => (&pair.cluster.aggregator, &pair.other),
        _ => (&pair.other, &pair.cluster.aggregator),
    };
    wait_for("the leader to serve", || {
        (leader.web.get("/readyz").code == 200 && leads(leader)).then_some(())
    });
    wait_to_follow(follower, &pair.leader().unwrap().0);
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
    let arguments = ["--config", folder.to_str().unwrap(), "--advertise", FIRST];
    let refused = rta_tests::run_binary("rta-aggregator", arguments);
    let reported = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(2)
            && reported.contains("--advertise: only aggregators over one PostgreSQL"),
        "{reported}"
    );
}
