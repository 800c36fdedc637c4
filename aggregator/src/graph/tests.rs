use std::fmt::Write as _;
use std::sync::LazyLock;

use rta_shared::config::{Source, load_sources};
use rta_shared::dependency::DependencyGraph;
use rta_shared::overview::{HostOverview, InstanceOverview, Overview};
use rta_shared::report::State;
use rta_shared::snapshot::Snapshot;

use super::*;
use crate::sample_overview::{instance, sample};

/// Returns the dependencies of the sample's platform.
pub(crate) fn sample_needs() -> DependencyGraph {
    needs(
        r#"
        [[component]]
        name = "kafka server"
        criteria = [{ regex = 'x' }]
        [[component]]
        name = "cassandra"
        criteria = [{ regex = 'x' }]
        [[component]]
        name = "novelty detector"
        criteria = [{ regex = 'x' }]
        depends_on = ["kafka server", "cassandra"]
        [[environment]]
        name = "DEV"
        host = [
            { name = "c9t21193", components = ["kafka server"] },
            { name = "c2t08978", components = ["novelty detector"] },
            { name = "c2t08979", components = ["cassandra"] },
        ]
        "#,
    )
}

fn needs(text: &str) -> DependencyGraph {
    let source = Source { name: "x.toml".to_owned(), text: text.to_owned() };
    DependencyGraph::new(&load_sources(&[source]).unwrap())
}

/// Creates a platform of this many hosts, all up: two of three run what each third one stores and needs.
pub(crate) fn platform(hosts: usize) -> (DependencyGraph, Overview) {
    let components = |role: &str| -> Vec<String> {
        (0..12)
            .map(|at| format!("{role} {at}"))
            .chain([format!("{role} bus"), format!("{role} top")])
            .collect()
    };
    let mut text = String::new();
    for role in ["run", "store"] {
        for (at, name) in components(role).iter().enumerate() {
            let own = if (6..12).contains(&at) { format!("\"{role} {}\"", at - 6) } else { String::new() };
            let needs = match (at, role) {
                (13, "run") => "\"run 6\", \"run 7\", { component = \"run bus\", host = \"any\" }".to_owned(),
                (13, _) => "\"store 6\", \"run top\"".to_owned(),
                _ => own,
            };
            let _ = write!(
                text,
                "[[component]]\nname = \"{name}\"\ncriteria = [{{ regex = 'x' }}]\ndepends_on = [{needs}]\n"
            );
        }
        let _ = write!(text, "[[role]]\nname = \"{role}\"\ncomponents = {:?}\n", components(role));
    }
    text.push_str("[[environment]]\nname = \"DEV\"\n");
    let mut overview = sample();
    let pattern = overview.environments[0].hosts[0].clone();
    overview.environments[0].hosts.clear();
    for at in 0..hosts {
        let role = if at % 3 == 2 { "store" } else { "run" };
        let _ = write!(text, "[[environment.host]]\nname = \"h{at}\"\nrole = \"{role}\"\n");
        let instances: Vec<Snapshot<InstanceOverview>> = components(role)
            .iter()
            .map(|component| instance(component, Some(State::Running), Health::Up).into())
            .collect();
        let (name, role) = (format!("h{at}").as_str().into(), Some(role.into()));
        let host = HostOverview { name, role, health: Health::Up, instances, ..(*pattern).clone() };
        overview.environments[0].hosts.push(host.into());
    }
    (needs(&text), overview)
}

/// Caches [`platform`] of 1000 hosts with 14 components each, since it takes a while.
pub(crate) static LARGE: LazyLock<(DependencyGraph, Overview)> = LazyLock::new(|| platform(1000));

/// Creates a platform of 150 hosts with long names, each with a bus, and an app that needs any bus. All are
/// in trouble of their own, except the last app.
pub(crate) fn entangled() -> (DependencyGraph, Overview) {
    let long = |word: &str| format!("{word} {}", "x".repeat(200));
    let (bus, app) = (long("bus"), long("app"));
    let mut text = format!(
        "[[component]]\nname = {bus:?}\ncriteria = [{{ regex = 'x' }}]\n\
         [[component]]\nname = {app:?}\ncriteria = [{{ regex = 'x' }}]\n\
         depends_on = [{{ component = {bus:?}, host = \"any\" }}]\n[[environment]]\nname = \"DEV\"\n"
    );
    let mut overview = sample();
    let pattern = overview.environments[0].hosts[0].clone();
    overview.environments[0].hosts.clear();
    for at in 0..150 {
        let name = format!("{}{at}", "h".repeat(200));
        let _ = write!(text, "[[environment.host]]\nname = \"{name}\"\ncomponents = ['{bus}', '{app}']\n");
        let instances = [&bus, &app]
            .map(|component| {
                Snapshot::new(InstanceOverview {
                    reason: "r".repeat(200),
                    ..instance(component, Some(State::Running), Health::Degraded)
                })
            })
            .to_vec();
        let host = HostOverview { name: name.as_str().into(), instances, ..(*pattern).clone() };
        overview.environments[0].hosts.push(host.into());
    }
    let root = &overview.environments[0].hosts[0];
    let cause = InstanceId {
        environment: "DEV".into(),
        host: root.name.clone(),
        component: root.instances[0].component.clone(),
    };
    overview.environments[0].hosts[149].instances[1].cause = Some(Box::new(cause));
    (needs(&text), overview)
}

pub(crate) fn build_sample_graph(needs: &DependencyGraph, overview: &Overview) -> EnvironmentGraph {
    build_graph(needs, overview, &overview.environments[0])
}

/// Formats as `novelty detector on c2t08978 > kafka server on c9t21193`.
fn display_name(graph: &EnvironmentGraph, edge: &GraphEdge) -> String {
    format!("{} > {}", graph.display_name(edge.needing), graph.display_name(edge.needed))
}

#[test]
fn trouble_goes_from_the_cause_to_what_it_breaks() {
    let graph = build_sample_graph(&sample_needs(), &sample());
    let edges: Vec<_> = graph.edges.iter().map(|edge| (display_name(&graph, edge), edge.trouble)).collect();
    assert_eq!(
        edges,
        [
            ("novelty detector on c2t08978 > kafka server on c9t21193".to_owned(), Some(Health::Down)),
            ("novelty detector on c2t08978 > cassandra on c2t08979".to_owned(), Some(Health::Unknown)),
        ]
    );
    let causes: Vec<_> =
        (0..3).filter(|at| graph.nodes[*at].is_cause).map(|at| graph.display_name(at)).collect();
    assert_eq!(causes, ["kafka server on c9t21193"]);
    assert!(graph.edges.iter().all(|edge| edge.is_across && !edge.is_choice));
}

#[test]
fn trouble_takes_the_whole_way_and_no_other() {
    let needs = needs(
        r#"
        [[component]]
        name = "bus"
        criteria = [{ regex = 'x' }]
        [[component]]
        name = "reader"
        criteria = [{ regex = 'x' }]
        depends_on = ["bus"]
        [[component]]
        name = "report"
        criteria = [{ regex = 'x' }]
        depends_on = ["reader", { component = "disk", host = "any" }]
        [[component]]
        name = "disk"
        criteria = [{ regex = 'x' }]
        [[environment]]
        name = "DEV"
        host = [
            { name = "a", components = ["bus", "reader", "report", "disk"] },
            { name = "b", components = ["disk"] },
        ]
        "#,
    );
    let mut overview = sample();
    let hosts = &mut overview.environments[0].hosts;
    hosts.truncate(2);
    let because = |component: &str| InstanceOverview {
        cause: Some(Box::new(InstanceId {
            environment: "DEV".into(),
            host: "a".into(),
            component: "bus".into(),
        })),
        ..instance(component, Some(State::Running), Health::Degraded)
    };
    hosts[0].name = "a".into();
    hosts[0].instances = vec![
        instance("bus", Some(State::Stopped), Health::Down).into(),
        because("reader").into(),
        because("report").into(),
        instance("disk", Some(State::Stopped), Health::Down).into(),
    ];
    hosts[1].name = "b".into();
    hosts[1].instances = vec![instance("disk", Some(State::Running), Health::Up).into()];
    let graph = build_sample_graph(&needs, &overview);
    let troubled: Vec<_> = graph
        .edges
        .iter()
        .filter(|edge| edge.trouble.is_some())
        .map(|edge| display_name(&graph, edge))
        .collect();
    assert_eq!(troubled, ["reader on a > bus on a", "report on a > reader on a"]);
    // The other disk is up, and either suffices.
    let choices: Vec<_> =
        graph.edges.iter().filter(|edge| edge.is_choice).map(|edge| display_name(&graph, edge)).collect();
    assert_eq!(choices, ["report on a > disk on a", "report on a > disk on b"]);
}

#[test]
fn what_is_needed_of_another_environment_is_drawn_with_its_host() {
    let needs = needs(
        r#"
        [[component]]
        name = "cassandra"
        criteria = [{ regex = 'x' }]
        [[component]]
        name = "kafka server"
        criteria = [{ regex = 'x' }]
        depends_on = [{ component = "cassandra", host = "i1" }]
        [[environment]]
        name = "DEV"
        host = [{ name = "c9t21193", components = ["kafka server"] }]
        [[environment]]
        name = "ITG"
        host = [{ name = "i1", components = ["cassandra"] }]
        "#,
    );
    let mut overview = sample();
    let mut itg = overview.environments[0].clone();
    overview.environments[0].hosts.truncate(1);
    itg.name = "ITG".into();
    itg.hosts.drain(..2);
    itg.hosts[0].name = "i1".into();
    overview.environments.push(itg);
    let graph = build_sample_graph(&needs, &overview);
    assert_eq!(display_name(&graph, &graph.edges[0]), "kafka server on c9t21193 > cassandra on i1");
    assert_eq!(graph.id(1).unwrap().to_string(), "ITG/i1/cassandra");
}

#[test]
fn an_overview_of_another_configuration_is_drawn_as_far_as_both_know() {
    let mut overview = sample();
    overview.environments[0].hosts.remove(0);
    overview.environments[0].hosts[0]
        .instances
        .push(instance("new", Some(State::Running), Health::Up).into());
    let graph = build_sample_graph(&sample_needs(), &overview);
    assert_eq!((graph.nodes.len(), graph.edges.len()), (3, 1));
    assert_eq!(
        build_sample_graph(&DependencyGraph::new(&rta_shared::config::Platform::default()), &sample()).edges,
        []
    );
}

#[test]
fn a_large_environment_shows_what_is_wrong_by_host_and_the_rest_by_role() {
    let (needs, mut overview) = LARGE.clone();
    let id = InstanceId { environment: "DEV".into(), host: "h7".into(), component: "run top".into() };
    let hosts = &mut overview.environments[0].hosts;
    hosts[7].health = Health::Down;
    hosts[7].instances[13].health = Health::Down;
    for host in [8, 500] {
        hosts[host].health = Health::Degraded;
        let last = hosts[host].instances.last_mut().unwrap();
        (last.health, last.cause) = (Health::Degraded, (host == 8).then(|| Box::new(id.clone())));
    }
    let graph = build_sample_graph(&needs, &overview);
    let places: Vec<_> = graph.lanes.iter().map(|lane| lane.place.display_name()).collect();
    assert_eq!(places, ["h7", "h8", "h500", "666 hosts of run", "331 hosts of store"]);
    assert_eq!(graph.nodes.len(), 5 * 14);
    let drawn: usize = graph.nodes.iter().map(|node| node.counts.total()).sum();
    assert_eq!((drawn, graph.undrawn_instances, graph.hosts_together()), (14_000, 0, 997));
    assert!(graph.nodes.iter().filter(|node| node.lane > 2).all(|node| node.health() == Health::Up));
}

#[test]
fn of_a_large_environment_where_everything_is_wrong_the_causes_are_drawn_first() {
    let (needs, mut overview) = LARGE.clone();
    let id = InstanceId { environment: "DEV".into(), host: "h999".into(), component: "run bus".into() };
    for (at, host) in overview.environments[0].hosts.iter_mut().enumerate() {
        host.health = Health::Degraded;
        let cause = (at != 999).then(|| Box::new(id.clone()));
        let last = host.instances.last_mut().unwrap();
        (last.health, last.cause) = (Health::Degraded, cause);
    }
    let graph = build_sample_graph(&needs, &overview);
    let places: Vec<_> = graph.lanes.iter().map(|lane| lane.place.display_name()).collect();
    assert!(places.contains(&"h999".to_owned()), "{places:?}");
    assert!(graph.nodes.len() <= lanes::MAX_INDIVIDUAL + 2 * 14);
}

#[test]
fn of_too_many_edges_those_that_trouble_takes_are_kept() {
    let (needs, overview) = entangled();
    let graph = build_sample_graph(&needs, &overview);
    assert_eq!((graph.nodes.len(), graph.undrawn_instances), (300, 0));
    assert_eq!(graph.edges.len() + graph.undrawn_edges, 150 * 150);
    assert!(graph.edges.len() <= gather::MAX_EDGES);
    assert_eq!(graph.edges.iter().filter(|edge| edge.trouble.is_some()).count(), 150);
    assert!(graph.edges.is_sorted_by_key(|edge| (edge.needing, edge.needed)));
}
