//! Plans across hosts: in the right order, confirmed, visible while they run, and never lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;

use rta_shared::action::ActionKind;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{
    ActionRequest, ExecutionOptions, Plan, PlanEnd, PlanEvent, PlanStart, StepChange, StepState,
};
use rta_shared::proto::v1;
use rta_shared::proto::v1::aggregator_service_client::AggregatorServiceClient;
use rta_tests::{ServerProcess, TestConfig, WebClient, wait_for};
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Kafka and an idle neighbour on one host. On the other host a detector that depends on Kafka, an alarm that
/// depends on the detector, a component that fails to start and one that depends on it, and a slow component
/// with a follower that depends on it.
struct World {
    site: TestConfig,
    _agents: [ServerProcess; 2],
    aggregator: ServerProcess,
    web: WebClient,
    runtime: Runtime,
    client: AggregatorServiceClient<Channel>,
}

impl World {
    fn new() -> Self {
        Self::with(&[])
    }

    /// Starts the programs, with more arguments for the aggregator; `{data}` stands for a folder of the test.
    fn with(arguments: &[&str]) -> Self {
        let site = TestConfig::new();
        let component = |name: &str, needs: &str| site.component_toml(name, needs, "");
        let token = site.token();
        let played = |name: &str, needs: &str, script: &str| {
            format!(
                "[[component]]\nname = \"{name}\"\ncriteria = [{{ regex = '^--token={name}-{token}$' }}]\n\
                 depends_on = [{needs}]\n[component.start]\ncommand = [\"/bin/sh\", \"-c\", '''{script}''']\n\
                 settle = \"0s\"\ntimeout = \"50s\"\nlog = \"{log}\"\nenvironment.STAND_IN_LEASE = \"{lease}\"\n",
                log = site.log_path(name).display(),
                lease = std::process::id(),
            )
        };
        // Starts when its gate is opened, and exits with the test.
        let slow = format!(
            "while [ ! -e {gate} ]; do [ -d {config} ] || exit 1; sleep 0.05; done; exec {stand_in} --token=slow-{token}",
            gate = site.path("gate").display(),
            config = site.folder().display(),
            stand_in = rta_tests::binary("stand-in").display(),
        );
        let components = [
            component("kafka server", ""),
            component("idle", ""),
            component("detector", "\"kafka server\""),
            component("alarm", "\"detector\""),
            played("broken", "", "echo the disk is gone; exit 3"),
            component("after broken", "\"broken\""),
            played("slow", "", &slow),
            component("follower", "\"slow\""),
        ];
        site.write("components.toml", &components.concat());
        let hosts = |[one, two]: [SocketAddr; 2]| {
            let storage = "\"detector\", \"alarm\", \"broken\", \"after broken\"";
            format!(
                "[[environment]]\nname = \"TEST\"\n\
                 host = [{{ name = \"analytic\", components = [\"kafka server\", \"idle\", \"slow\", \"follower\"], agent = \"http://{one}\" }},\n\
                 {{ name = \"storage\", components = [{storage}], agent = \"http://{two}\" }}]\n"
            )
        };
        let agents = site.start_agents(["analytic", "storage"], &[], "hosts.toml", hosts);
        let agents = agents.map(|(agent, _)| agent);
        let runtime = Runtime::new().unwrap();
        let (aggregator, web, client) = aggregator(&site, &runtime, arguments);
        Self { site, _agents: agents, aggregator, web, runtime, client }
    }

    fn plan(&self, kind: ActionKind, wish: &ActionRequest) -> Result<Plan, Status> {
        let request = v1::PlanRequest { kind: v1::ActionKind::from(kind).into(), wish: Some(wish.into()) };
        let answered = self.runtime.block_on(self.client.clone().plan(request))?;
        Ok(answered.into_inner().plan.unwrap().try_into().unwrap())
    }

    /// Starts a plan and reads its events to the end.
    fn control(
        &self,
        kind: ActionKind,
        wish: &ActionRequest,
        conduct: &ExecutionOptions,
    ) -> Result<PlanRecord, Status> {
        let mut client = self.client.clone();
        let request = v1::AggregatorServiceActRequest {
            kind: v1::ActionKind::from(kind).into(),
            wish: Some(wish.into()),
            conduct: Some(v1::PlanConduct::new(conduct, "ann\u{1b}")),
        };
        self.runtime.block_on(async {
            let begun = client.act(request).await?;
            read_plan(begun.into_inner().map(|message| Ok(message?.event.unwrap()))).await
        })
    }

    fn start(&self, component: &str) -> PlanRecord {
        self.control(ActionKind::Start, &wish(component), &everything()).unwrap()
    }

    /// Starts a component, disconnects once its first step is in progress, and returns the plan's number.
    fn begin_and_leave(&self, component: &str) -> u64 {
        let mut client = self.client.clone();
        let conduct = v1::PlanConduct::new(&everything(), "ann");
        let request = v1::AggregatorServiceActRequest {
            kind: v1::ActionKind::Start.into(),
            wish: Some((&wish(component)).into()),
            conduct: Some(conduct),
        };
        self.runtime.block_on(async {
            let mut events = client.act(request).await.unwrap().into_inner();
            let mut id = 0;
            loop {
                match events.message().await.unwrap().unwrap().event.unwrap().try_into().unwrap() {
                    PlanEvent::Begun(begun) => id = begun.id,
                    // Accepted by its agent, because there is progress.
                    PlanEvent::Step(StepChange { state: StepState::UnderWay, progress: Some(_), .. }) => {
                        return id;
                    }
                    PlanEvent::Step(StepChange { state: StepState::UnderWay, .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
        })
    }

    /// Reads the events of a plan from its beginning to its end.
    fn watch(&self, plan_id: u64) -> Result<PlanRecord, Status> {
        self.runtime.block_on(async {
            let told = self.client.clone().watch_plan(v1::WatchPlanRequest { plan_id }).await?;
            read_plan(told.into_inner().map(|message| Ok(message?.event.unwrap()))).await
        })
    }

    fn cancel(&self, plan_id: u64) -> Result<u32, Status> {
        let mut client = self.client.clone();
        let cancelled = client.cancel_plan(v1::CancelPlanRequest { plan_id });
        Ok(self.runtime.block_on(cancelled)?.into_inner().skipped)
    }

    fn has_recorded_a_step_of(&self, plan: u64) -> bool {
        let mut client = self.client.clone();
        let request = v1::ListEventsRequest { kinds: vec!["step".to_owned()], ..Default::default() };
        let events = self.runtime.block_on(client.list_events(request)).unwrap().into_inner().events;
        events.iter().any(|event| event.plan_id == plan)
    }

    /// Returns the running components and their PIDs, from the overview.
    fn running(&self) -> Vec<(String, u64)> {
        let overview: Value = serde_json::from_str(&self.web.get("/api/v1/overview").body).unwrap();
        let hosts = overview["environments"][0]["hosts"].as_array().unwrap();
        let instances = hosts.iter().flat_map(|host| host["instances"].as_array().unwrap());
        let running = instances.filter(|instance| instance["state"] == "running").map(|instance| {
            (instance["component"].as_str().unwrap().to_owned(), instance["pids"][0].as_u64().unwrap())
        });
        running.collect()
    }

    fn names_running(&self) -> Vec<String> {
        self.running().into_iter().map(|(name, _)| name).collect()
    }
}

fn aggregator(
    site: &TestConfig,
    runtime: &Runtime,
    arguments: &[&str],
) -> (ServerProcess, WebClient, AggregatorServiceClient<Channel>) {
    let config = site.folder().display().to_string();
    let data = site.path("data").display().to_string();
    let more = arguments.iter().map(|argument| argument.replace("{data}", &data));
    let own = ["--config", &config, "--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"].map(str::to_owned);
    let mut aggregator = ServerProcess::start("rta-aggregator", own.into_iter().chain(more));
    let (web, grpc) = (WebClient(aggregator.address("web")), aggregator.address("grpc"));
    let client = runtime.block_on(AggregatorServiceClient::connect(format!("http://{grpc}"))).unwrap();
    (aggregator, web, client)
}

fn wish(component: &str) -> ActionRequest {
    ActionRequest { component: component.to_owned(), ..ActionRequest::default() }
}

fn everything() -> ExecutionOptions {
    ExecutionOptions { everything: true, ..ExecutionOptions::default() }
}

/// Events of a plan.
#[derive(Debug)]
struct PlanRecord {
    begun: PlanStart,
    events: Vec<PlanEvent>,
    end: PlanEnd,
}

async fn read_plan(
    mut events: impl Stream<Item = Result<v1::PlanEvent, Status>> + Unpin,
) -> Result<PlanRecord, Status> {
    let mut all: Vec<PlanEvent> = Vec::new();
    while let Some(event) = events.next().await {
        all.push(event?.try_into().unwrap());
    }
    let (Some(PlanEvent::Begun(begun)), Some(PlanEvent::Ended(end))) = (all.first(), all.last()) else {
        panic!("it begins and ends: {all:?}");
    };
    Ok(PlanRecord { begun: begun.clone(), end: end.clone(), events: all })
}

impl PlanRecord {
    /// Returns the planned steps as `+start storage/detector`, with a mark at unnamed instances.
    fn planned(&self) -> Vec<String> {
        planned(&self.begun.plan)
    }

    /// Returns the start and end events of the steps, in order of arrival.
    fn course(&self) -> Vec<(usize, StepState)> {
        let changes = self.events.iter().filter_map(|event| match event {
            PlanEvent::Step(change) if change.progress.is_none() => Some((change.step, change.state)),
            _ => None,
        });
        changes.collect()
    }

    /// Returns the final state of the step on a component, and its text.
    fn outcome(&self, component: &str) -> (StepState, &str) {
        let at = self.begun.plan.steps.iter().rposition(|step| step.instance.component == *component);
        let said = self.events.iter().rev().find_map(|event| match event {
            PlanEvent::Step(change) if Some(change.step) == at => Some((change.state, change.text.as_str())),
            _ => None,
        });
        said.unwrap()
    }

    /// Asserts that the steps were started and completed one after the other.
    fn assert_one_after_the_other(&self) {
        let expected: Vec<_> = (0..self.begun.plan.steps.len())
            .flat_map(|at| [(at, StepState::UnderWay), (at, StepState::Done)])
            .collect();
        assert_eq!(self.course(), expected, "{self:?}");
        assert!(self.end.is_complete());
    }
}

fn planned(plan: &Plan) -> Vec<String> {
    let steps = plan.steps.iter().map(|step| {
        let InstanceId { host, component, .. } = &step.instance;
        format!("{}{} {host}/{component}", if step.named { "" } else { "+" }, step.action)
    });
    steps.collect()
}

#[test]
fn a_start_pulls_in_kafka_on_the_other_host_and_nothing_else() {
    let world = World::new();
    let expected = ["+start analytic/kafka server", "start storage/detector"];
    let plan = world.plan(ActionKind::Start, &wish("detector")).unwrap();
    assert_eq!(planned(&plan), expected);
    assert_eq!(plan.steps[0].why, "detector on storage needs it");

    let refused =
        world.control(ActionKind::Start, &wish("detector"), &ExecutionOptions::default()).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        refused.message(),
        "start of detector on storage also starts: kafka server on analytic; say --yes or --no-dependencies"
    );
    assert!(world.names_running().is_empty(), "neither a plan nor a refusal does anything");

    let agreed =
        ExecutionOptions { agreed: vec![plan.steps[0].instance.clone()], ..ExecutionOptions::default() };
    let started = world.control(ActionKind::Start, &wish("detector"), &agreed).unwrap();
    assert_eq!(started.planned(), expected);
    started.assert_one_after_the_other();
    assert!(started.outcome("detector").1.starts_with("started in "), "{started:?}");
    assert_eq!(
        (started.begun.by.user.as_str(), started.begun.by.address.as_str()),
        ("ann\\u{1b}", "127.0.0.1")
    );
    assert_eq!(world.names_running(), ["kafka server", "detector"]);
    assert_eq!(world.site.processes().len(), 2);
    // The second time, nothing needs to be done or confirmed.
    let again = world.control(ActionKind::Start, &wish("detector"), &ExecutionOptions::default()).unwrap();
    assert!(again.outcome("detector").1.starts_with("already running, nothing was started"), "{again:?}");
    // An empty plan cannot fail either.
    let nothing = ActionRequest { all: true, ..wish("kafka server") };
    let nothing = world.control(ActionKind::Start, &nothing, &ExecutionOptions::default()).unwrap();
    assert_eq!((nothing.events.len(), nothing.end.is_complete()), (2, true));
}

#[test]
fn a_stop_says_whom_it_takes_down_and_takes_dependents_first() {
    let world = World::new();
    world.start("alarm");
    world.start("idle");
    let refused =
        world.control(ActionKind::Stop, &wish("kafka server"), &ExecutionOptions::default()).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        refused.message(),
        "stop of kafka server on analytic also takes down: alarm on storage, detector on storage; \
         say --yes or --no-dependencies"
    );
    let stopped = world.control(ActionKind::Stop, &wish("kafka server"), &everything()).unwrap();
    assert_eq!(
        stopped.planned(),
        ["+stop storage/alarm", "+stop storage/detector", "stop analytic/kafka server"]
    );
    stopped.assert_one_after_the_other();
    assert_eq!(world.names_running(), ["idle"]);
    assert_eq!(world.site.processes().len(), 1);

    world.start("alarm");
    let alone = ActionRequest { no_dependencies: true, ..wish("kafka server") };
    let stopped = world.control(ActionKind::Stop, &alone, &ExecutionOptions::default()).unwrap();
    assert_eq!(stopped.planned(), ["stop analytic/kafka server"]);
    assert_eq!(world.names_running(), ["idle", "detector", "alarm"]);
}

#[test]
fn a_restart_brings_back_the_dependents_that_ran() {
    let world = World::new();
    world.start("alarm");
    world.start("idle");
    let alarm = world.control(ActionKind::Stop, &wish("alarm"), &ExecutionOptions::default()).unwrap();
    assert!(alarm.end.is_complete());
    let before = world.running();
    let restarted = world.control(ActionKind::Restart, &wish("kafka server"), &everything()).unwrap();
    assert_eq!(
        restarted.planned(),
        ["+stop storage/detector", "restart analytic/kafka server", "+start storage/detector"]
    );
    restarted.assert_one_after_the_other();
    let after = world.running();
    let names: Vec<&str> = after.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["kafka server", "idle", "detector"]);
    let same: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before == after).collect();
    assert_eq!(same, [false, true, false], "only what needs it was touched");
}

#[test]
fn after_a_failure_what_depends_on_it_is_skipped_and_the_rest_as_wished() {
    let world = World::new();
    world.start("kafka server");
    let storage = ActionRequest { host: "storage".to_owned(), ..ActionRequest::default() };
    let careful = ExecutionOptions { parallel: 1, ..everything() };
    let failed = world.control(ActionKind::Start, &storage, &careful).unwrap();
    let (state, text) = failed.outcome("broken");
    assert_eq!(state, StepState::Failed);
    assert!(text.contains("exit status 3") && text.contains("the disk is gone"), "{text}");
    let skipped = "not attempted, since the start of broken on storage failed";
    assert_eq!(failed.outcome("after broken"), (StepState::Skipped, skipped));
    let otherwise = format!("{skipped} (--keep-going goes on with what does not depend on it)");
    for component in ["alarm", "detector"] {
        assert_eq!(failed.outcome(component), (StepState::Skipped, otherwise.as_str()));
    }
    assert_eq!((failed.end.done, failed.end.failed, failed.end.skipped), (0, 1, 3));

    let keep_going = ExecutionOptions { keep_going: true, ..everything() };
    let failed = world.control(ActionKind::Start, &storage, &keep_going).unwrap();
    assert_eq!(failed.outcome("after broken"), (StepState::Skipped, skipped));
    assert_eq!((failed.end.done, failed.end.failed, failed.end.skipped), (2, 1, 1));
    assert_eq!(world.names_running(), ["kafka server", "detector", "alarm"]);
}

#[test]
fn stop_of_several_is_refused_over_grpc_until_it_is_agreed_to() {
    let world = World::new();
    world.start("alarm");
    let storage = ActionRequest { host: "storage".to_owned(), ..ActionRequest::default() };
    let running = world.names_running();
    let refused = world.control(ActionKind::Stop, &storage, &ExecutionOptions::default()).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let message = "stop of host storage stops: alarm on storage, detector on storage; say --yes";
    assert_eq!(refused.message(), message);
    assert_eq!(world.names_running(), running);
    let plan = world.plan(ActionKind::Stop, &storage).unwrap();
    let agreed = plan.instances_to_confirm().into_iter().cloned().collect();
    let conduct = ExecutionOptions { agreed, ..ExecutionOptions::default() };
    assert_eq!(world.control(ActionKind::Stop, &storage, &conduct).unwrap().end.done, 2);
    assert_eq!(world.names_running(), ["kafka server"]);
}

#[test]
fn a_plan_goes_on_when_its_caller_leaves_and_others_can_watch_it() {
    let world = World::new();
    let id = world.begin_and_leave("follower");
    assert!(world.names_running().is_empty());
    assert!(world.web.get("/").body.contains("start of follower on analytic and 1 more"));
    std::fs::write(world.site.path("gate"), "").unwrap();
    let heard = world.watch(id).unwrap();
    heard.assert_one_after_the_other();
    assert_eq!(heard.begun.id, id);
    assert_eq!(world.names_running(), ["slow", "follower"]);
    // The plan can be watched for a while, with the same events for everyone.
    assert_eq!(world.watch(id).unwrap().events, heard.events);
    let page = world.web.get(&format!("/plan?id={id}")).body;
    assert!(page.contains("2 steps done") && !page.contains("http-equiv"), "{page}");
    assert_eq!(world.watch(id + 1).unwrap_err().code(), Code::NotFound);
}

#[test]
fn a_cancelled_plan_begins_nothing_more() {
    let world = World::new();
    let id = world.begin_and_leave("follower");
    assert_eq!(world.cancel(id).unwrap(), 1);
    std::fs::write(world.site.path("gate"), "").unwrap();
    let heard = world.watch(id).unwrap();
    assert_eq!(heard.outcome("follower"), (StepState::Skipped, "not attempted: cancelled"));
    assert_eq!((heard.end.done, heard.end.skipped, heard.end.cancelled), (1, 1, true));
    // The step already in progress on the agent was completed.
    assert_eq!(world.names_running(), ["slow"]);
    assert_eq!(world.cancel(id).unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(world.cancel(99).unwrap_err().code(), Code::NotFound);
}

#[test]
fn two_plans_at_once_are_told_apart_by_the_agent() {
    let world = World::new();
    let first = world.begin_and_leave("slow");
    let second = world.control(ActionKind::Start, &wish("slow"), &everything()).unwrap();
    let (state, text) = second.outcome("slow");
    assert_eq!(state, StepState::Failed);
    assert!(text.contains("is under way") && text.contains("for ann from 127.0.0.1"), "{text}");
    std::fs::write(world.site.path("gate"), "").unwrap();
    assert!(world.watch(first).unwrap().end.is_complete());
    assert_eq!(world.site.processes().len(), 1);
}

#[test]
fn the_page_asks_before_it_touches_more_than_was_pressed() {
    let world = World::new();
    world.start("detector");
    let form = "environment=TEST&host=analytic&component=kafka+server";
    let asked = world.web.post("/stop", form);
    assert_eq!(asked.code, 200);
    let page = asked.body;
    assert!(page.contains("It also takes down: detector on storage."), "{page}");
    assert!(page.contains("name=\"agreed\" value=\"TEST/storage/detector\""), "{page}");
    assert!(page.contains("Stop 2 instances"));
    assert_eq!(world.names_running(), ["kafka server", "detector"]);

    let agreed = world.web.post("/stop", &format!("{form}&agreed=TEST%2Fstorage%2Fdetector"));
    assert_eq!(agreed.code, 303);
    let path = agreed.header("location").unwrap();
    let page = wait_for("the plan to end", || {
        Some(world.web.get(path).body).filter(|page| page.contains(">2 steps done</strong>"))
    });
    assert!(page.contains("for page from 127.0.0.1") && page.contains("stopped in"), "{page}");
    assert!(world.names_running().is_empty());
    let recent = world.web.get("/").body;
    assert!(
        recent.contains(
            "stop of kafka server on analytic and 1 more</a>, for page from 127.0.0.1: 2 steps done"
        ),
        "{recent}"
    );
    for path in ["/start", "/stop", "/restart", "/cancel"] {
        assert_eq!(world.web.get(path).code, 405, "a link never acts");
    }
    // An action that affects no other instance needs no confirmation.
    assert_eq!(world.web.post("/start", form).code, 303);
    wait_for("kafka to run", || (world.names_running() == ["kafka server"]).then_some(()));
    let before = world.running();
    assert_eq!(world.web.post("/restart", form).code, 303);
    wait_for("another kafka to run", || {
        let now = world.running();
        (now.len() == 1 && now != before).then_some(())
    });
    // With dependencies ignored, it can be stopped whatever that breaks.
    world.start("detector");
    assert_eq!(world.web.post("/stop", form).code, 200);
    assert_eq!(world.web.post("/stop", &format!("{form}&alone=")).code, 303);
    wait_for("kafka alone to be stopped", || (world.names_running() == ["detector"]).then_some(()));
}

#[test]
fn an_aggregator_that_was_killed_in_mid_plan_tells_on_its_return_what_was_done() {
    let mut world = World::with(&["--data", "{data}"]);
    world.start("idle");
    let id = world.begin_and_leave("follower");
    // Events are stored shortly afterwards, not at once.
    wait_for("the step's beginning to be recorded", || world.has_recorded_a_step_of(id).then_some(()));
    world.aggregator.signal(Signal::KILL);
    world.aggregator.wait();
    // The agent continues without the aggregator.
    std::fs::write(world.site.path("gate"), "").unwrap();
    wait_for("the agent to have started it", || (world.site.processes().len() == 2).then_some(()));
    let (aggregator, web, client) = aggregator(&world.site, &world.runtime, &["--data", "{data}"]);
    (world.aggregator, world.web, world.client) = (aggregator, web, client);
    let heard = world.watch(id).unwrap();
    assert_eq!(heard.begun.by.user, "ann");
    let (state, text) = heard.outcome("slow");
    assert_eq!(state, StepState::Interrupted);
    assert!(text.starts_with("the aggregator ended meanwhile; it is "), "{text}");
    assert_eq!(
        heard.outcome("follower"),
        (StepState::Skipped, "not attempted: the aggregator ended before; it is stopped now")
    );
    assert_eq!((heard.end.interrupted, heard.end.skipped, heard.end.done), (1, 1, 0));
    let page = world.web.get("/").body;
    assert!(page.contains("0 steps done, 1 skipped, 1 interrupted"), "{page}");
    // Plan numbers continue, and new plans work once the agent has unlocked the component.
    wait_for("the slow one to run", || (world.names_running() == ["idle", "slow"]).then_some(()));
    let next = world.start("follower");
    assert!(next.begun.id > id && next.end.is_complete(), "{next:?}");
}
