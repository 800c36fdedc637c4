//! Narrowing an overview to what was asked for.

use rta_shared::overview::Overview;
use rta_shared::text::{did_you_mean, printable};

use crate::command::Place;
use crate::exit::{CANNOT_TELL, Failure};

/// What of `overview` lies at `place` and, where `component` is not empty, has that name.
///
/// # Errors
/// A name that nothing has, with the nearest that something has.
pub(crate) fn select(mut overview: Overview, place: &Place, component: &str) -> Result<Overview, Failure> {
    if let Some(wanted) = &place.env {
        let names: Vec<_> =
            overview.environments.iter().map(|environment| environment.name.clone()).collect();
        overview.environments.retain(|environment| environment.name == *wanted.as_str());
        if overview.environments.is_empty() {
            return Err(unknown("environment", wanted, names.iter().map(|name| name.as_str()).collect()));
        }
    }
    if let Some(wanted) = &place.host {
        let names: Vec<_> = overview
            .environments
            .iter()
            .flat_map(|environment| environment.hosts.iter().map(|host| host.name.clone()))
            .collect();
        for environment in &mut overview.environments {
            environment.hosts.retain(|host| host.name == *wanted.as_str());
        }
        overview.environments.retain(|environment| !environment.hosts.is_empty());
        if overview.environments.is_empty() {
            return Err(unknown("host", wanted, names.iter().map(|name| name.as_str()).collect()));
        }
    }
    if !component.is_empty() {
        let mut names: Vec<_> =
            overview.instances().map(|located| located.instance.component.clone()).collect();
        names.sort();
        names.dedup();
        for host in overview.environments.iter_mut().flat_map(|environment| &mut environment.hosts) {
            host.instances.retain(|instance| instance.component == *component);
        }
        for environment in &mut overview.environments {
            environment.hosts.retain(|host| !host.instances.is_empty());
        }
        overview.environments.retain(|environment| !environment.hosts.is_empty());
        if overview.environments.is_empty() {
            return Err(unknown("component", component, names.iter().map(|name| name.as_str()).collect()));
        }
    }
    Ok(overview)
}

fn unknown(kind: &str, wanted: &str, known: Vec<&str>) -> Failure {
    let hint = did_you_mean(wanted, known);
    Failure::new(CANNOT_TELL, format!("{kind} \"{}\" is not known{hint}", printable(wanted)))
}
