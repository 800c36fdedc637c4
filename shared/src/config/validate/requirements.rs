//! Detects dependencies that no host of an environment can satisfy.

use std::collections::HashMap;

use super::super::parse::RawConfig;
use super::super::platform::{DependencyPlace, Platform};
use super::super::providers::ProviderIndex;
use super::super::source::Problems;

/// Reports, for every host, each dependency of its components that no host provides.
pub(super) fn check_requirements(platform: &Platform, raw: &RawConfig, problems: &mut Problems<'_>) {
    let index = ProviderIndex::new(platform);
    let components: HashMap<_, _> =
        platform.components.iter().map(|component| (&component.name, component)).collect();
    let written = raw.environments.iter().flat_map(|environment| &environment.hosts);
    for (host, written) in platform.hosts().zip(written) {
        let carried = host.components.iter().filter_map(|name| components.get(name).copied());
        for (component, dependency) in carried
            .flat_map(|component| component.depends_on.iter().map(move |dependency| (component, dependency)))
        {
            if !index.providers(host, dependency).is_empty() {
                continue;
            }
            let who = match &dependency.place {
                DependencyPlace::Same => "this host does not carry it".to_owned(),
                DependencyPlace::Host(name) => format!("host {name} does not carry it"),
                DependencyPlace::Any | DependencyPlace::Nearest => {
                    format!("no host of environment {} carries it", host.environment)
                }
            };
            problems.report(
                written.name.place,
                format!(
                    "host \"{}\": component \"{}\" depends on \"{}\", but {who}",
                    host.name, component.name, dependency.component
                ),
            );
        }
    }
}
