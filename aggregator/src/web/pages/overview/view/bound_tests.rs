//! Size of the page, whatever the layout and state of the platform.

use rta_shared::overview::{EnvironmentOverview, HostOverview, InstanceOverview};
use rta_shared::report::State;
use rta_shared::snapshot::Snapshot;

use super::*;
use crate::sample_overview::{agent, instance, sample};

const COMPONENTS: usize = 14;
/// Maximum size of the page of a thousand hosts, and of ten thousand, in bytes.
const GOAL_THOUSAND: usize = 600_000;
const GOAL_TEN_THOUSAND: usize = 800_000;

/// Returns this many environments of this many hosts of 14 components in 3 roles; on every `bad_each` host
/// all components have this health.
fn platform(environments: usize, hosts: usize, health: Health, bad_each: usize) -> Overview {
    let instances = |health: Health| -> Vec<Snapshot<InstanceOverview>> {
        let state = match health {
            Health::Unknown => None,
            Health::Down => Some(State::Stopped),
            Health::Up | Health::Degraded => Some(State::Running),
        };
        let reason = match health {
            Health::Up => String::new(),
            _ => "it is not running: ended with exit status 7; the last line of its log: out of disk space"
                .to_owned(),
        };
        let named = |at: usize| InstanceOverview {
            component: format!("processor gyroscope {at}").as_str().into(),
            reason: reason.clone(),
            has_log: true,
            ..instance("x", state, health)
        };
        (0..COMPONENTS).map(named).map(Snapshot::new).collect()
    };
    let (well, bad) = (instances(Health::Up), instances(health));
    let mut overview = sample();
    let pattern = HostOverview { agent: Some(agent()), ..(*overview.environments[0].hosts[0]).clone() };
    let host = |at: usize| {
        let is_bad = at.is_multiple_of(bad_each);
        Snapshot::new(HostOverview {
            name: format!("c9t{at:05}.example.net").as_str().into(),
            role: Some(format!("main-analytic-{}", at % 3).as_str().into()),
            health: if is_bad { health } else { Health::Up },
            reachable: !(is_bad && health == Health::Unknown),
            error: (is_bad && health == Health::Unknown).then(|| "no connection to the agent".to_owned()),
            instances: if is_bad { bad.clone() } else { well.clone() },
            ..pattern.clone()
        })
    };
    overview.environments = (0..environments)
        .map(|number| {
            let hosts = (0..hosts).map(|at| host(number * hosts + at)).collect();
            Snapshot::new(EnvironmentOverview {
                name: format!("ITG-{number:04}").as_str().into(),
                health,
                hosts,
            })
        })
        .collect();
    overview
}

fn size(shown: &Overview, selection: &Selection) -> usize {
    let context = RequestContext { csrf: Some("c".repeat(43)), ..RequestContext::anonymous("/") };
    overview(shown, &[], selection, &context, Timestamp::UNIX_EPOCH).into_string().len()
}

fn assert_bounded(layouts: &[(usize, usize)], goal: usize) {
    for (environments, hosts) in layouts.iter().copied() {
        for (health, bad_each) in [
            (Health::Up, 1),
            (Health::Down, 1),
            (Health::Unknown, 1),
            (Health::Degraded, 1),
            (Health::Down, 3),
        ] {
            let shown = platform(environments, hosts, health, bad_each);
            let first = &shown.environments[0];
            let everything = Selection::default();
            for selection in [
                everything.clone(),
                Selection::of_environment(&first.name),
                everything.clone().with_problems(),
                everything.clone().with_name(&"gyroscope".into()).with_page(2),
                Selection::of_host(first, &first.hosts[0]),
            ] {
                let size = size(&shown, &selection);
                assert!(size < goal, "{environments} x {hosts}, {health}: {size} of {}", selection.address());
            }
        }
    }
}

#[test]
fn page_of_some_dozens_of_hosts_is_bounded() {
    assert_bounded(&[(1, 22), (1, 64), (12, 2), (12, 5)], GOAL_THOUSAND);
}

#[test]
fn page_of_a_thousand_hosts_is_bounded_in_any_layout() {
    assert_bounded(&[(1, 1_000), (10, 100), (100, 10), (1_000, 1)], GOAL_THOUSAND);
}

#[test]
fn page_of_ten_thousand_hosts_is_bounded_in_any_layout() {
    assert_bounded(&[(1, 10_000), (12, 833), (1_000, 10)], GOAL_TEN_THOUSAND);
}

/// Prints the sizes, to compare with the goals.
#[test]
#[ignore = "a measurement: cargo test --workspace --lib -- --ignored --nocapture sizes_of_pages"]
fn sizes_of_pages() {
    for (environments, hosts) in
        [(1, 22), (12, 2), (1, 1_000), (10, 100), (100, 10), (1, 10_000), (12, 833), (1_000, 10)]
    {
        let sizes = [(Health::Up, 1), (Health::Down, 3), (Health::Down, 1), (Health::Unknown, 1)].map(
            |(health, bad_each)| {
                size(&platform(environments, hosts, health, bad_each), &Selection::default())
            },
        );
        println!("{environments:5} x {hosts:5}: up, a third down, down, unknown: {sizes:?}");
    }
}
