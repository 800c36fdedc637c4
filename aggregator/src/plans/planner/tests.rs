//! Tests of the rules, each on one small platform.

use rta_shared::config::{Platform, Source, load_sources};
use rta_shared::dependency::DependencyGraph;
use rta_shared::overview::{Health, InstanceId};
use rta_shared::plan::ActionRequest;
use rta_shared::report::State;

use super::*;
use crate::plans::planner_input::InstanceSnapshot;
use crate::plans::selection::select_instances;

const PLATFORM: &str = r#"
    [[component]]
    name = "zoo"
    criteria = [{ regex = 'x' }]
    start = { command = ["/x"] }
    [[component]]
    name = "kafka"
    criteria = [{ regex = 'x' }]
    start = { command = ["/x"] }
    depends_on = ["zoo"]
    [[component]]
    name = "store"
    criteria = [{ regex = 'x' }]
    [[component]]
    name = "writer"
    criteria = [{ regex = 'x' }]
    start = { command = ["/x"] }
    depends_on = ["store"]
    [[component]]
    name = "detector"
    criteria = [{ regex = 'x' }]
    start = { command = ["/x"] }
    depends_on = [{ component = "kafka", host = "any" }]
    [[component]]
    name = "alarm"
    criteria = [{ regex = 'x' }]
    start = { command = ["/x"] }
    depends_on = ["detector"]
    [[environment]]
    name = "E"
    host = [{ name = "a", components = ["zoo", "kafka"] },
            { name = "b", components = ["kafka"] },
            { name = "c", components = ["store", "writer", "detector", "alarm"] }]
"#;

/// Platform in which everything runs except what a test stops.
struct PlannerFixture {
    platform: Platform,
    graph: DependencyGraph,
    snapshots: Vec<InstanceSnapshot>,
}

impl PlannerFixture {
    fn with(states: &[(&str, Option<State>)]) -> Self {
        let source = Source { name: "x.toml".to_owned(), text: PLATFORM.to_owned() };
        let platform = load_sources(&[source]).unwrap();
        let graph = DependencyGraph::new(&platform);
        let snapshots = (0..graph.len()).map(|at| {
            let id = graph.id(at).to_string();
            let entry = states.iter().find(|(name, _)| id == format!("E/{name}"));
            let state = entry.map_or(Some(State::Running), |(_, state)| *state);
            let health = if state == Some(State::Running) { Health::Up } else { Health::Down };
            InstanceSnapshot { state, health, startable: !id.ends_with("store") }
        });
        let snapshots: Vec<InstanceSnapshot> = snapshots.collect();
        assert!(
            states
                .iter()
                .all(|(name, _)| (0..graph.len()).any(|at| graph.id(at).to_string() == format!("E/{name}")))
        );
        Self { snapshots, platform, graph }
    }

    fn stopped(names: &[&str]) -> Self {
        let states: Vec<_> = names.iter().map(|name| (*name, Some(State::Stopped))).collect();
        Self::with(&states)
    }

    fn plan(&self, kind: ActionKind, request: &ActionRequest) -> Result<Vec<String>, String> {
        let input = PlannerInput { graph: &self.graph, snapshots: &self.snapshots };
        let selected = select_instances(&self.platform, request).unwrap();
        let plan =
            make_plan(kind, input, &selected, request.no_dependencies).map_err(|error| error.message)?;
        let steps = plan.steps.iter().map(|step| {
            let mark = if step.named { "" } else { "+" };
            let after: Vec<String> = step.after.iter().map(usize::to_string).collect();
            let InstanceId { host, component, .. } = &step.instance;
            format!("{mark}{} {host}/{component} [{}] {}", step.action, after.join(" "), step.why)
                .trim_end()
                .to_owned()
        });
        Ok(steps.collect())
    }

    fn start(&self, component: &str, host: &str) -> Result<Vec<String>, String> {
        self.plan(ActionKind::Start, &request(component, host))
    }

    fn stop(&self, component: &str, host: &str) -> Vec<String> {
        self.plan(ActionKind::Stop, &request(component, host)).unwrap()
    }

    fn restart(&self, component: &str, host: &str) -> Result<Vec<String>, String> {
        self.plan(ActionKind::Restart, &request(component, host))
    }
}

fn request(component: &str, host: &str) -> ActionRequest {
    ActionRequest { component: component.to_owned(), host: host.to_owned(), ..ActionRequest::default() }
}

#[test]
fn stop_says_what_cannot_be_started_again() {
    let world = PlannerFixture::with(&[]);
    let input = PlannerInput { graph: &world.graph, snapshots: &world.snapshots };
    let selected = select_instances(&world.platform, &request("store", "")).unwrap();
    let plan = make_plan(ActionKind::Stop, input, &selected, false).unwrap();
    let irreversible: Vec<(String, &str)> = plan
        .irreversible_steps()
        .map(|step| (step.instance.to_string(), step.irreversible.as_str()))
        .collect();
    assert_eq!(irreversible, [("E/c/store".to_owned(), "the configuration has no start command for it")]);
    assert!(plan.instances_to_confirm().contains(&&plan.steps[plan.steps.len() - 1].instance));
}

#[test]
fn a_start_pulls_in_what_is_missing_and_nothing_else() {
    let world =
        PlannerFixture::stopped(&["a/zoo", "a/kafka", "b/kafka", "c/detector", "c/alarm", "c/writer"]);
    assert_eq!(
        world.start("detector", "").unwrap(),
        [
            "+start a/zoo [] kafka on a needs it",
            "+start a/kafka [0] detector on c needs it",
            "start c/detector [1]"
        ]
    );
    // One provider is enough, and a running instance is not touched.
    let world = PlannerFixture::stopped(&["a/kafka", "c/detector"]);
    assert_eq!(world.start("detector", "").unwrap(), ["start c/detector []"]);
    // A running prerequisite is not started, but its own missing prerequisite is, and comes first.
    let world = PlannerFixture::stopped(&["a/zoo", "a/kafka", "c/detector"]);
    assert_eq!(
        world.start("detector", "").unwrap(),
        ["+start a/zoo [] kafka on b needs it", "start c/detector [0]"]
    );
}

#[test]
fn what_was_named_is_preferred_where_several_would_do() {
    let world = PlannerFixture::stopped(&["a/kafka", "b/kafka", "c/detector"]);
    let all = ActionRequest { all: true, ..request("kafka", "b") };
    assert_eq!(world.plan(ActionKind::Start, &all).unwrap(), ["start b/kafka []"]);
    let everything = ActionRequest { all: true, ..ActionRequest::default() };
    assert_eq!(
        world.plan(ActionKind::Start, &everything).unwrap(),
        ["start a/kafka []", "start b/kafka []", "start c/detector [0 1]"]
    );
}

#[test]
fn what_runs_is_a_step_only_where_it_was_named_alone() {
    let world = PlannerFixture::stopped(&["c/alarm"]);
    assert_eq!(world.start("detector", "").unwrap(), ["start c/detector []"]);
    assert_eq!(world.start("", "c").unwrap(), ["start c/alarm []"]);
    assert!(world.start("", "a").unwrap().is_empty());
    assert_eq!(world.stop("alarm", ""), ["stop c/alarm []"]);
}

#[test]
fn what_cannot_be_started_refuses_the_plan_that_needs_it() {
    let world = PlannerFixture::stopped(&["c/store", "c/writer"]);
    assert_eq!(
        world.start("store", "").unwrap_err(),
        "start of store on c: the configuration has no start command for it; it is watched only"
    );
    let refused = world.start("writer", "").unwrap_err();
    assert!(refused.starts_with("writer on c needs store on c, which does not run"), "{refused}");
    let alone = ActionRequest { no_dependencies: true, ..request("writer", "") };
    assert_eq!(world.plan(ActionKind::Start, &alone).unwrap(), ["start c/writer []"]);
    // In a whole host it is left out if nothing needs it.
    let world = PlannerFixture::stopped(&["c/store", "c/alarm"]);
    assert!(world.start("", "c").is_err(), "the writer runs, and needs it");
    let world = PlannerFixture::stopped(&["c/alarm"]);
    assert_eq!(world.start("", "c").unwrap(), ["start c/alarm []"]);
}

#[test]
fn what_is_not_known_is_asked_where_it_was_named_and_refused_where_it_is_needed() {
    let world =
        PlannerFixture::with(&[("a/kafka", None), ("b/kafka", None), ("c/detector", Some(State::Stopped))]);
    assert_eq!(world.start("kafka", "b").unwrap(), ["start b/kafka []"]);
    let refused = world.start("detector", "").unwrap_err();
    assert!(
        refused.starts_with("detector on c needs kafka on a, of which it is not known whether it runs"),
        "{refused}"
    );
    // A dependent is not taken down for an instance that may not run at all; the agent decides.
    assert_eq!(world.stop("kafka", "b"), ["stop b/kafka []"]);
}

#[test]
fn a_stop_takes_down_those_that_lose_their_last_provider() {
    let world = PlannerFixture::stopped(&[]);
    assert_eq!(world.stop("kafka", "a"), ["stop a/kafka []"]);
    let world = PlannerFixture::stopped(&["b/kafka"]);
    assert_eq!(
        world.stop("zoo", ""),
        [
            "+stop c/alarm [] it needs detector on c",
            "+stop c/detector [0] it needs kafka on a",
            "+stop a/kafka [1] it needs zoo on a",
            "stop a/zoo [2]"
        ]
    );
    let alone = ActionRequest { no_dependencies: true, ..request("zoo", "") };
    assert_eq!(world.plan(ActionKind::Stop, &alone).unwrap(), ["stop a/zoo []"]);
    let both = ActionRequest { all: true, ..request("kafka", "") };
    let world = PlannerFixture::stopped(&["c/alarm"]);
    assert_eq!(
        world.plan(ActionKind::Stop, &both).unwrap(),
        ["+stop c/detector [] it needs kafka on a", "stop b/kafka [0]", "stop a/kafka [0]"]
    );
}

#[test]
fn a_stop_names_those_of_which_it_is_not_known_whether_they_need_it() {
    let silent = [("b/kafka", Some(State::Stopped)), ("c/detector", None), ("c/alarm", None)];
    let world = PlannerFixture::with(&silent);
    let note = "detector on c, whose host does not answer, needs it too";
    assert_eq!(world.stop("kafka", "a"), [format!("stop a/kafka [] {note}")]);
    assert_eq!(
        world.stop("zoo", ""),
        [format!("+stop a/kafka [] it needs zoo on a; {note}"), "stop a/zoo [0]".to_owned()]
    );
    assert_eq!(world.restart("kafka", "a").unwrap(), [format!("restart a/kafka [] {note}")]);
    let alone = ActionRequest { no_dependencies: true, ..request("kafka", "a") };
    assert_eq!(world.plan(ActionKind::Stop, &alone).unwrap(), ["stop a/kafka []"]);
    let unseen = [("b/kafka", Some(State::Stopped)), ("c/detector", Some(State::Unknown))];
    let note = "detector on c, of which it is not known whether it runs, needs it too";
    assert_eq!(PlannerFixture::with(&unseen).stop("kafka", "a"), [format!("stop a/kafka [] {note}")]);
    // Another provider remains.
    assert_eq!(PlannerFixture::with(&[("c/detector", None)]).stop("kafka", "a"), ["stop a/kafka []"]);
}

#[test]
fn a_dependent_that_is_just_starting_or_partly_there_is_taken_down_too() {
    for state in [State::Starting, State::Partial, State::Stopping] {
        let world = PlannerFixture::with(&[
            ("b/kafka", Some(State::Stopped)),
            ("c/alarm", Some(State::Stopped)),
            ("c/detector", Some(state)),
        ]);
        assert_eq!(world.stop("kafka", "a"), ["+stop c/detector [] it needs kafka on a", "stop a/kafka [0]"]);
    }
}

#[test]
fn a_restart_brings_the_dependents_back() {
    let world = PlannerFixture::stopped(&["b/kafka"]);
    assert_eq!(
        world.restart("kafka", "a").unwrap(),
        [
            "+stop c/alarm [] it needs detector on c",
            "+stop c/detector [0] it needs kafka on a",
            "restart a/kafka [1]",
            "+start c/detector [1 2] it ran before",
            "+start c/alarm [0 3] it ran before"
        ]
    );
    // A stopped instance is not started, and an instance without dependents is restarted in one step.
    let world = PlannerFixture::stopped(&["b/kafka", "c/detector", "c/alarm"]);
    assert_eq!(world.restart("kafka", "a").unwrap(), ["restart a/kafka []"]);
    let world = PlannerFixture::stopped(&[]);
    assert_eq!(world.restart("kafka", "a").unwrap(), ["restart a/kafka []"]);
}

#[test]
fn a_restart_starts_what_does_not_run_and_first_of_all_what_is_missing() {
    let world = PlannerFixture::stopped(&["a/zoo", "b/kafka", "c/alarm"]);
    assert_eq!(
        world.restart("kafka", "a").unwrap(),
        [
            "+start a/zoo [] kafka on a needs it",
            "+stop c/detector [0] it needs kafka on a",
            "restart a/kafka [0 1]",
            "+start c/detector [1 2] it ran before"
        ]
    );
    let world = PlannerFixture::stopped(&["c/detector"]);
    assert_eq!(world.restart("detector", "").unwrap(), ["start c/detector []"]);
}

#[test]
fn a_restart_that_could_not_bring_everything_back_is_refused() {
    let world = PlannerFixture::stopped(&[]);
    assert_eq!(
        world.restart("store", "").unwrap_err(),
        "restart of store on c: the configuration has no start command for it; it is watched only"
    );
    assert!(world.restart("", "c").is_err(), "the store could not be started again");
    let mut world = PlannerFixture::stopped(&["b/kafka"]);
    let at = (0..world.graph.len()).find(|at| world.graph.id(*at).component == *"detector").unwrap();
    world.snapshots[at].startable = false;
    let refused = world.restart("kafka", "a").unwrap_err();
    assert!(
        refused.starts_with(
            "detector on c would be stopped, since it needs kafka on a, and could not be started"
        ),
        "{refused}"
    );
}
