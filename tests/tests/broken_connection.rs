//! Connections between aggregator and agent that break in the middle of an action.

use std::process::Output;
use std::sync::Arc;
use std::thread::JoinHandle;

use rta_shared::action::ActionPhase;
use rta_shared::plan::{ActionRequest, ExecutionOptions, PlanEvent};
use rta_shared::proto::v1;
use rta_tests::{CuttingRelay, TestCluster, TestConfig, run_binary, wait_for};
use rustix::process::Signal;

/// Command that becomes the component when a file appears, so that its start takes as long as a test wants.
const WAITS: &str =
    "touch \"$0.begun\"\nuntil [ -e \"$0.go\" ]; do sleep 0.05; done\nexec \"$stand_in\" --token=app-$token";

/// Starts a host with such a component.
fn start_cluster() -> TestCluster {
    let config = TestConfig::new();
    let component = config.scripted_component_toml("app", WAITS, "");
    let state = config.path("state").display().to_string();
    TestCluster::builder(config)
        .components(&component)
        .host_with("h", "components = [\"app\"]")
        .agent_arguments(["--state", &state])
        .data()
        .start()
}

/// Begins to start the component, and returns when its command runs.
fn begin_start(cluster: &TestCluster) -> JoinHandle<Output> {
    let address = cluster.aggregator.grpc.to_string();
    let starting = std::thread::spawn(move || run_binary("rta", ["--aggregator", &address, "start", "app"]));
    wait_for("the command to run", || cluster.config.path("app.sh.begun").exists().then_some(()));
    starting
}

fn wait_until_broken(cluster: &TestCluster) {
    wait_for("the connection to break", || {
        let log = cluster.aggregator.process.log();
        log.iter().any(|line| line.contains("the connection broke during an action")).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn action_of_a_suspended_agent_is_followed_again() {
    let cluster = start_cluster();
    let selection = ActionRequest { component: "app".to_owned(), ..ActionRequest::default() };
    let request = v1::AggregatorServiceActRequest {
        kind: v1::ActionKind::Start.into(),
        selection: Some((&selection).into()),
        options: Some(v1::PlanOptions::new(&ExecutionOptions::default(), "ann")),
    };
    let mut events = cluster.aggregator.client().await.act(request).await.unwrap().into_inner();
    let (mut phases, mut ended) = (Vec::new(), None);
    while let Some(message) = events.message().await.unwrap() {
        match PlanEvent::try_from(message.event.unwrap()).unwrap() {
            PlanEvent::Step(step) => phases.extend(step.progress.map(|progress| progress.phase)),
            PlanEvent::Ended(end) => ended = Some(end),
            PlanEvent::Begun(_) => {}
        }
        if phases == [ActionPhase::Launched] && !cluster.config.path("app.sh.go").exists() {
            tokio::task::block_in_place(|| {
                cluster.agents[0].process.signal(Signal::STOP);
                wait_until_broken(&cluster);
                std::fs::write(cluster.config.path("app.sh.go"), "").unwrap();
                cluster.agents[0].process.signal(Signal::CONT);
            });
        }
    }
    assert_eq!(ended.unwrap().done, 1);
    // Each progress is told once.
    let expected = [ActionPhase::Launched, ActionPhase::Waiting, ActionPhase::Matched, ActionPhase::Stable];
    assert_eq!(phases, expected);
    assert_eq!(cluster.config.processes().len(), 1);
}

#[test]
fn action_of_an_agent_that_started_again_is_said_to_be_unknown_and_goes_on() {
    let mut cluster = start_cluster();
    let starting = begin_start(&cluster);
    cluster.agents[0].stop(Signal::KILL);
    wait_until_broken(&cluster);
    cluster.agents[0].start_again();
    let ended = starting.join().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let expected =
        "the agent cannot say how it went, since it may have started again; look at the status of app on h";
    assert!(!ended.status.success() && said.contains(expected), "{ended:?}");
    std::fs::write(cluster.config.path("app.sh.go"), "").unwrap();
    cluster.aggregator.wait_for_health("app", "up");
    assert_eq!(cluster.config.processes().len(), 1);
}

#[test]
fn action_that_the_agent_has_surely_not_begun_is_requested_again() {
    for (cuts, expected_cuts_left) in [(1, 0), (100, 97)] {
        let relay = CuttingRelay::start("cut-off-app", cuts);
        let config = TestConfig::new();
        let component = config.component_toml("cut-off-app", "", "");
        let relayed = Arc::clone(&relay);
        let cluster = TestCluster::builder(config)
            .components(&component)
            .hosts_toml(&["h"], move |agents| {
                relayed.lead_to(agents[0]);
                format!(
                    "[[environment]]\nname = \"TEST\"\n[[environment.host]]\nname = \"h\"\n\
                     components = [\"cut-off-app\"]\nagent = \"http://{}\"",
                    relayed.address()
                )
            })
            .start();
        cluster.aggregator.wait_for_health("cut-off-app", "down");
        let address = cluster.aggregator.grpc.to_string();
        let ended = run_binary("rta", ["--aggregator", &address, "start", "cut-off-app"]);
        let said = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(relay.cuts_left(), expected_cuts_left, "{ended:?}");
        if expected_cuts_left == 0 {
            assert!(ended.status.success(), "{ended:?}");
            assert_eq!(cluster.config.processes().len(), 1);
        } else {
            let expected = "nothing was done: the connection with the agent at ";
            assert!(!ended.status.success() && said.contains(expected), "{ended:?}");
            assert_eq!(cluster.config.processes(), Vec::<u32>::new());
        }
    }
}
