//! Validates the links of components.

use super::super::platform::Platform;
use super::super::source::Problems;
use super::super::variables::{BUILT_IN_VARIABLES, Variables};
use super::carriers::Carriers;
use crate::name::Name;

/// Reports, for every host that carries a component, each of its links that is no URL there.
pub(super) fn check_notes(platform: &Platform, carriers: &Carriers<'_>, problems: &mut Problems<'_>) {
    for component in &platform.components {
        let templates = component.notes.templates();
        let Some(place) = templates.first().map(|template| template.place) else { continue };
        let variables: Vec<&str> = templates.iter().flat_map(|template| template.value.variables()).collect();
        let mut check = |variables: &Variables<'_>| {
            if let Err(reason) = component.notes.resolve(variables) {
                problems.report(place, format!("component \"{}\": links: {reason}", component.name));
            }
        };
        let hosts = carriers.hosts_of(component);
        if hosts.is_empty() && variables.is_empty() {
            check(&Variables::new(&Name::from(""), &[], &Default::default()));
        }
        for host in hosts {
            let is_known =
                |name: &&str| BUILT_IN_VARIABLES.contains(name) || host.variables.contains_key(*name);
            // A variable without a value is reported elsewhere.
            if variables.iter().all(is_known) {
                check(&host.variables(&[]));
            }
        }
    }
}
