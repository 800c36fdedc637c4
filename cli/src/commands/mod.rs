//! Subcommands of `rta`, except those that execute plans or have a screen or prompt of their own.
//!
//! | module | holds |
//! |---|---|
//! | `completions` | shell completion |
//! | `config_check` | `rta config check` |
//! | `demo` | `rta demo` |
//! | `discover` | `rta discover` |
//! | `event_follower` | `rta events --follow` |
//! | `events` | `rta events` |
//! | `explain` | `rta explain` |
//! | `incidents` | `rta incidents` |
//! | `learn` | `rta learn` |
//! | `list` | `rta list` |
//! | `local` | `rta local` |
//! | `logs` | `rta logs` |
//! | `maintenance` | `rta maintenance` |
//! | `notify` | `rta notify` |
//! | `pki` | `rta pki` |
//! | `remote` | dispatch of the commands that the aggregator answers; `status`, `check`, reload |
//! | `user` | `rta user` |
//! | `what_if` | `rta what-if` |

pub(crate) mod completions;
pub(crate) mod config_check;
#[cfg(feature = "standalone")]
pub(crate) mod demo;
#[cfg(feature = "standalone")]
pub(crate) mod discover;
pub(crate) mod event_follower;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod incidents;
#[cfg(feature = "standalone")]
pub(crate) mod learn;
pub(crate) mod list;
#[cfg(feature = "standalone")]
pub(crate) mod local;
pub(crate) mod logs;
pub(crate) mod maintenance;
pub(crate) mod notify;
pub(crate) mod pki;
pub(crate) mod remote;
#[cfg(feature = "standalone")]
pub(crate) mod store;
#[cfg(feature = "standalone")]
pub(crate) mod user;
pub(crate) mod what_if;
