//! From a wish to the instances that it names.

use std::collections::HashSet;

use rta_shared::config::Platform;
use rta_shared::dependency::DependencyGraph;
use rta_shared::name::Name;
use rta_shared::overview::{InstanceId, Located, Overview};
use rta_shared::plan::Wish;
use rta_shared::text::printable;
use tonic::Code;

use crate::target::{OperationError, Target, ambiguous, find_all, find_place, not_found};

/// The instances that a wish names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Their positions in the dependency graph, ascending.
    pub(crate) positions: Vec<usize>,
    /// It is a component that was named, and stands in one place.
    pub(crate) alone: bool,
}

/// The instances that `wish` names.
///
/// # Errors
/// Not found, with the nearest word; several found and not all wished, with their full names; a wish that names
/// nothing.
pub(crate) fn select(platform: &Platform, wish: &Wish) -> Result<Named, OperationError> {
    if wish.component.is_empty() {
        return Ok(Named { positions: of_place(platform, wish)?, alone: false });
    }
    let Wish { component, environment, host, .. } = wish.clone();
    let found = find_all(platform, &Target { component, environment, host })?;
    if found.len() > 1 && !wish.all {
        return Err(ambiguous(&found, "name the environment or the host, or say --all"));
    }
    // All that was found is one component.
    let hosts: HashSet<usize> = found.iter().map(|found| found.host_at).collect();
    let component = found.first().map(|found| &found.component.name);
    let is_meant =
        |position: &Position<'_>| component == Some(position.component) && hosts.contains(&position.host_at);
    let positions = positions(platform).filter(is_meant).map(|position| position.at).collect();
    Ok(Named { positions, alone: !wish.all })
}

/// Every instance of the place that a wish without component names.
fn of_place(platform: &Platform, wish: &Wish) -> Result<Vec<usize>, OperationError> {
    if wish.environment.is_empty() && wish.host.is_empty() && !wish.all && wish.stopped_by == 0 {
        let message = "name a component, --host, --env, or --all";
        return Err(OperationError::new(Code::InvalidArgument, message));
    }
    let host = find_place(platform, &wish.environment, &wish.host)?;
    if let Some(host) = host
        && !wish.environment.is_empty()
        && host.environment != *wish.environment.as_str()
    {
        let environment = printable(&wish.environment);
        return Err(not_found(format!(
            "host {} is not in environment {environment}; it is in {}",
            host.name, host.environment
        )));
    }
    let is_there = |position: &Position<'_>| {
        (wish.environment.is_empty() || *position.environment == *wish.environment.as_str())
            && host.is_none_or(|host| host.name == *position.host)
    };
    Ok(positions(platform).filter(is_there).map(|position| position.at).collect())
}

/// Keeps of what is named only what this plan has stopped, and what has not run since.
///
/// # Errors
/// There is no such instance.
pub(crate) fn keep_stopped_by(
    plan: u64,
    named: &mut Named,
    graph: &DependencyGraph,
    overview: &Overview,
) -> Result<(), OperationError> {
    let is_of_it =
        |located: &Located<'_>| located.instance.stopped_by.as_ref().is_some_and(|stop| stop.plan == plan);
    let stopped: HashSet<InstanceId> = overview.instances().filter(is_of_it).map(|one| one.id()).collect();
    named.positions.retain(|at| stopped.contains(graph.id(*at)));
    named.alone = false;
    match named.positions.is_empty() {
        true => Err(not_found(format!("nothing that plan {plan} has stopped is still as it left it"))),
        false => Ok(()),
    }
}

/// One instance as the dependency graph counts them.
struct Position<'p> {
    at: usize,
    host_at: usize,
    environment: &'p Name,
    host: &'p Name,
    component: &'p Name,
}

fn positions(platform: &Platform) -> impl Iterator<Item = Position<'_>> {
    let all = platform
        .hosts()
        .enumerate()
        .flat_map(|(host_at, host)| host.components.iter().map(move |component| (host_at, host, component)));
    all.enumerate().map(|(at, (host_at, host, component))| Position {
        at,
        host_at,
        environment: &host.environment,
        host: &host.name,
        component,
    })
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Source, load_sources};

    use super::*;

    fn platform() -> Platform {
        let text = r#"
            [[component]]
            name = "kafka server"
            criteria = [{ regex = 'kafka' }]
            [[component]]
            name = "raw writer"
            aliases = ["raw writter"]
            criteria = [{ regex = 'raw' }]
            [[environment]]
            name = "DEV"
            host = [{ name = "d1", components = ["kafka server", "raw writer"] }, { name = "d2", components = ["raw writer"] }]
            [[environment]]
            name = "ITG"
            host = [{ name = "i1", components = ["kafka server"] }]
        "#;
        load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]).unwrap()
    }

    /// `component`, `environment`, `host`, and whether all are wished.
    fn named(component: &str, environment: &str, host: &str, all: bool) -> Result<Vec<String>, String> {
        let platform = platform();
        let graph = DependencyGraph::new(&platform);
        let wish = Wish {
            component: component.to_owned(),
            environment: environment.to_owned(),
            host: host.to_owned(),
            all,
            no_dependencies: false,
            stopped_by: 0,
        };
        let named = select(&platform, &wish).map_err(|error| error.message)?;
        assert_eq!(named.alone, !component.is_empty() && !all);
        Ok(named.positions.into_iter().map(|at| graph.id(at).to_string()).collect())
    }

    #[test]
    fn a_component_is_one_instance_unless_all_are_wished() {
        assert_eq!(named("RAW  writter", "", "d1", false).unwrap(), ["DEV/d1/raw writer"]);
        assert_eq!(named("kafka server", "itg", "", false).unwrap(), ["ITG/i1/kafka server"]);
        assert_eq!(
            named("kafka server", "", "", false).unwrap_err(),
            "\"kafka server\" is on several hosts, name the environment or the host, or say --all: \
             DEV/d1/kafka server, ITG/i1/kafka server"
        );
        assert_eq!(
            named("kafka server", "", "", true).unwrap(),
            ["DEV/d1/kafka server", "ITG/i1/kafka server"]
        );
    }

    #[test]
    fn without_component_it_is_the_whole_place() {
        let dev = ["DEV/d1/kafka server", "DEV/d1/raw writer", "DEV/d2/raw writer"];
        assert_eq!(named("", "dev", "", false).unwrap(), dev);
        assert_eq!(named("", "", "D1.example.net", false).unwrap(), dev[..2]);
        assert_eq!(named("", "", "", true).unwrap().len(), 4);
    }

    #[test]
    fn what_names_nothing_is_refused_with_what_to_do() {
        for (wish, expected) in [
            (("", "", "", false), "name a component, --host, --env, or --all"),
            (("", "DVE", "", false), "environment \"DVE\" is not known; did you mean \"DEV\"?"),
            (("", "", "x9", true), "host \"x9\" is not known; known: d1, d2, i1"),
            (("", "ITG", "d1", false), "host d1 is not in environment ITG; it is in DEV"),
            (
                ("kafka sever", "", "", true),
                "component \"kafka sever\" is not known; did you mean \"kafka server\"?",
            ),
            (
                ("raw writer", "ITG", "", true),
                "\"raw writer\" is not on any host of environment ITG; there is DEV/d1/raw writer, DEV/d2/raw writer",
            ),
        ] {
            let (component, environment, host, all) = wish;
            assert_eq!(named(component, environment, host, all).unwrap_err(), expected);
        }
    }
}
