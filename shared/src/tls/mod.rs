//! Encrypted connections, authenticated by certificates.
//!
//! | module | holds |
//! |---|---|
//! | [`certificate`] | content of certificates: names, uses, expiry |
//! | [`files`] | certificate, key and CA in files, re-read when they change |
//! | [`verify`] | verification of the other end |
//! | [`link`] | one connection, and its limits |
//! | [`door`] | server side |
//! | [`connect`] | client side |
//! | [`trouble`] | TLS errors as sentences |

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
