//! Unix sockets for callers on the same host, who are authenticated by peer credentials (`SO_PEERCRED`,
//! unix(7)).
//!
//! | module | holds |
//! |---|---|
//! | [`choice`] | paths that programs serve and clients look for |
//! | [`listener`] | listener: socket file, lock, connections |
//! | [`user`] | user at the other end, and their group membership |

pub mod choice;
pub mod listener;
pub mod user;

pub use choice::{SocketChoice, default_paths};
pub use listener::{LocalConnection, LocalSocket};
pub use user::{LOCAL_GROUP, LocalUser};
