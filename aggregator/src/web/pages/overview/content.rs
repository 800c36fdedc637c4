//! Bound of the overview page: what is rendered in full, what is folded, and what is only counted.
//!
//! Every number of elements on the page is limited here. A page stays below 0.6 MB whatever the platform:
//! the tests in `view/bound_tests.rs` render the worst layouts.

use std::cmp::Reverse;

use rta_shared::overview::{
    EnvironmentOverview, Health, HealthCounts, HostOverview, InstanceOverview, Overview,
};

use super::selection::Selection;

/// Maximum numbers of a platform that is shown as a whole: some dozens of hosts.
const MAX_WHOLE_INSTANCES: usize = 320;
const MAX_WHOLE_HOSTS: usize = 64;
const MAX_WHOLE_ENVIRONMENTS: usize = 12;

/// Maximum number of environments that have a section of their own; more are one line each.
pub(crate) const MAX_SECTIONS: usize = 12;
/// Maximum number of environments listed by a line on one page.
pub(crate) const MAX_LINES: usize = 150;
/// Maximum number of cards of hosts that are not up in a summary, and of instances in each.
const MAX_SUMMARY_CARDS: usize = 12;
const MAX_SUMMARY_ROWS: usize = 10;
/// Maximum number of hosts and of instances on one page of search results.
const MAX_RESULT_HOSTS: usize = 24;
const MAX_RESULT_ROWS: usize = 200;
/// Maximum number of tiles, and of roles with a heading, on the page.
const MAX_TILES: usize = 1_000;
const MAX_ROLES: usize = 60;

/// Host with those of its instances that the selection shows.
#[derive(Clone, Debug)]
pub(crate) struct SelectedHost<'o> {
    pub(crate) environment: &'o EnvironmentOverview,
    pub(crate) host: &'o HostOverview,
    pub(crate) instances: Vec<&'o InstanceOverview>,
}

/// Environment with those of its hosts that have instances to show.
#[derive(Clone, Debug)]
pub(crate) struct SelectedEnvironment<'o> {
    pub(crate) environment: &'o EnvironmentOverview,
    pub(crate) hosts: Vec<SelectedHost<'o>>,
}

/// Way in which the selected instances are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageLayout {
    /// Every host has its place in its environment's section.
    Whole,
    /// Problems first, then one environment; hosts that are up are tiles or counted.
    OneEnvironment,
    /// Problems of all environments first, then the environments, folded.
    Summary,
    /// Pages of hosts with the instances that were found.
    Results,
}

/// Returns what `selection` shows of `overview`, in the configuration's order.
pub(crate) fn select<'o>(overview: &'o Overview, selection: &Selection) -> Vec<SelectedEnvironment<'o>> {
    let environments = overview.environments.iter().filter(|one| selection.shows_environment(one));
    environments
        .map(|environment| {
            let hosts = environment.hosts.iter().map(|host| SelectedHost {
                environment,
                host,
                instances: selection.of(host),
            });
            let hosts = hosts.filter(|selected| !selected.instances.is_empty()).collect();
            SelectedEnvironment { environment, hosts }
        })
        .collect()
}

/// Chooses the layout by the size of what is selected, so that it does not change with the health.
pub(crate) fn choose_layout(selected: &[SelectedEnvironment<'_>], selection: &Selection) -> PageLayout {
    let hosts = || selected.iter().flat_map(|environment| &environment.hosts);
    let instances: usize = hosts().map(|host| host.instances.len()).sum();
    let is_small = instances <= MAX_WHOLE_INSTANCES
        && hosts().count() <= MAX_WHOLE_HOSTS
        && selected.len() <= MAX_WHOLE_ENVIRONMENTS;
    match (is_small, selection.is_search(), selected.len()) {
        (true, ..) => PageLayout::Whole,
        (false, true, _) => PageLayout::Results,
        (false, false, 1) => PageLayout::OneEnvironment,
        (false, false, _) => PageLayout::Summary,
    }
}

/// Returns the hosts that are not up, the worst first and otherwise in the configuration's order, as far as
/// there are cards for them, with their instances that are not up; and the number of the other ones.
pub(crate) fn problem_cards<'o>(selected: &[SelectedEnvironment<'o>]) -> (Vec<SelectedHost<'o>>, usize) {
    let hosts = selected.iter().flat_map(|environment| &environment.hosts);
    let mut bad: Vec<_> = hosts.filter(|selected| selected.host.health != Health::Up).collect();
    bad.sort_by_key(|selected| Reverse(selected.host.health));
    let more = bad.len().saturating_sub(MAX_SUMMARY_CARDS);
    let cards = bad.into_iter().take(MAX_SUMMARY_CARDS).map(|selected| {
        let SelectedHost { environment, host, instances } = selected;
        let bad = instances.iter().filter(|instance| instance.health != Health::Up);
        let instances = bad.take(MAX_SUMMARY_ROWS).copied().collect();
        SelectedHost { environment, host, instances }
    });
    (cards.collect(), more)
}

/// Splits what was found into pages, the worst environment and host first. A host with very many instances
/// continues on the next page. There is at least one page.
pub(crate) fn split_into_pages<'o>(selected: Vec<SelectedEnvironment<'o>>) -> Vec<Vec<SelectedHost<'o>>> {
    let mut environments = selected;
    environments.sort_by_key(|selected| Reverse(selected.environment.health));
    let mut pages: Vec<Vec<SelectedHost<'o>>> = vec![Vec::new()];
    let mut rows = 0;
    for mut environment in environments {
        environment.hosts.sort_by_key(|selected| Reverse(selected.host.health));
        for SelectedHost { environment, host, instances } in environment.hosts {
            for part in instances.chunks(MAX_RESULT_ROWS) {
                let is_full = |page: &Vec<_>| page.len() >= MAX_RESULT_HOSTS;
                if rows + part.len() > MAX_RESULT_ROWS || pages.last().is_some_and(is_full) {
                    pages.push(Vec::new());
                    rows = 0;
                }
                rows += part.len();
                let part = SelectedHost { environment, host, instances: part.to_vec() };
                pages.last_mut().into_iter().for_each(|page| page.push(part.clone()));
            }
        }
    }
    pages
}

/// Returns the page with this number, counted from 1, or the last one: lists shrink while people read them.
pub(crate) fn page_index(page: usize, pages: usize) -> usize {
    page.clamp(1, pages.max(1)) - 1
}

/// Room for tiles on the page, shared by all roles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TileRoom {
    /// Number of tiles of hosts that are not up in each role; `None`: all hosts of all roles are tiles.
    pub(crate) each: Option<usize>,
    /// Number of roles with a heading in each environment.
    pub(crate) roles: usize,
}

impl TileRoom {
    /// Shares the room between environments with this many hosts and roles each. All hosts have a tile or, if
    /// there are too many, only those that are not up.
    pub(crate) fn share(environments: &[(usize, usize)]) -> Self {
        let (hosts, roles) = environments.iter().fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        let roles_of_each = (MAX_ROLES / environments.len().max(1)).max(1);
        let shown_roles: usize = environments.iter().map(|(_, roles)| (*roles).min(roles_of_each)).sum();
        let is_enough = hosts <= MAX_TILES && shown_roles == roles;
        Self { each: (!is_enough).then(|| MAX_TILES / shown_roles.max(1)), roles: roles_of_each }
    }
}

/// Returns the counts of the hosts' health.
pub(crate) fn host_counts<'o>(hosts: impl IntoIterator<Item = &'o HostOverview>) -> HealthCounts {
    hosts.into_iter().map(|host| host.health).collect()
}

#[cfg(test)]
mod tests {
    use rta_shared::snapshot::Snapshot;

    use super::*;
    use crate::sample_overview::sample;

    /// Returns environments of this many hosts with as many instances, of which every third host is unknown.
    fn platform(environments: usize, hosts: usize, instances: usize) -> Overview {
        let mut overview = sample();
        let pattern = (*overview.environments[0]).clone();
        let host = |at: usize| {
            let mut host = (*pattern.hosts[0]).clone();
            host.name = format!("h{at}").as_str().into();
            host.health = if at.is_multiple_of(3) { Health::Unknown } else { Health::Up };
            host.instances = vec![host.instances[0].clone(); instances];
            Snapshot::new(host)
        };
        let hosts: Vec<_> = (0..hosts).map(host).collect();
        overview.environments = (0..environments)
            .map(|at| {
                let name = format!("E{at}").as_str().into();
                Snapshot::new(EnvironmentOverview { name, health: Health::Unknown, hosts: hosts.clone() })
            })
            .collect();
        overview
    }

    fn layout(overview: &Overview, selection: &Selection) -> PageLayout {
        choose_layout(&select(overview, selection), selection)
    }

    #[test]
    fn some_dozens_of_hosts_are_shown_as_a_whole_and_more_are_folded() {
        let everything = Selection::default();
        let bad = Selection::default().with_problems();
        for (environments, hosts, instances, expected) in [
            (1, 22, 14, PageLayout::Whole),
            (12, 2, 10, PageLayout::Whole),
            (1, 65, 1, PageLayout::OneEnvironment),
            (1, 30, 14, PageLayout::OneEnvironment),
            (13, 1, 1, PageLayout::Summary),
            (2, 100, 14, PageLayout::Summary),
        ] {
            let overview = platform(environments, hosts, instances);
            assert_eq!(layout(&overview, &everything), expected, "{environments} {hosts} {instances}");
        }
        assert_eq!(layout(&platform(2, 100, 14), &bad), PageLayout::Results);
        assert_eq!(
            layout(&platform(100, 10, 14), &Selection::of_environment(&"E7".into())),
            PageLayout::Whole
        );
    }

    #[test]
    fn every_instance_is_on_one_page_and_no_page_is_too_long() {
        for (hosts, instances) in [(100, 14), (3, 999), (500, 1)] {
            let overview = platform(2, hosts, instances);
            let pages = split_into_pages(select(&overview, &Selection::default()));
            let rows = |page: &[SelectedHost<'_>]| -> usize {
                page.iter().map(|selected| selected.instances.len()).sum()
            };
            assert!(pages.iter().all(|page| page.len() <= MAX_RESULT_HOSTS && rows(page) <= MAX_RESULT_ROWS));
            assert_eq!(pages.iter().map(|page| rows(page)).sum::<usize>(), 2 * hosts * instances);
            let shown = pages.concat();
            let healths: Vec<_> =
                shown.iter().filter(|one| one.environment.name == *"E0").map(|one| one.host.health).collect();
            assert!(healths.is_sorted_by_key(|health| Reverse(*health)));
        }
        assert_eq!(split_into_pages(Vec::new()).len(), 1);
        assert_eq!([0, 1, 3, 99].map(|page| page_index(page, 3)), [0, 0, 2, 2]);
    }

    #[test]
    fn tiles_are_shared_and_never_too_many() {
        let room = TileRoom::share(&[(1_000, 3)]);
        assert_eq!((room.each, room.roles), (None, 60));
        let room = TileRoom::share(&[(10_000, 4)]);
        assert_eq!(room.each, Some(250));
        let room = TileRoom::share(&[(900, 900)]);
        assert_eq!((room.each, room.roles), (Some(16), 60));
        assert_eq!(TileRoom::share(&[]).each, None);
    }
}
