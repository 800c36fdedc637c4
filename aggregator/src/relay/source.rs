//! Those who pass the states of an environment's hosts on.

use std::collections::BTreeMap;

use rta_shared::name::Name;

use crate::forwarding::LeaderRoute;
use crate::state::host_feed::HostStateFeed;

/// Source of the states of an environment's hosts: its leader, which follows their agents.
#[derive(Clone, Debug)]
pub(crate) enum RelaySource {
    /// This aggregator, with this feed of its term.
    Own(HostStateFeed),
    /// Another aggregator.
    Leader(LeaderRoute),
}

/// Sources by environment. An environment without one is followed by its agents.
pub(crate) type RelaySources = BTreeMap<Name, RelaySource>;

impl RelaySource {
    /// Returns true if both are the same term of this aggregator, or the same other aggregator.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Own(one), Self::Own(other)) => one.is_same(other),
            (Self::Leader(one), Self::Leader(other)) => one.leader() == other.leader(),
            (Self::Own(_), Self::Leader(_)) | (Self::Leader(_), Self::Own(_)) => false,
        }
    }
}

/// Returns true if these are the same sources.
pub(crate) fn are_same_sources(one: &RelaySources, other: &RelaySources) -> bool {
    one.len() == other.len()
        && one.iter().all(|(name, source)| other.get(name).is_some_and(|other| source.is_same(other)))
}
