//! Plan of thousands of steps, and an aggregator that is killed during it: requester and
//! progress are known afterwards.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;

use rta_shared::plan::{ActionRequest, ExecutionOptions};
use rta_shared::proto::v1;
use rta_shared::proto::v1::aggregator_service_client::AggregatorServiceClient;
use rta_tests::{FakeAgents, ServerProcess, TestConfig, WebClient, wait_for};
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::Runtime;

const HOSTS: usize = 200;
const COMPONENTS: usize = 10;
const STEPS: usize = HOSTS * COMPONENTS;

struct World {
    agents: FakeAgents,
    site: TestConfig,
    runtime: Runtime,
}

struct Aggregator {
    program: ServerProcess,
    web: WebClient,
    grpc: SocketAddr,
}

impl World {
    fn new() -> Self {
        let agents = FakeAgents::new(HOSTS, COMPONENTS);
        let site = TestConfig::new();
        site.write("made-up.toml", &agents.startable_toml());
        Self { agents, site, runtime: Runtime::new().unwrap() }
    }

    fn aggregator(&self) -> Aggregator {
        let (config, data) =
            (self.site.folder().display().to_string(), self.site.path("data").display().to_string());
        let mut program = ServerProcess::start(
            "rta-aggregator",
            ["--config", &config, "--data", &data, "--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"],
        );
        let (web, grpc) = (WebClient(program.address("web")), program.address("grpc"));
        wait_for("all hosts to be heard of", || (web.get("/readyz").code == 200).then_some(()));
        Aggregator { program, web, grpc }
    }

    /// Requests a stop of everything, and disconnects once `acted` actions have reached the agents.
    fn stop_everything_until(&self, aggregator: &Aggregator, acted: usize) {
        self.runtime.block_on(async {
            let client =
                AggregatorServiceClient::connect(format!("http://{}", aggregator.grpc)).await.unwrap();
            let mut client = client.max_decoding_message_size(64 << 20);
            let wish = ActionRequest { all: true, ..ActionRequest::default() };
            let conduct = ExecutionOptions { everything: true, ..ExecutionOptions::default() };
            let request = v1::AggregatorServiceActRequest {
                kind: v1::ActionKind::Stop.into(),
                wish: Some((&wish).into()),
                conduct: Some(v1::PlanConduct::new(&conduct, "ann")),
            };
            let mut told = client.act(request).await.unwrap().into_inner();
            while self.agents.action_count() < acted {
                told.message().await.unwrap().unwrap();
            }
        });
    }
}

impl Aggregator {
    fn events(&self, query: &str) -> Vec<Value> {
        let answer: Value =
            serde_json::from_str(&self.web.get(&format!("/api/v1/events?{query}")).body).unwrap();
        answer.as_array().or_else(|| answer["events"].as_array()).unwrap().clone()
    }
}

#[test]
fn a_killed_aggregator_leaves_who_asked_for_what_and_how_far_it_came() {
    let world = World::new();
    let mut aggregator = world.aggregator();
    world.stop_everything_until(&aggregator, 60);
    aggregator.program.signal(Signal::KILL);
    aggregator.program.wait();
    let (acted, stopped) = (world.agents.action_count(), world.agents.count_in_state(v1::State::Stopped));
    assert!((60..STEPS).contains(&acted) && stopped == acted, "{acted} actions, {stopped} stopped");

    let aggregator = world.aggregator();
    let ended = wait_for("the plan to be closed", || {
        let mut plans = aggregator.events("kind=plan");
        (plans.first()?["to"] == "interrupted").then(|| plans.remove(0))
    });
    assert_eq!((&ended["by"]["user"], &ended["plan"]), (&"ann".into(), &1.into()));
    let text = ended["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("stop of {STEPS} instances: ")), "{text}");
    // Exactly the actions that reached an agent are recorded as attempted.
    let steps = aggregator.events("kind=step&limit=10000");
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
    assert_eq!(world.agents.action_count(), acted, "nothing goes on by itself");
}

#[test]
fn a_large_plan_is_recorded_by_the_time_it_ends() {
    let world = World::new();
    let mut aggregator = world.aggregator();
    world.stop_everything_until(&aggregator, STEPS);
    wait_for("the plan to end", || (aggregator.events("kind=plan").first()?["to"] == "done").then_some(()));
    // Nothing is left to write, so it exits at once.
    aggregator.program.signal(Signal::TERM);
    assert!(aggregator.program.wait().success());
    let aggregator = world.aggregator();
    let done = aggregator.events("kind=step&limit=10000").iter().filter(|step| step["to"] == "done").count();
    assert_eq!(done, STEPS);
    assert!(aggregator.events("kind=plan").iter().all(|plan| plan["by"]["user"] == "ann"));
}
