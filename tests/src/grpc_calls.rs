//! gRPC calls with different credentials, to test authorization.

use std::error::Error as _;
use std::path::Path;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

/// Outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// Answered, possibly with an error about the request.
    Answered,
    /// Caller refused by the server.
    Refused,
    /// Method unknown to the server.
    UnknownMethod,
    /// No connection.
    NoConnection,
}

/// Returns a channel to a Unix socket.
///
/// # Panics
/// Never panics: the address is fixed.
pub fn socket_channel(path: &Path) -> Channel {
    let path = path.to_owned();
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    }))
}

/// Calls the method `path` with an empty message and an optional token, and returns the outcome.
///
/// # Panics
/// Panics if `path` is not a valid path.
pub async fn call_method(channel: &Channel, path: &str, token: Option<&str>) -> CallOutcome {
    let mut calls = Grpc::new(channel.clone());
    if calls.ready().await.is_err() {
        return CallOutcome::NoConnection;
    }
    let mut request = Request::new(());
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse().expect("a token can be sent");
        request.metadata_mut().insert("authorization", bearer);
    }
    let path = PathAndQuery::try_from(path).expect("a method has a path");
    // The response stream is not read.
    match calls.server_streaming(request, path, ProstCodec::<(), ()>::default()).await {
        Ok(_) => CallOutcome::Answered,
        // A status with a source did not come from the server.
        Err(status) if status.source().is_some() => CallOutcome::NoConnection,
        Err(status) => match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => CallOutcome::Refused,
            Code::Unimplemented if status.message().is_empty() => CallOutcome::UnknownMethod,
            _ => CallOutcome::Answered,
        },
    }
}
