//! Connection with an agent.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rta_shared::config::Host;
use rta_shared::proto::v1::agent_service_client::AgentServiceClient;
use rta_shared::tls::{ClientTls, ServerTarget};
use tonic::codegen::http::uri::InvalidUri;

use crate::agents::transport::{AgentEndpoint, AgentTransport, Connector, TransportState};

const NO_CERTIFICATE: &str =
    "it is asked over TLS, and rta-aggregator was started without --tls-cert, --tls-key and --tls-ca";

/// Connection with an agent; clones share it. It is open while somebody holds it, or makes a call: an aggregator that
/// follows a host through another one needs no connection with its agent.
#[derive(Clone, Debug)]
pub(super) struct AgentConnection(Arc<ConnectionState>);

#[derive(Debug)]
struct ConnectionState {
    endpoint: Arc<AgentEndpoint>,
    current: Mutex<Weak<TransportState>>,
}

/// Keeps a connection open until it is dropped.
#[derive(Debug)]
pub(super) struct HeldConnection {
    _transport: AgentTransport,
}

impl AgentConnection {
    /// Creates the connection with the agent of `host`, which is opened by the first call. An agent at an https://
    /// address is called with `client_tls`, and has to prove that it is the host or what its address says.
    ///
    /// # Errors
    /// Returns an error if the address is invalid, which a checked configuration excludes.
    pub(super) fn new(host: &Host, client_tls: Option<&ClientTls>) -> Result<Self, InvalidUri> {
        let address = host.agent.parse()?;
        let target = ServerTarget::new(&host.agent, &[host.name.folded()]);
        let connector = match (target.filter(|_| host.agent.starts_with("https://")), client_tls) {
            (None, _) => Connector::Unencrypted,
            (Some(target), Some(client_tls)) => Connector::Tls(client_tls.clone(), target),
            (Some(_), None) => Connector::Unavailable(NO_CERTIFICATE),
        };
        let endpoint = Arc::new(AgentEndpoint { address, connector });
        Ok(Self(Arc::new(ConnectionState { endpoint, current: Mutex::default() })))
    }

    /// Returns the client for calls. The connection stays open until they end.
    pub(super) fn client(&self) -> AgentServiceClient<AgentTransport> {
        AgentServiceClient::with_origin(self.transport(), self.0.endpoint.address.clone())
    }

    /// Keeps the connection open for later calls.
    pub(super) fn hold(&self) -> HeldConnection {
        HeldConnection { _transport: self.transport() }
    }

    fn transport(&self) -> AgentTransport {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        AgentTransport::from(current.upgrade().unwrap_or_else(|| {
            let state = Arc::new(TransportState::new(Arc::clone(&self.0.endpoint)));
            *current = Arc::downgrade(&state);
            state
        }))
    }
}
