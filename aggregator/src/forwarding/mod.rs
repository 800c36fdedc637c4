//! Forwarding: an aggregator passes what changes something on to the leader of the environment, on behalf of
//! the person who asked for it.
//!
//! The person was authenticated here. The leader records a name that another aggregator alone may give: over
//! TLS one with an aggregator's certificate, on the local socket the same user.
//!
//! | module | holds |
//! |---|---|
//! | `leader_client` | connections with the leaders |
//! | `on_behalf_of` | the header that names the person |

mod leader_client;
mod on_behalf_of;

pub(crate) use leader_client::{LeaderClient, LeaderRoute};
#[cfg(test)]
pub(crate) use on_behalf_of::write_requester;
pub(crate) use on_behalf_of::{InvalidRequester, read_requester};
