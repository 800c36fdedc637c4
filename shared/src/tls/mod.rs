//! Encrypted connections, authenticated by certificates.
//!
//! | module | holds |
//! |---|---|
//! | [`certificate`] | content of certificates: names, uses, expiry |
//! | [`files`] | certificate, key and CA in files, re-read when they change |
//! | [`verify`] | verification of the other end |
//! | [`connection`] | one connection, and its limits |
//! | [`acceptor`] | server side |
//! | [`connect`] | client side |
//! | [`server_check`] | client side, for servers that are not rta's own |
//! | [`error_text`] | TLS errors as sentences |

pub mod acceptor;
pub mod certificate;
pub mod connect;
pub mod connection;
pub mod error_text;
pub mod files;
pub mod server_check;
pub mod verify;

pub use acceptor::{ClientPolicy, ConnectionAcceptor};
pub use certificate::{Certificate, CertificateIdentity, IdentityKind};
pub use connect::{ClientTls, ServerTarget};
pub use connection::{ConnectionLimits, PeerInfo, TcpConnection};
pub use files::{TlsFiles, TlsPem, missing_certificate};
