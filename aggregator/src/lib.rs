//! rta's aggregator: follows every agent, concludes what is up and why not, and renders it.
//!
//! | module | holds |
//! |---|---|
//! | `knowledge` | what was heard of one host |
//! | `conclusion` | from reports to health: the rules |
//! | [`target`] | from a person's words to an instance |
//! | `fleet` | the agents: one task follows each |
//! | `hub` | the one owner of what is known; publishes the overview |
//! | [`operations`] | what the page and the gRPC service can ask |
//! | `service` | the gRPC service |
//! | [`web`] | the page |
//! | `serve` | both servers together |

mod conclusion;
mod fleet;
mod hub;
mod knowledge;
pub mod operations;
mod serve;
mod service;
pub mod target;
pub mod web;

pub use serve::serve;
