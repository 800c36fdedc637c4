//! From a request to the instances that it names.

use std::collections::HashSet;

use rta_shared::config::Platform;
use rta_shared::dependency::DependencyGraph;
use rta_shared::name::Name;
use rta_shared::overview::{InstanceId, LocatedInstance, Overview};
use rta_shared::plan::ActionRequest;
use rta_shared::sanitize::quoted_input;
use rta_shared::selector::{NameIndex, Purpose, Selection};
use rta_shared::suggestion::nearest;
use tonic::Code;

use crate::operation_error::{OperationError, not_found};

/// The instances that a request names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SelectedInstances {
    /// Their positions in the dependency graph, ascending.
    pub(crate) positions: Vec<usize>,
    /// True if a component is named without --all, so that exactly one instance matches.
    pub(crate) is_single: bool,
}

/// Resolves the instances that `request` names.
///
/// # Errors
/// Returns an error if a name is unknown, if several instances match and --all is not given, or if the request names
/// nothing.
pub(crate) fn select_instances(
    platform: &Platform,
    request: &ActionRequest,
) -> Result<SelectedInstances, OperationError> {
    let selector = request.selector();
    let is_anything = selector.is_empty() && request.role.is_empty();
    if is_anything && !request.all && request.stopped_by == 0 {
        let message = "name a component, --host, --env, --role, or --all";
        return Err(OperationError::new(Code::InvalidArgument, message));
    }
    let index = NameIndex::from(platform);
    let mut selection = selector.resolve(&index, Purpose::Acting)?;
    if !request.role.is_empty() {
        retain_role(platform, &request.role, &mut selection)?;
    }
    let names_component = selection.component.is_some();
    if names_component && !request.all {
        selection.one("name the environment or the host, or say --all")?;
    }
    // The dependency graph counts instances in the configuration's order, too.
    let positions = selection.instances.iter().map(|instance| instance.at).collect();
    Ok(SelectedInstances { positions, is_single: names_component && !request.all })
}

/// Removes the instances of hosts that do not have this role.
///
/// # Errors
/// Returns an error if the role is unknown, or no instance is left.
fn retain_role(platform: &Platform, role: &str, selection: &mut Selection<'_>) -> Result<(), OperationError> {
    let written = Name::from(role);
    let Some(role) = platform.roles.iter().map(|role| &role.name).find(|name| **name == written) else {
        let known = platform.roles.iter().map(|role| role.name.as_str());
        let hint = nearest(role, known).map(|near| format!("; did you mean \"{near}\"?")).unwrap_or_default();
        return Err(not_found(format!("role \"{}\" is not known{hint}", quoted_input(role))));
    };
    let hosts: HashSet<&Name> =
        platform.hosts().filter(|host| host.role.as_ref() == Some(role)).map(|host| &host.name).collect();
    selection.instances.retain(|instance| hosts.contains(instance.host.name));
    match selection.instances.is_empty() {
        true => Err(not_found(format!("no host with the role {role} carries what is named"))),
        false => Ok(()),
    }
}

/// Removes the instances that this plan has not stopped, or that have run since.
///
/// # Errors
/// Returns an error if no instance is left.
pub(crate) fn retain_stopped_by(
    plan: u64,
    selected: &mut SelectedInstances,
    graph: &DependencyGraph,
    overview: &Overview,
) -> Result<(), OperationError> {
    let was_stopped_by_plan = |located: &LocatedInstance<'_>| {
        located.instance.stopped_by.as_ref().is_some_and(|stop| stop.plan == plan)
    };
    let stopped: HashSet<InstanceId> =
        overview.instances().filter(was_stopped_by_plan).map(|one| one.id()).collect();
    selected.positions.retain(|at| stopped.contains(graph.id(*at)));
    selected.is_single = false;
    match selected.positions.is_empty() {
        true => Err(not_found(format!("nothing that plan {plan} has stopped is still as it left it"))),
        false => Ok(()),
    }
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

    /// `component`, `environment`, `host`, and whether `--all` is given.
    fn selected(component: &str, environment: &str, host: &str, all: bool) -> Result<Vec<String>, String> {
        let platform = platform();
        let graph = DependencyGraph::new(&platform);
        let request = ActionRequest {
            component: component.to_owned(),
            environment: environment.to_owned(),
            host: host.to_owned(),
            all,
            ..ActionRequest::default()
        };
        let selected = select_instances(&platform, &request).map_err(|error| error.message)?;
        assert_eq!(selected.is_single, !component.is_empty() && !all);
        Ok(selected.positions.into_iter().map(|at| graph.id(at).to_string()).collect())
    }

    #[test]
    fn component_is_one_instance_without_all() {
        assert_eq!(selected("RAW  writter", "", "d1", false).unwrap(), ["DEV/d1/raw writer"]);
        assert_eq!(selected("kafka server", "itg", "", false).unwrap(), ["ITG/i1/kafka server"]);
        assert_eq!(
            selected("kafka server", "", "", false).unwrap_err(),
            "\"kafka server\" is on several hosts, name the environment or the host, or say --all: \
             DEV/d1/kafka server, ITG/i1/kafka server"
        );
        assert_eq!(
            selected("kafka server", "", "", true).unwrap(),
            ["DEV/d1/kafka server", "ITG/i1/kafka server"]
        );
    }

    #[test]
    fn without_component_it_is_the_whole_place() {
        let dev = ["DEV/d1/kafka server", "DEV/d1/raw writer", "DEV/d2/raw writer"];
        assert_eq!(selected("", "dev", "", false).unwrap(), dev);
        assert_eq!(selected("", "", "D1.example.net", false).unwrap(), dev[..2]);
        assert_eq!(selected("", "", "", true).unwrap().len(), 4);
    }

    #[test]
    fn what_names_nothing_is_refused_with_what_to_do() {
        for (request, expected) in [
            (("", "", "", false), "name a component, --host, --env, --role, or --all"),
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
            let (component, environment, host, all) = request;
            assert_eq!(selected(component, environment, host, all).unwrap_err(), expected);
        }
    }
}
