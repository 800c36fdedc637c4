//! Detects components that need themselves, directly or through others.

use super::super::parse::RawConfig;
use super::super::platform::Platform;
use super::super::source::Problems;
use crate::name::Name;

/// Reports the components that depend on themselves, once per cycle.
pub(super) fn check_cycles(platform: &Platform, raw: &RawConfig, problems: &mut Problems<'_>) {
    let mut reported: Vec<Name> = Vec::new();
    for (component, written) in platform.components.iter().zip(&raw.components) {
        if reported.contains(&component.name) {
            continue;
        }
        if let Some(path) = path_back(platform, &component.name) {
            let steps: Vec<_> = path.iter().map(|name| format!("\"{name}\"")).collect();
            problems.report(
                written.name.place,
                format!(
                    "component \"{}\" depends on itself: {} -> \"{}\"",
                    component.name,
                    steps.join(" -> "),
                    component.name
                ),
            );
            reported.extend(path);
        }
    }
}

/// Returns the components on a path from `start` back to `start`, beginning with it.
fn path_back(platform: &Platform, start: &Name) -> Option<Vec<Name>> {
    let needs = |name: &Name| {
        platform
            .components
            .iter()
            .find(|component| component.name == *name)
            .map(|component| component.depends_on.iter().map(|dependency| dependency.component.clone()))
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    };
    let mut visited = Vec::new();
    let mut path = vec![start.clone()];
    let mut ahead = vec![needs(start)];
    while let Some(next) = ahead.last_mut() {
        match next.pop() {
            Some(name) if name == *start => return Some(path),
            Some(name) if visited.contains(&name) => {}
            Some(name) => {
                visited.push(name.clone());
                ahead.push(needs(&name));
                path.push(name);
            }
            None => {
                ahead.pop();
                path.pop();
            }
        }
    }
    None
}
