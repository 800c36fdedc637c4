//! Plans across hosts: in the right order, confirmed, visible while they run, and never lost.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use rta_shared::action::ActionKind;
use rta_shared::plan::{ActionRequest, ExecutionOptions, StepState};
use rta_tests::{
    ClusterBuilder, PlanClient, PlanRecord, TestCluster, TestConfig, binary, describe_plan, wait_for,
};
use rustix::process::Signal;
use tonic::{Code, Status};

/// Starts two hosts. On one are Kafka and an idle neighbour; on the other a detector that depends on Kafka,
/// an alarm that depends on the detector, a component that fails to start and one that depends on it, and a
/// slow component with a follower that depends on it.
fn start_cluster() -> (TestCluster, PlanClient) {
    let cluster = describe_cluster().start();
    let plans = PlanClient::connect(&cluster.aggregator);
    (cluster, plans)
}

fn describe_cluster() -> ClusterBuilder {
    let config = TestConfig::new();
    let component = |name: &str, needs: &str| config.component_toml(name, needs, "");
    let token = config.token();
    let played = |name: &str, needs: &str, script: &str| {
        format!(
            "[[component]]\nname = \"{name}\"\ncriteria = [{{ regex = '^--token={name}-{token}$' }}]\n\
             depends_on = [{needs}]\n[component.start]\ncommand = [\"/bin/sh\", \"-c\", '''{script}''']\n\
             settle = \"0s\"\ntimeout = \"50s\"\nlog = \"{log}\"\nenvironment.STAND_IN_LEASE = \"{lease}\"\n",
            log = config.log_path(name).display(),
            lease = std::process::id(),
        )
    };
    // Starts when its gate is opened, and exits with the test.
    let slow = format!(
        "while [ ! -e {gate} ]; do [ -d {folder} ] || exit 1; sleep 0.05; done; exec {stand_in} --token=slow-{token}",
        gate = config.path("gate").display(),
        folder = config.folder().display(),
        stand_in = binary("stand-in").display(),
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
    ]
    .concat();
    TestCluster::builder(config)
        .components(&components)
        .host("analytic", &["kafka server", "idle", "slow", "follower"])
        .host("storage", &["detector", "alarm", "broken", "after broken"])
}

/// Starts or stops as user `ann` with a control character, and reads the plan's events to the end.
fn run(
    plans: &PlanClient,
    kind: ActionKind,
    request: &ActionRequest,
    options: &ExecutionOptions,
) -> Result<PlanRecord, Status> {
    plans.run(kind, request, options, "ann\u{1b}")
}

fn start(plans: &PlanClient, component: &str) -> PlanRecord {
    run(plans, ActionKind::Start, &request(component), &everything()).unwrap()
}

/// Returns the running components and their PIDs, from the overview.
fn running(cluster: &TestCluster) -> Vec<(String, u64)> {
    let instances = cluster.aggregator.instances().into_iter();
    let running = instances.filter(|instance| instance["state"] == "running").map(|instance| {
        (instance["component"].as_str().unwrap().to_owned(), instance["pids"][0].as_u64().unwrap())
    });
    running.collect()
}

fn names_running(cluster: &TestCluster) -> Vec<String> {
    running(cluster).into_iter().map(|(name, _)| name).collect()
}

fn request(component: &str) -> ActionRequest {
    ActionRequest { component: component.to_owned(), ..ActionRequest::default() }
}

fn everything() -> ExecutionOptions {
    ExecutionOptions { everything: true, ..ExecutionOptions::default() }
}

#[test]
fn a_start_pulls_in_kafka_on_the_other_host_and_nothing_else() {
    let (cluster, plans) = start_cluster();
    let expected = ["+start analytic/kafka server", "start storage/detector"];
    let plan = plans.preview(ActionKind::Start, &request("detector")).unwrap();
    assert_eq!(describe_plan(&plan), expected);
    assert_eq!(plan.steps[0].why, "detector on storage needs it");

    let refused =
        run(&plans, ActionKind::Start, &request("detector"), &ExecutionOptions::default()).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        refused.message(),
        "start of detector on storage also starts: kafka server on analytic; say --yes or --no-dependencies"
    );
    assert!(names_running(&cluster).is_empty(), "neither a plan nor a refusal does anything");

    let agreed =
        ExecutionOptions { agreed: vec![plan.steps[0].instance.clone()], ..ExecutionOptions::default() };
    let started = run(&plans, ActionKind::Start, &request("detector"), &agreed).unwrap();
    assert_eq!(started.planned(), expected);
    started.assert_one_after_the_other();
    assert!(started.outcome("detector").1.starts_with("started in "), "{started:?}");
    assert_eq!(
        (started.begun.by.user.as_str(), started.begun.by.address.as_str()),
        ("ann\\u{1b}", "127.0.0.1")
    );
    assert_eq!(names_running(&cluster), ["kafka server", "detector"]);
    assert_eq!(cluster.config.processes().len(), 2);
    // The second time, nothing needs to be done or confirmed.
    let again = run(&plans, ActionKind::Start, &request("detector"), &ExecutionOptions::default()).unwrap();
    assert!(again.outcome("detector").1.starts_with("already running, nothing was started"), "{again:?}");
    // An empty plan cannot fail either.
    let nothing = ActionRequest { all: true, ..request("kafka server") };
    let nothing = run(&plans, ActionKind::Start, &nothing, &ExecutionOptions::default()).unwrap();
    assert_eq!((nothing.events.len(), nothing.end.is_complete()), (2, true));
}

#[test]
fn a_stop_says_whom_it_takes_down_and_takes_dependents_first() {
    let (cluster, plans) = start_cluster();
    start(&plans, "alarm");
    start(&plans, "idle");
    let refused =
        run(&plans, ActionKind::Stop, &request("kafka server"), &ExecutionOptions::default()).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        refused.message(),
        "stop of kafka server on analytic also takes down: alarm on storage, detector on storage; \
         say --yes or --no-dependencies"
    );
    let stopped = run(&plans, ActionKind::Stop, &request("kafka server"), &everything()).unwrap();
    assert_eq!(
        stopped.planned(),
        ["+stop storage/alarm", "+stop storage/detector", "stop analytic/kafka server"]
    );
    stopped.assert_one_after_the_other();
    assert_eq!(names_running(&cluster), ["idle"]);
    assert_eq!(cluster.config.processes().len(), 1);

    start(&plans, "alarm");
    let alone = ActionRequest { no_dependencies: true, ..request("kafka server") };
    let stopped = run(&plans, ActionKind::Stop, &alone, &ExecutionOptions::default()).unwrap();
    assert_eq!(stopped.planned(), ["stop analytic/kafka server"]);
    assert_eq!(names_running(&cluster), ["idle", "detector", "alarm"]);
}

#[test]
fn a_restart_brings_back_the_dependents_that_ran() {
    let (cluster, plans) = start_cluster();
    start(&plans, "alarm");
    start(&plans, "idle");
    let alarm = run(&plans, ActionKind::Stop, &request("alarm"), &ExecutionOptions::default()).unwrap();
    assert!(alarm.end.is_complete());
    let before = running(&cluster);
    let restarted = run(&plans, ActionKind::Restart, &request("kafka server"), &everything()).unwrap();
    assert_eq!(
        restarted.planned(),
        ["+stop storage/detector", "restart analytic/kafka server", "+start storage/detector"]
    );
    restarted.assert_one_after_the_other();
    let after = running(&cluster);
    let names: Vec<&str> = after.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["kafka server", "idle", "detector"]);
    let same: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before == after).collect();
    assert_eq!(same, [false, true, false], "only what needs it was touched");
}

#[test]
fn after_a_failure_what_depends_on_it_is_skipped_and_the_rest_as_wished() {
    let (cluster, plans) = start_cluster();
    start(&plans, "kafka server");
    let storage = ActionRequest { host: "storage".to_owned(), ..ActionRequest::default() };
    let careful = ExecutionOptions { parallel: 1, ..everything() };
    let failed = run(&plans, ActionKind::Start, &storage, &careful).unwrap();
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
    let failed = run(&plans, ActionKind::Start, &storage, &keep_going).unwrap();
    assert_eq!(failed.outcome("after broken"), (StepState::Skipped, skipped));
    assert_eq!((failed.end.done, failed.end.failed, failed.end.skipped), (2, 1, 1));
    assert_eq!(names_running(&cluster), ["kafka server", "detector", "alarm"]);
}

#[test]
fn stop_of_several_is_refused_over_grpc_until_it_is_agreed_to() {
    let (cluster, plans) = start_cluster();
    start(&plans, "alarm");
    let storage = ActionRequest { host: "storage".to_owned(), ..ActionRequest::default() };
    let running = names_running(&cluster);
    let refused = run(&plans, ActionKind::Stop, &storage, &ExecutionOptions::default()).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let message = "stop of host storage stops: alarm on storage, detector on storage; say --yes";
    assert_eq!(refused.message(), message);
    assert_eq!(names_running(&cluster), running);
    let plan = plans.preview(ActionKind::Stop, &storage).unwrap();
    let agreed = plan.instances_to_confirm().into_iter().cloned().collect();
    let options = ExecutionOptions { agreed, ..ExecutionOptions::default() };
    assert_eq!(run(&plans, ActionKind::Stop, &storage, &options).unwrap().end.done, 2);
    assert_eq!(names_running(&cluster), ["kafka server"]);
}

#[test]
fn a_plan_goes_on_when_its_caller_leaves_and_others_can_watch_it() {
    let (cluster, plans) = start_cluster();
    let id = plans.start_and_disconnect(&request("follower"), &everything());
    assert!(names_running(&cluster).is_empty());
    assert!(cluster.aggregator.web.get("/").body.contains("start of follower on analytic and 1 more"));
    std::fs::write(cluster.config.path("gate"), "").unwrap();
    let heard = plans.watch(id).unwrap();
    heard.assert_one_after_the_other();
    assert_eq!(heard.begun.id, id);
    assert_eq!(names_running(&cluster), ["slow", "follower"]);
    // The plan can be watched for a while, with the same events for everyone.
    assert_eq!(plans.watch(id).unwrap().events, heard.events);
    let page = cluster.aggregator.web.get(&format!("/plan?id={id}")).body;
    assert!(page.contains("2 steps done") && !page.contains("http-equiv"), "{page}");
    assert_eq!(plans.watch(id + 1).unwrap_err().code(), Code::NotFound);
}

#[test]
fn a_cancelled_plan_begins_nothing_more() {
    let (cluster, plans) = start_cluster();
    let id = plans.start_and_disconnect(&request("follower"), &everything());
    assert_eq!(plans.cancel(id).unwrap(), 1);
    std::fs::write(cluster.config.path("gate"), "").unwrap();
    let heard = plans.watch(id).unwrap();
    assert_eq!(heard.outcome("follower"), (StepState::Skipped, "not attempted: cancelled"));
    assert_eq!((heard.end.done, heard.end.skipped, heard.end.cancelled), (1, 1, true));
    // The step already in progress on the agent was completed.
    assert_eq!(names_running(&cluster), ["slow"]);
    assert_eq!(plans.cancel(id).unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(plans.cancel(99).unwrap_err().code(), Code::NotFound);
}

#[test]
fn two_plans_at_once_are_told_apart_by_the_agent() {
    let (cluster, plans) = start_cluster();
    let first = plans.start_and_disconnect(&request("slow"), &everything());
    let second = run(&plans, ActionKind::Start, &request("slow"), &everything()).unwrap();
    let (state, text) = second.outcome("slow");
    assert_eq!(state, StepState::Failed);
    assert!(text.contains("is under way") && text.contains("for ann from 127.0.0.1"), "{text}");
    std::fs::write(cluster.config.path("gate"), "").unwrap();
    assert!(plans.watch(first).unwrap().end.is_complete());
    assert_eq!(cluster.config.processes().len(), 1);
}

#[test]
fn the_page_asks_before_it_touches_more_than_was_pressed() {
    let (cluster, plans) = start_cluster();
    start(&plans, "detector");
    let form = "environment=TEST&host=analytic&component=kafka+server";
    let asked = cluster.aggregator.web.post("/stop", form);
    assert_eq!(asked.code, 200);
    let page = asked.body;
    assert!(page.contains("It also takes down: detector on storage."), "{page}");
    assert!(page.contains("name=\"agreed\" value=\"TEST/storage/detector\""), "{page}");
    assert!(page.contains("Stop 2 instances"));
    assert_eq!(names_running(&cluster), ["kafka server", "detector"]);

    let agreed = cluster.aggregator.web.post("/stop", &format!("{form}&agreed=TEST%2Fstorage%2Fdetector"));
    assert_eq!(agreed.code, 303);
    let path = agreed.header("location").unwrap();
    let page = wait_for("the plan to end", || {
        Some(cluster.aggregator.web.get(path).body).filter(|page| page.contains(">2 steps done</strong>"))
    });
    assert!(page.contains("for page from 127.0.0.1") && page.contains("stopped in"), "{page}");
    assert!(names_running(&cluster).is_empty());
    let recent = cluster.aggregator.web.get("/").body;
    assert!(
        recent.contains(
            "stop of kafka server on analytic and 1 more</a>, for page from 127.0.0.1: 2 steps done"
        ),
        "{recent}"
    );
    for path in ["/start", "/stop", "/restart", "/cancel"] {
        assert_eq!(cluster.aggregator.web.get(path).code, 405, "a link never acts");
    }
    // An action that affects no other instance needs no confirmation.
    assert_eq!(cluster.aggregator.web.post("/start", form).code, 303);
    wait_for("kafka to run", || (names_running(&cluster) == ["kafka server"]).then_some(()));
    let before = running(&cluster);
    assert_eq!(cluster.aggregator.web.post("/restart", form).code, 303);
    wait_for("another kafka to run", || {
        let now = running(&cluster);
        (now.len() == 1 && now != before).then_some(())
    });
    // With dependencies ignored, it can be stopped whatever that breaks.
    start(&plans, "detector");
    assert_eq!(cluster.aggregator.web.post("/stop", form).code, 200);
    assert_eq!(cluster.aggregator.web.post("/stop", &format!("{form}&alone=")).code, 303);
    wait_for("kafka alone to be stopped", || (names_running(&cluster) == ["detector"]).then_some(()));
}

#[test]
fn an_aggregator_that_was_killed_in_mid_plan_tells_on_its_return_what_was_done() {
    let mut cluster = describe_cluster().data().start();
    let plans = PlanClient::connect(&cluster.aggregator);
    start(&plans, "idle");
    let id = plans.start_and_disconnect(&request("follower"), &everything());
    // Events are stored shortly afterwards, not at once.
    wait_for("the step's beginning to be recorded", || {
        cluster.aggregator.events("kind=step").iter().any(|step| step["plan"] == id).then_some(())
    });
    cluster.aggregator.stop(Signal::KILL);
    // The agent continues without the aggregator.
    std::fs::write(cluster.config.path("gate"), "").unwrap();
    wait_for("the agent to have started it", || (cluster.config.processes().len() == 2).then_some(()));
    cluster.aggregator.start_again();
    let plans = PlanClient::connect(&cluster.aggregator);
    let heard = plans.watch(id).unwrap();
    assert_eq!(heard.begun.by.user, "ann");
    let (state, text) = heard.outcome("slow");
    assert_eq!(state, StepState::Interrupted);
    assert!(text.starts_with("the aggregator ended meanwhile; it is "), "{text}");
    assert_eq!(
        heard.outcome("follower"),
        (StepState::Skipped, "not attempted: the aggregator ended before; it is stopped now")
    );
    assert_eq!((heard.end.interrupted, heard.end.skipped, heard.end.done), (1, 1, 0));
    let page = cluster.aggregator.web.get("/").body;
    assert!(page.contains("0 steps done, 1 skipped, 1 interrupted"), "{page}");
    // Plan numbers continue, and new plans work once the agent has unlocked the component.
    wait_for("the slow one to run", || (names_running(&cluster) == ["idle", "slow"]).then_some(()));
    let next = start(&plans, "follower");
    assert!(next.begun.id > id && next.end.is_complete(), "{next:?}");
}
