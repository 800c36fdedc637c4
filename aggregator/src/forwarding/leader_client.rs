//! Connections with the aggregators that lead.

use std::collections::HashMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rta_shared::action::Requester;
use rta_shared::error_source::{deepest_source, is_unconnected};
use rta_shared::proto::v1::aggregator_service_client::AggregatorServiceClient;
use rta_shared::timing::CLIENT_PING_INTERVAL;
use rta_shared::tls::{ClientTls, ServerTarget, connect};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};

use super::on_behalf_of::write_requester;
use crate::operation_error::OperationError;

/// Time limit for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum size of an answer: plans of thousands of steps are large.
const MAX_ANSWER_BYTES: usize = 64 << 20;
/// Maximum number of connections that are kept.
const MAX_CHANNELS: usize = 100;
const NO_CERTIFICATE: &str =
    "it is asked over TLS, and this rta-aggregator was started without --tls-cert, --tls-key and --tls-ca";

/// Client of the other aggregators; clones share its connections.
#[derive(Clone, Debug)]
pub(crate) struct LeaderClient(Arc<ClientState>);

#[derive(Debug)]
struct ClientState {
    tls: Option<ClientTls>,
    /// Names that a leader's certificate may have beside that of its address.
    names: Vec<String>,
    /// Channels, by the addresses of the leaders.
    channels: Mutex<HashMap<String, Channel>>,
}

/// Leader to which calls are passed on.
#[derive(Clone, Debug)]
pub(crate) struct LeaderRoute {
    /// Leader, as people read it.
    leader: String,
    channel: Channel,
}

impl LeaderClient {
    /// Creates the client. A leader at an https:// address is called with `tls`, and has to prove that it is
    /// the host of its address, or one of `names`.
    pub(crate) fn new(tls: Option<ClientTls>, names: Vec<String>) -> Self {
        Self(Arc::new(ClientState { tls, names, channels: Mutex::default() }))
    }

    /// Returns the way to the aggregator at this address; `leader` is its name for people. `None`: the
    /// address is invalid.
    pub(crate) fn route(&self, address: &str, leader: String) -> Option<LeaderRoute> {
        let mut channels = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(address) {
            Some(channel) => channel.clone(),
            None => {
                let channel = new_channel(address, self.0.tls.as_ref(), &self.0.names)?;
                if channels.len() >= MAX_CHANNELS {
                    channels.clear();
                }
                channels.insert(address.to_owned(), channel.clone());
                channel
            }
        };
        Some(LeaderRoute { leader, channel })
    }
}

impl LeaderRoute {
    /// Returns the leader, as people read it.
    pub(crate) fn leader(&self) -> &str {
        &self.leader
    }

    /// Returns the client for single calls.
    pub(crate) fn client(&self) -> AggregatorServiceClient<Channel> {
        AggregatorServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// Creates a request on behalf of `by`.
    pub(crate) fn request<T>(&self, message: T, by: &Requester) -> Request<T> {
        let mut request = Request::new(message);
        let mut headers = std::mem::take(request.metadata_mut()).into_headers();
        write_requester(&mut headers, by);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(headers);
        request
    }

    /// Returns the leader's refusal, or a sentence that says that it did not answer; its code is UNKNOWN if
    /// the leader may have done what it was asked for.
    pub(crate) fn describe_failure(&self, status: &Status) -> OperationError {
        match status.source() {
            // The leader itself has answered.
            None => OperationError::new(status.code(), status.message()),
            Some(source) if is_unconnected(status) => {
                let message = format!(
                    "nothing was done: the aggregator at {} leads, and cannot be reached from here: {}; try again in some \
                     seconds, another one takes over if it has ended",
                    self.leader,
                    deepest_source(source)
                );
                OperationError::new(Code::Unavailable, message)
            }
            Some(source) => self.unknown_outcome(source),
        }
    }

    /// Returns the error of a call that the leader may have carried out, and did not answer.
    pub(crate) fn unknown_outcome(&self, failure: &(dyn Error + 'static)) -> OperationError {
        let message = format!(
            "the aggregator at {} leads, and did not answer: {}; rta events shows whether it was done",
            self.leader,
            deepest_source(failure)
        );
        OperationError::new(Code::Unknown, message)
    }
}

/// Returns a channel that connects at the first call; `None` if the address is invalid.
fn new_channel(address: &str, tls: Option<&ClientTls>, names: &[String]) -> Option<Channel> {
    let socket = address.strip_prefix("unix:").map(PathBuf::from);
    let url = if socket.is_some() { "http://localhost" } else { address };
    let endpoint = Endpoint::from_shared(url.to_owned()).ok()?;
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(CLIENT_PING_INTERVAL)
        .keep_alive_timeout(CLIENT_PING_INTERVAL);
    if let Some(socket) = socket {
        return Some(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        })));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if !address.starts_with("https://") {
        return Some(endpoint.connect_lazy());
    }
    Some(match tls {
        Some(tls) => tls.channel(&endpoint, ServerTarget::new(address, &names)?),
        None => connect::failing_channel(&endpoint, NO_CERTIFICATE),
    })
}
