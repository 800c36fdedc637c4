//! Line that says which of several aggregators lead which environments.

use rta_shared::format::joined_first;
use rta_shared::overview::{LeaderOverview, Overview};
use rta_shared::sanitize::printable;

/// Returns the line for the environments of `overview`, with at most `most` names in a list; `None` if there is
/// only one aggregator, or if nobody certainly leads.
pub(super) fn leaders_line(overview: &Overview, most: usize) -> Option<String> {
    let is_shown = |leader: &&LeaderOverview| {
        overview.environments.iter().any(|environment| environment.name == leader.environment)
    };
    let groups = LeaderOverview::group_environments(overview.leaders.iter().filter(is_shown));
    let led = groups.iter().map(|(leader, environments)| {
        let names = environments.iter().map(|name| printable(name.as_str()));
        let here = if leader.is_here { " (this aggregator)" } else { "" };
        format!("{} by {}{here}", joined_first(most, names, ", "), printable(&leader.address))
    });
    (!groups.is_empty()).then(|| format!("Led: {}", joined_first(most, led, "; ")))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::overview::EnvironmentOverview;
    use rta_shared::snapshot::Snapshot;

    use super::*;
    use crate::fake_aggregator::overview_of;

    fn led(environments: &[&str], leaders: &[(&str, &str)]) -> Overview {
        let mut overview = overview_of(Vec::new());
        let pattern = (*overview.environments[0]).clone();
        let named = |name: &&str| EnvironmentOverview { name: (*name).into(), ..pattern.clone() };
        overview.environments = environments.iter().map(named).map(Snapshot::new).collect();
        let leader = |(environment, host): &(&str, &str)| LeaderOverview {
            environment: (*environment).into(),
            address: format!("https://{host}:8080"),
            process: format!("{host}, pid 12"),
            epoch: 3,
            since: Timestamp::UNIX_EPOCH,
            is_here: *host == "a",
        };
        overview.leaders = leaders.iter().map(leader).collect();
        overview
    }

    #[test]
    fn leaders_of_the_shown_environments_are_named_once() {
        let line = |environments: &[&str]| {
            leaders_line(&led(environments, &[("ITG", "a"), ("DEV", "b"), ("UAT", "a")]), 4)
        };
        let expected = "Led: ITG, UAT by https://a:8080 (this aggregator); DEV by https://b:8080";
        assert_eq!(line(&["ITG", "DEV", "UAT", "PRO"]).as_deref(), Some(expected));
        assert_eq!(line(&["DEV"]).as_deref(), Some("Led: DEV by https://b:8080"));
        assert_eq!(line(&["PRO"]), None);
    }

    #[test]
    fn single_aggregator_has_no_line() {
        assert_eq!(leaders_line(&led(&["ITG"], &[]), 4), None);
    }

    #[test]
    fn long_lists_are_cut() {
        let names = ["A", "B", "C"];
        let line = leaders_line(&led(&names, &names.map(|name| (name, "b"))), 2);
        assert_eq!(line.as_deref(), Some("Led: A, B and 1 more by https://b:8080"));
    }
}
