//! Forwarding: an aggregator that follows passes what changes something on to the leader, on behalf of the person who
//! asked for it.
//!
//! The person was authenticated here. The leader records the name that it is told only if another aggregator tells
//! it: over TLS one with an aggregator's certificate, on the local socket the same user.
//!
//! | module | holds |
//! |---|---|
//! | `leader_client` | connections with the leader |
//! | `on_behalf_of` | the header that names the person |

mod leader_client;
mod on_behalf_of;

pub(crate) use leader_client::{LeaderClient, LeaderRoute};
pub(crate) use on_behalf_of::{InvalidRequester, read_requester, write_requester};
