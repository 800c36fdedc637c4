//! Changes between two overviews; no I/O.

use std::collections::HashMap;

use rta_shared::overview::{Health, Overview};
use rta_shared::sanitize::printable;

/// Returns a line for each instance whose health changed, or that was added or removed.
pub(super) fn health_changes(before: &Overview, now: &Overview) -> Vec<String> {
    let mut old: HashMap<_, Health> =
        before.instances().map(|located| (located.id(), located.instance.health)).collect();
    let mut lines = Vec::new();
    for located in now.instances() {
        let (id, instance) = (located.id(), located.instance);
        let place = printable(&id.to_string()).into_owned();
        let colon = if instance.reason.is_empty() { "" } else { ": " };
        let reason = printable(&instance.reason);
        match old.remove(&id) {
            Some(health) if health == instance.health => {}
            Some(health) => lines.push(format!("{place} {health} -> {}{colon}{reason}", instance.health)),
            None => lines.push(format!("{place} is new: {}{colon}{reason}", instance.health)),
        }
    }
    let mut gone: Vec<_> = old.into_keys().collect();
    gone.sort();
    lines.extend(gone.iter().map(|id| format!("{} is no longer watched", printable(&id.to_string()))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_aggregator::sample_overview;

    #[test]
    fn only_what_changed_is_told() {
        let before = sample_overview(&[("a", Health::Up), ("b", Health::Up), ("c", Health::Down)]);
        let now = sample_overview(&[("a", Health::Up), ("b", Health::Unknown), ("d", Health::Up)]);
        assert_eq!(
            health_changes(&before, &now),
            ["DEV/h/b up -> unknown: because", "DEV/h/d is new: up", "DEV/h/c is no longer watched"]
        );
        assert!(health_changes(&now, &now).is_empty());
    }
}
