//! Connections that are encrypted, and whose ends prove by a certificate who they are.
//!
//! | module | holds |
//! |---|---|
//! | [`certificate`] | what a certificate says: names, uses, its end |
//! | [`files`] | certificate, key and CA as files, read anew when they change |
//! | [`verify`] | whom the other end has to be |
//! | [`link`] | one connection, and what it may cost |
//! | [`door`] | the listening end |
//! | [`connect`] | the asking end |
//! | [`trouble`] | what failed, as a sentence |

pub mod certificate;
pub mod connect;
pub mod door;
pub mod files;
pub mod link;
pub mod trouble;
pub mod verify;

pub use certificate::{Certificate, Identity, IdentityKind};
pub use connect::{Asking, Target};
pub use door::{Admission, Door};
pub use files::{TlsFiles, TlsPem, missing_certificate};
pub use link::{Bounds, Link, Peer};
