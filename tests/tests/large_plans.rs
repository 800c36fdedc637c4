//! Plan of thousands of steps, and an aggregator that is killed during it: requester and
//! progress are known afterwards.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use rta_shared::plan::{ActionRequest, ExecutionOptions};
use rta_shared::proto::v1;
use rta_tests::{FakeAgents, TestCluster, TestConfig, wait_for};
use rustix::process::Signal;
use tokio::runtime::Runtime;

const HOSTS: usize = 200;
const COMPONENTS: usize = 10;
const STEPS: usize = HOSTS * COMPONENTS;

/// Starts an aggregator of these agents.
fn start_cluster(agents: &FakeAgents) -> TestCluster {
    let cluster = TestCluster::builder(TestConfig::new()).components(&agents.startable_toml()).data().start();
    cluster.aggregator.wait_until_ready();
    cluster
}

/// Requests a stop of everything, and disconnects once `acted` actions have reached the agents.
fn stop_everything_until(cluster: &TestCluster, agents: &FakeAgents, acted: usize) {
    let stop = async {
        let mut client = cluster.aggregator.client().await;
        let request = ActionRequest { all: true, ..ActionRequest::default() };
        let options = ExecutionOptions { everything: true, ..ExecutionOptions::default() };
        let request = v1::AggregatorServiceActRequest {
            kind: v1::ActionKind::Stop.into(),
            selection: Some((&request).into()),
            options: Some(v1::PlanOptions::new(&options, "ann")),
        };
        let mut events = client.act(request).await.unwrap().into_inner();
        while agents.action_count() < acted {
            events.message().await.unwrap().unwrap();
        }
    };
    Runtime::new().unwrap().block_on(stop);
}

#[test]
fn a_killed_aggregator_leaves_who_asked_for_what_and_how_far_it_came() {
    let agents = FakeAgents::new(HOSTS, COMPONENTS);
    let mut cluster = start_cluster(&agents);
    stop_everything_until(&cluster, &agents, 60);
    cluster.aggregator.stop(Signal::KILL);
    let (acted, stopped) = (agents.action_count(), agents.count_in_state(v1::State::Stopped));
    assert!((60..STEPS).contains(&acted) && stopped == acted, "{acted} actions, {stopped} stopped");

    cluster.aggregator.start_again();
    cluster.aggregator.wait_until_ready();
    let ended = wait_for("the plan to be closed", || {
        let mut plans = cluster.aggregator.events("kind=plan");
        (plans.first()?["to"] == "interrupted").then(|| plans.remove(0))
    });
    assert_eq!((&ended["by"]["user"], &ended["plan"]), (&"ann".into(), &1.into()));
    let text = ended["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("stop of {STEPS} instances: ")), "{text}");
    // Exactly the actions that reached an agent are recorded as attempted.
    let steps = cluster.aggregator.events("kind=step&limit=10000");
    let attempted = |to: &str| {
        let of: std::collections::BTreeSet<_> = steps
            .iter()
            .filter(|step| step["to"] == to)
            .map(|step| (step["host"].as_str().unwrap(), step["component"].as_str().unwrap()))
            .collect();
        of.len()
    };
    let (done, interrupted, skipped) = (attempted("done"), attempted("interrupted"), attempted("skipped"));
    assert_eq!(
        done + interrupted + skipped,
        STEPS,
        "{done} done, {interrupted} interrupted, {skipped} skipped"
    );
    // The other started steps, at most the parallel limit, had not reached their agents.
    assert!(
        (acted..=acted + 8).contains(&(done + interrupted)),
        "{acted} acted, {done} done, {interrupted} cut off"
    );
    assert_eq!(agents.action_count(), acted, "nothing goes on by itself");
}

#[test]
fn a_large_plan_is_recorded_by_the_time_it_ends() {
    let agents = FakeAgents::new(HOSTS, COMPONENTS);
    let mut cluster = start_cluster(&agents);
    stop_everything_until(&cluster, &agents, STEPS);
    wait_for("the plan to end", || {
        (cluster.aggregator.events("kind=plan").first()?["to"] == "done").then_some(())
    });
    // Nothing is left to write, so it exits at once.
    cluster.aggregator.process.signal(Signal::TERM);
    assert!(cluster.aggregator.process.wait().success());
    cluster.aggregator.start_again();
    cluster.aggregator.wait_until_ready();
    let done =
        cluster.aggregator.events("kind=step&limit=10000").iter().filter(|step| step["to"] == "done").count();
    assert_eq!(done, STEPS);
    assert!(cluster.aggregator.events("kind=plan").iter().all(|plan| plan["by"]["user"] == "ann"));
}
