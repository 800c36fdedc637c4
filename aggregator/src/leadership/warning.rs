//! Shows which aggregators lead, and as an impairment that none certainly does, or that one cannot be called.

use std::time::Duration;

use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::name::Name;
use rta_shared::overview::LeaderOverview;
use tokio::sync::watch;

use super::keeper::uptime;
use super::{LeaseStatus, certain_leader};

/// Interval between two checks: a lease expires without a message.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of environments that a sentence names.
const NAMED_ENVIRONMENTS: usize = 5;

/// Shows with `show` which aggregators lead, and reports impairments, whenever that changes. `environments`
/// returns those of the configuration, and `serves` whether this aggregator serves as the leader of one
/// already.
pub(crate) async fn report_leadership<F: Future<Output = ()>>(
    status: watch::Receiver<LeaseStatus>,
    impairments: ImpairmentList,
    environments: impl Fn() -> Vec<Name>,
    serves: impl Fn(&Name) -> bool,
    show: impl Fn(Vec<LeaderOverview>) -> F,
) {
    let mut shown = Vec::new();
    loop {
        let environments = environments();
        let (warning, leaders) = {
            let status = status.borrow();
            (describe_problem(&status, &environments), leaders(&status, &environments, &serves))
        };
        impairments.set(ImpairedPart::Leadership, warning);
        if leaders != shown {
            show(leaders.clone()).await;
            shown = leaders;
        }
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

/// Returns the aggregators that certainly lead.
fn leaders(
    status: &LeaseStatus,
    environments: &[Name],
    serves: impl Fn(&Name) -> bool,
) -> Vec<LeaderOverview> {
    let leaders = environments.iter().filter_map(|environment| {
        let (leader, is_here) = certain_leader(status, environment)?;
        (!is_here || serves(environment)).then(|| LeaderOverview {
            environment: environment.clone(),
            address: leader.holder.address.clone(),
            process: leader.process(),
            epoch: leader.epoch,
            since: leader.since,
            is_here,
        })
    });
    leaders.collect()
}

/// Returns a sentence if nothing can be started or stopped through this aggregator in some environment.
fn describe_problem(status: &LeaseStatus, environments: &[Name]) -> Option<String> {
    if let Some(reason) = &status.failure {
        let own: Vec<&Name> = environments.iter().filter(|one| status.own.contains_key(*one)).collect();
        let is_lapsed = !own.is_empty() && uptime() >= status.valid_until;
        return Some(match is_lapsed {
            true => format!(
                "the lease of this aggregator has expired: {reason}. Nothing is started or stopped in {} until it is \
                 renewed, or another aggregator leads",
                list(&own)
            ),
            false => format!("the database with the leases does not answer: {reason}"),
        });
    }
    let unreachable: Vec<&Name> = environments
        .iter()
        .filter(|one| status.others.get(*one).is_some_and(|leader| leader.holder.grpc_address.is_empty()))
        .collect();
    if let Some(leader) = unreachable.first().and_then(|one| status.others.get(*one)) {
        return Some(format!(
            "this aggregator cannot call that at {leader}, which leads {}: start that one with --grpc or \
             --advertise-grpc. Nothing is started or stopped there from here",
            list(&unreachable)
        ));
    }
    let unled: Vec<&Name> = environments.iter().filter(|one| status.leader(one).is_none()).collect();
    (!unled.is_empty())
        .then(|| format!("no aggregator leads {} yet; one takes over within 10 s", list(&unled)))
}

fn list(environments: &[&Name]) -> String {
    let shown: Vec<&str> = environments.iter().take(NAMED_ENVIRONMENTS).map(|name| name.as_str()).collect();
    match environments.len().saturating_sub(NAMED_ENVIRONMENTS) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::store::{Leader, LeaseHolder};

    fn leader(grpc_address: &str) -> Leader {
        let holder = LeaseHolder {
            name: "rta-aggregator db-host pid 42 #00ab".to_owned(),
            address: "https://a:8080".to_owned(),
            grpc_address: grpc_address.to_owned(),
        };
        Leader { holder, epoch: 6, since: Timestamp::UNIX_EPOCH }
    }

    fn names(names: &[&str]) -> Vec<Name> {
        names.iter().map(|name| Name::from(*name)).collect()
    }

    #[test]
    fn leaders_are_shown_by_environment_once_they_serve() {
        let status = LeaseStatus {
            own: BTreeMap::from([("DEV".into(), leader("")), ("ITG".into(), leader(""))]),
            others: BTreeMap::from([("PRO".into(), leader("x"))]),
            valid_until: uptime() + Duration::from_secs(60),
            ..LeaseStatus::default()
        };
        let (all, itg) = (names(&["ITG", "DEV", "PRO", "UAT"]), Name::from("ITG"));
        let shown = |status: &LeaseStatus| -> Vec<(String, bool)> {
            let leaders = leaders(status, &all, |name| *name == itg).into_iter();
            leaders.map(|one| (one.environment.to_string(), one.is_here)).collect()
        };
        assert_eq!(shown(&status), [("ITG".to_owned(), true), ("PRO".to_owned(), false)]);
        // Who leads now is not known, and the last one may still do.
        let failed = LeaseStatus { valid_until: Duration::ZERO, failure: Some("lost".to_owned()), ..status };
        assert_eq!(shown(&failed), []);
        assert!(describe_problem(&failed, &all).unwrap().contains("expired: lost. Nothing is started"));
    }

    #[test]
    fn problem_names_the_environments() {
        let all = names(&["ITG", "DEV"]);
        let problem = |others: &[(&str, &str)]| {
            let others = others.iter().map(|(name, address)| (Name::from(*name), leader(address))).collect();
            describe_problem(&LeaseStatus { others, ..LeaseStatus::default() }, &all)
        };
        assert_eq!(problem(&[("ITG", "x"), ("DEV", "x")]), None);
        assert!(problem(&[("ITG", "x")]).unwrap().starts_with("no aggregator leads DEV yet"));
        assert!(problem(&[("ITG", ""), ("DEV", "x")]).unwrap().contains("which leads ITG: start that one"));
    }
}
