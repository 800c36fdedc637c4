//! Division of the environments among the aggregators. Pure.

use std::collections::HashMap;

use rta_shared::name::Name;

use crate::store::LeaseTable;

/// Part of one aggregator in the division.
#[derive(Debug)]
pub(super) struct LeaseDivision<'t> {
    own: &'t str,
    table: &'t LeaseTable,
    /// Number of leases of each aggregator that takes part.
    counts: HashMap<&'t str, usize>,
}

impl<'t> LeaseDivision<'t> {
    /// Creates the part of the aggregator with the name `own`.
    pub(super) fn new(own: &'t str, table: &'t LeaseTable) -> Self {
        let mut counts: HashMap<&str, usize> =
            table.candidates.iter().map(|candidate| (candidate.name.as_str(), 0)).collect();
        counts.entry(own).or_default();
        for lease in &table.leases {
            if let Some(count) = counts.get_mut(lease.leader.holder.name.as_str()) {
                *count += 1;
            }
        }
        Self { own, table, counts }
    }

    fn own_count(&self) -> usize {
        self.counts.get(self.own).copied().unwrap_or(0)
    }

    /// Returns the numbers of leases of the other aggregators that lead this environment if nobody else does.
    fn rivals(&self, environment: &Name) -> impl Iterator<Item = usize> {
        let rivals = self.table.candidates.iter().filter(move |candidate| {
            candidate.name != self.own && candidate.environments.contains(environment)
        });
        rivals.map(|candidate| self.counts.get(candidate.name.as_str()).copied().unwrap_or(0))
    }

    /// Returns true if this aggregator is to take this environment, which nobody leads: none that wants it
    /// has fewer.
    pub(super) fn takes(&self, environment: &Name) -> bool {
        let own = self.own_count();
        self.rivals(environment).all(|count| own <= count)
    }

    /// Counts one more lease of this aggregator.
    pub(super) fn add_own(&mut self) {
        *self.counts.entry(self.own).or_default() += 1;
    }

    /// Returns the environments of `environments` that nobody leads.
    pub(super) fn free<'e>(&self, environments: &'e [Name]) -> Vec<&'e Name> {
        let is_led =
            |environment: &Name| self.table.leases.iter().any(|lease| lease.environment == *environment);
        environments.iter().filter(|environment| !is_led(environment)).collect()
    }

    /// Returns the own environments that another aggregator with at least two leases fewer wants, and how
    /// many of them it is to have. A difference of one stays, so that no environment goes to and fro.
    pub(super) fn surplus(&self) -> (Vec<Name>, usize) {
        let own = self.own_count();
        let mut most = 0;
        let mut wanted = Vec::new();
        for lease in self.table.leases.iter().filter(|lease| lease.leader.holder.name == self.own) {
            let Some(fewest) = self.rivals(&lease.environment).min() else { continue };
            let half = own.saturating_sub(fewest) / 2;
            if half > 0 {
                most = most.max(half);
                wanted.push(lease.environment.clone());
            }
        }
        (wanted, most)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::{CurrentLease, Leader, LeaseCandidate, LeaseHolder};

    fn names(names: &[&str]) -> Vec<Name> {
        names.iter().map(|name| Name::from(*name)).collect()
    }

    fn table(leases: &[(&str, &str)], candidates: &[(&str, &[&str])]) -> LeaseTable {
        let lease = |(environment, holder): &(&str, &str)| CurrentLease {
            environment: Name::from(*environment),
            leader: Leader {
                holder: LeaseHolder {
                    name: (*holder).to_owned(),
                    address: String::new(),
                    grpc_address: String::new(),
                },
                epoch: 1,
                since: Timestamp::UNIX_EPOCH,
            },
        };
        let candidate = |(name, environments): &(&str, &[&str])| LeaseCandidate {
            name: (*name).to_owned(),
            environments: names(environments),
        };
        LeaseTable {
            leases: leases.iter().map(lease).collect(),
            candidates: candidates.iter().map(candidate).collect(),
        }
    }

    /// Lets each aggregator act in turn until nothing changes, and returns the number of leases of each.
    fn settle(mut table: LeaseTable) -> Vec<usize> {
        let candidates = table.candidates.clone();
        for round in 0..100 {
            let before = table.clone();
            for candidate in &candidates {
                let view = table.clone();
                let mut division = LeaseDivision::new(&candidate.name, &view);
                for free in division.free(&candidate.environments) {
                    if division.takes(free) {
                        division.add_own();
                        let lease = self::table(&[(free.as_str(), &candidate.name)], &[]).leases.remove(0);
                        table.leases.push(lease);
                    }
                }
                let view = table.clone();
                let (wanted, most) = LeaseDivision::new(&candidate.name, &view).surplus();
                for given in wanted.into_iter().take(most) {
                    table.leases.retain(|lease| lease.environment != given);
                }
            }
            if table == before {
                let count =
                    |name: &str| table.leases.iter().filter(|lease| lease.leader.holder.name == name).count();
                return candidates.iter().map(|candidate| count(&candidate.name)).collect();
            }
            assert!(round < 99, "it does not settle: {table:?}");
        }
        Vec::new()
    }

    #[test]
    fn environments_are_divided_evenly_and_nothing_goes_to_and_fro() {
        let all = ["e0", "e1", "e2", "e3", "e4", "e5", "e6"];
        for environments in 1..=all.len() {
            for aggregators in 1..=4 {
                let known: Vec<String> = (0..aggregators).map(|at| format!("a{at}")).collect();
                let candidates: Vec<(&str, &[&str])> =
                    known.iter().map(|name| (name.as_str(), &all[..environments])).collect();
                // From nothing, and from everything at the first one, which the others join.
                let joined: Vec<(&str, &str)> =
                    all[..environments].iter().map(|environment| (*environment, "a0")).collect();
                for leases in [&[][..], &joined[..]] {
                    let counts = settle(table(leases, &candidates));
                    assert_eq!(counts.iter().sum::<usize>(), environments);
                    let most = environments.div_ceil(aggregators);
                    assert!(counts.iter().all(|count| *count <= most), "{counts:?}");
                }
            }
        }
    }

    #[test]
    fn survivors_take_what_a_gone_aggregator_led() {
        let all: &[&str] = &["e0", "e1", "e2", "e3"];
        let counts = settle(table(&[("e0", "a"), ("e1", "b")], &[("a", all), ("b", all)]));
        assert_eq!(counts, [2, 2]);
        assert_eq!(settle(table(&[("e0", "a")], &[("a", all)])), [4]);
    }

    #[test]
    fn environment_that_another_does_not_know_stays() {
        let counts = settle(table(&[], &[("a", &["e0", "e1", "e2"]), ("b", &["e0"])]));
        assert_eq!(counts.iter().sum::<usize>(), 3);
        let led =
            table(&[("e1", "a"), ("e2", "a"), ("e3", "a")], &[("a", &["e1", "e2", "e3"]), ("b", &["e0"])]);
        assert_eq!(LeaseDivision::new("a", &led).surplus(), (Vec::new(), 0));
    }
}
