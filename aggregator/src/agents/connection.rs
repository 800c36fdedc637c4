//! Connection with an agent.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rta_shared::config::Host;
use rta_shared::proto::v1::agent_service_client::AgentServiceClient;
use rta_shared::timing::CLIENT_PING_INTERVAL;
use rta_shared::tls::{ClientTls, ServerTarget, connect};
use tonic::transport::{Channel, Endpoint};

/// Time limit for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum size of a status. A status is a header, and that of a refused configuration has a line for each
/// problem.
const MAX_STATUS_BYTES: u32 = 256 * 1024;

const NO_CERTIFICATE: &str =
    "it is asked over TLS, and rta-aggregator was started without --tls-cert, --tls-key and --tls-ca";

/// Connection with an agent; clones share it. It is open while somebody holds it, or makes a call: an aggregator that
/// follows a host through another one needs no connection with its agent.
#[derive(Clone, Debug)]
pub(super) struct AgentConnection(Arc<ConnectionState>);

#[derive(Debug)]
struct ConnectionState {
    endpoint: Endpoint,
    security: ConnectionSecurity,
    current: Mutex<Weak<AgentServiceClient<Channel>>>,
}

#[derive(Debug)]
enum ConnectionSecurity {
    Unencrypted,
    Tls(ClientTls, ServerTarget),
    /// The agent is at an https:// address, and this aggregator has no certificate.
    NoCertificate,
}

/// Keeps a connection open until it is dropped.
#[derive(Debug)]
pub(super) struct HeldConnection {
    _client: Arc<AgentServiceClient<Channel>>,
}

impl AgentConnection {
    /// Creates the connection with the agent of `host`, which is opened by the first call. An agent at an https://
    /// address is called with `client_tls`, and has to prove that it is the host or what its address says.
    ///
    /// # Errors
    /// Returns an error if the address is invalid, which a checked configuration excludes.
    pub(super) fn new(host: &Host, client_tls: Option<&ClientTls>) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(host.agent.clone())?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(CLIENT_PING_INTERVAL)
            .keep_alive_timeout(CLIENT_PING_INTERVAL)
            .http2_max_header_list_size(MAX_STATUS_BYTES);
        let target = ServerTarget::new(&host.agent, &[host.name.folded()]);
        let security = match (target.filter(|_| host.agent.starts_with("https://")), client_tls) {
            (None, _) => ConnectionSecurity::Unencrypted,
            (Some(target), Some(client_tls)) => ConnectionSecurity::Tls(client_tls.clone(), target),
            (Some(_), None) => ConnectionSecurity::NoCertificate,
        };
        Ok(Self(Arc::new(ConnectionState { endpoint, security, current: Mutex::default() })))
    }

    /// Returns the client for calls. The connection stays open until they end.
    pub(super) fn client(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::clone(&self.shared_client())
    }

    /// Keeps the connection open for later calls.
    pub(super) fn hold(&self) -> HeldConnection {
        HeldConnection { _client: self.shared_client() }
    }

    fn shared_client(&self) -> Arc<AgentServiceClient<Channel>> {
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.upgrade().unwrap_or_else(|| {
            let client = Arc::new(AgentServiceClient::new(self.open_channel()));
            *current = Arc::downgrade(&client);
            client
        })
    }

    /// Returns a channel that connects at the first call.
    fn open_channel(&self) -> Channel {
        let endpoint = &self.0.endpoint;
        match &self.0.security {
            ConnectionSecurity::Unencrypted => endpoint.connect_lazy(),
            ConnectionSecurity::Tls(client_tls, target) => client_tls.channel(endpoint, target.clone()),
            ConnectionSecurity::NoCertificate => connect::failing_channel(endpoint, NO_CERTIFICATE),
        }
    }
}
