//! Fair queue of sign-ins: networks take turns, and within a network accounts.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::auth::rate_limit::SignInOrigin;

/// Maximum number of attempts that wait on one account from one network.
const MAX_PER_ACCOUNT: usize = 256;
/// Maximum number of attempts that wait in total.
const MAX_WAITING: usize = 1024;

/// Attempts that wait to be checked. If there are too many, one is evicted from the largest group, so that a
/// client with one attempt is not locked out by a client with a thousand.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    networks: VecDeque<NetworkQueue>,
    waiting: usize,
    last_id: u64,
}

#[derive(Debug)]
struct NetworkQueue {
    address: IpAddr,
    lanes: VecDeque<AccountQueue>,
}

#[derive(Debug)]
struct AccountQueue {
    origin: SignInOrigin,
    /// IDs in order of arrival.
    waiting: VecDeque<u64>,
}

impl NetworkQueue {
    fn waiting(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len()).sum()
    }
}

impl FairQueue {
    /// Adds an attempt. Returns its ID, and that of an attempt that is evicted for it.
    pub(crate) fn push(&mut self, origin: &SignInOrigin) -> (u64, Option<u64>) {
        self.last_id += 1;
        let id = self.last_id;
        let address = origin.network();
        let at = self.networks.iter().position(|network| network.address == address).unwrap_or_else(|| {
            self.networks.push_back(NetworkQueue { address, lanes: VecDeque::new() });
            self.networks.len() - 1
        });
        let lanes = &mut self.networks[at].lanes;
        let lane = lanes.iter().position(|lane| lane.origin == *origin).unwrap_or_else(|| {
            lanes.push_back(AccountQueue { origin: origin.clone(), waiting: VecDeque::new() });
            lanes.len() - 1
        });
        let lane = &mut lanes[lane].waiting;
        lane.push_back(id);
        self.waiting += 1;
        let evicted = match lane.len() > MAX_PER_ACCOUNT {
            true => lane.front().copied(),
            false if self.waiting > MAX_WAITING => self.most_numerous(),
            false => None,
        };
        if let Some(evicted) = evicted {
            self.remove(evicted);
        }
        (id, evicted)
    }

    /// Removes and returns the next attempt for which `is_due` returns true. `is_due` receives the origin and
    /// the number of attempts that wait with it.
    pub(crate) fn next(
        &mut self,
        is_due: impl Fn(&SignInOrigin, usize) -> bool,
    ) -> Option<(u64, SignInOrigin)> {
        let is_due = |lane: &AccountQueue| is_due(&lane.origin, lane.waiting.len());
        let (network, lane) = self
            .networks
            .iter()
            .enumerate()
            .find_map(|(at, network)| network.lanes.iter().position(is_due).map(|lane| (at, lane)))?;
        // The network and the account that had a turn come last.
        let mut network = self.networks.remove(network)?;
        let mut lane = network.lanes.remove(lane)?;
        let id = lane.waiting.pop_front()?;
        self.waiting -= 1;
        let origin = lane.origin.clone();
        if !lane.waiting.is_empty() {
            network.lanes.push_back(lane);
        }
        if !network.lanes.is_empty() {
            self.networks.push_back(network);
        }
        Some((id, origin))
    }

    /// Removes an attempt if it waits.
    pub(crate) fn remove(&mut self, id: u64) {
        for network in &mut self.networks {
            for lane in &mut network.lanes {
                if let Some(at) = lane.waiting.iter().position(|waiting| *waiting == id) {
                    lane.waiting.remove(at);
                    self.waiting -= 1;
                }
            }
            network.lanes.retain(|lane| !lane.waiting.is_empty());
        }
        self.networks.retain(|network| !network.lanes.is_empty());
    }

    /// Returns the origins that wait, each with the number of its attempts.
    pub(crate) fn origins(&self) -> impl Iterator<Item = (&SignInOrigin, usize)> {
        let lanes = self.networks.iter().flat_map(|network| &network.lanes);
        lanes.map(|lane| (&lane.origin, lane.waiting.len()))
    }

    fn most_numerous(&self) -> Option<u64> {
        let network = self.networks.iter().max_by_key(|network| network.waiting())?;
        network.lanes.iter().max_by_key(|lane| lane.waiting.len())?.waiting.front().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(account: &str, host: u8) -> SignInOrigin {
        SignInOrigin::new(IpAddr::from([10, 0, 0, host]), Some(account))
    }

    fn push(queue: &mut FairQueue, account: &str, host: u8) -> u64 {
        queue.push(&from(account, host)).0
    }

    fn drain(queue: &mut FairQueue) -> Vec<u64> {
        std::iter::from_fn(|| queue.next(|_, _| true)).map(|(id, _)| id).collect()
    }

    #[test]
    fn networks_and_their_accounts_take_turns() {
        let mut queue = FairQueue::default();
        let flood: Vec<u64> = (0..4).map(|_| push(&mut queue, "ann", 1)).collect();
        let bob = push(&mut queue, "bob", 1);
        let elsewhere = push(&mut queue, "ann", 2);
        assert_eq!(drain(&mut queue), [flood[0], elsewhere, bob, flood[1], flood[2], flood[3]]);
        assert_eq!((queue.waiting, queue.networks.len()), (0, 0));
    }

    #[test]
    fn what_is_not_due_holds_up_nobody() {
        let mut queue = FairQueue::default();
        push(&mut queue, "ann", 1);
        let bob = push(&mut queue, "bob", 1);
        let due = |origin: &SignInOrigin, _| *origin != from("ann", 1);
        assert_eq!(queue.next(due), Some((bob, from("bob", 1))));
        assert_eq!(queue.next(due), None);
        assert_eq!(queue.origins().count(), 1);
    }

    #[test]
    fn the_most_numerous_leave_when_there_are_too_many() {
        let mut queue = FairQueue::default();
        let right = push(&mut queue, "bob", 1);
        let flood: Vec<(u64, Option<u64>)> =
            (0..MAX_PER_ACCOUNT + 2).map(|_| queue.push(&from("ann", 1))).collect();
        assert_eq!(flood[MAX_PER_ACCOUNT - 1].1, None);
        assert_eq!(flood[MAX_PER_ACCOUNT].1, Some(flood[0].0));
        assert_eq!(flood[MAX_PER_ACCOUNT + 1].1, Some(flood[1].0));
        // Many accounts from one network, until the queue is full.
        let mut evicted = Vec::new();
        for account in 0..2 * MAX_WAITING {
            evicted.extend(queue.push(&from(&(account / 3).to_string(), 3)).1);
        }
        assert_eq!(queue.waiting, MAX_WAITING);
        assert!(evicted.len() > MAX_WAITING / 2 && !evicted.contains(&right));
        let single = push(&mut queue, "cid", 2);
        let next: Vec<u64> = drain(&mut queue).into_iter().take(3).collect();
        assert!(next.contains(&right) && next.contains(&single), "{next:?}");
    }

    #[test]
    fn one_that_gave_up_leaves_no_trace() {
        let mut queue = FairQueue::default();
        let (ann, bob) = (push(&mut queue, "ann", 1), push(&mut queue, "bob", 1));
        queue.remove(ann);
        queue.remove(ann);
        assert_eq!((queue.waiting, drain(&mut queue)), (1, vec![bob]));
        assert!(queue.networks.is_empty());
    }
}
