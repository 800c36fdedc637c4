//! TLS configuration of the aggregator's servers and of its agent client.

use std::path::PathBuf;

use rta_shared::tls::{ClientTls, ConnectionAcceptor};

/// TLS configuration of the aggregator.
#[derive(Clone, Debug)]
pub struct TlsConfigs {
    /// Server of the page.
    pub web: ConnectionAcceptor,
    /// Server of the rta command.
    pub grpc: ConnectionAcceptor,
    /// File of the CA, which is checked for expiry.
    pub ca: Option<PathBuf>,
    /// Client of agents at https:// addresses; `None`: they are not called.
    pub agents: Option<ClientTls>,
}

impl TlsConfigs {
    /// Creates a configuration without TLS.
    pub fn without_tls() -> Self {
        Self {
            web: ConnectionAcceptor::plaintext(),
            grpc: ConnectionAcceptor::plaintext(),
            ca: None,
            agents: None,
        }
    }
}
