//! Detects components that need themselves, directly or through others.

use std::collections::{HashMap, HashSet};

use super::super::parse::RawConfig;
use super::super::platform::Platform;
use super::super::source::Problems;

/// Reports the components that depend on themselves, once per cycle.
pub(super) fn check_cycles(platform: &Platform, raw: &RawConfig, problems: &mut Problems<'_>) {
    let needs = requirements(platform);
    let mut reported = HashSet::new();
    for start in unsortable(&needs) {
        let (Some(component), Some(written)) = (platform.components.get(start), raw.components.get(start))
        else {
            continue;
        };
        if reported.contains(&start) {
            continue;
        }
        if let Some(path) = path_back(&needs, start) {
            let names = path.iter().filter_map(|at| platform.components.get(*at));
            let steps: Vec<_> = names.map(|component| format!("\"{}\"", component.name)).collect();
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

/// Returns the positions of the components that each component needs.
fn requirements(platform: &Platform) -> Vec<Vec<usize>> {
    let positions: HashMap<_, _> =
        platform.components.iter().enumerate().map(|(at, component)| (&component.name, at)).collect();
    let needed = platform.components.iter().map(|component| {
        let names = component.depends_on.iter().map(|dependency| &dependency.component);
        names.filter_map(|name| positions.get(name).copied()).collect()
    });
    needed.collect()
}

/// Returns the positions that are in a cycle or need one, in their order: those that remain when everything
/// whose requirements are all removed is removed, over and over. Empty for a valid configuration.
fn unsortable(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut dependents = vec![Vec::new(); needs.len()];
    for (at, needed) in needs.iter().enumerate() {
        for requirement in needed {
            dependents[*requirement].push(at);
        }
    }
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut removable: Vec<usize> = (0..needs.len()).filter(|at| open[*at] == 0).collect();
    while let Some(at) = removable.pop() {
        for dependent in &dependents[at] {
            open[*dependent] -= 1;
            if open[*dependent] == 0 {
                removable.push(*dependent);
            }
        }
    }
    (0..needs.len()).filter(|at| open[*at] > 0).collect()
}

/// Returns the components on a path from `start` back to `start`, beginning with it.
fn path_back(needs: &[Vec<usize>], start: usize) -> Option<Vec<usize>> {
    let mut visited = vec![false; needs.len()];
    let mut path = vec![start];
    let mut ahead = vec![needs[start].clone()];
    while let Some(next) = ahead.last_mut() {
        match next.pop() {
            Some(at) if at == start => return Some(path),
            Some(at) if visited[at] => {}
            Some(at) => {
                visited[at] = true;
                ahead.push(needs[at].clone());
                path.push(at);
            }
            None => {
                ahead.pop();
                path.pop();
            }
        }
    }
    None
}
