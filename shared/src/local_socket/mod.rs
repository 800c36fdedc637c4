//! Unix sockets for callers on the same host, who are known by their user (`SO_PEERCRED`, unix(7)).
//!
//! | module | holds |
//! |---|---|
//! | [`choice`] | which path a program serves, and where a caller looks |
//! | [`listener`] | the socket itself: its file, its lock, its connections |
//! | [`user`] | the user at the other end, and whether they may act |

pub mod choice;
pub mod listener;
pub mod user;

pub use choice::{SocketChoice, default_paths};
pub use listener::{LocalConnection, LocalSocket};
pub use user::{LOCAL_GROUP, LocalUser};
