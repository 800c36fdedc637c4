//! Calling gRPC methods as somebody, to see who is answered.

use std::error::Error as _;
use std::path::Path;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

/// How a call was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reception {
    /// It was answered, if only to say what is wrong with it.
    Answered,
    /// The server refused the caller.
    Refused,
    /// The server knows no such method.
    UnknownMethod,
    /// There was no connection.
    NoConnection,
}

/// A channel to a socket.
///
/// # Panics
/// Never: the address is fixed.
pub fn socket_channel(path: &Path) -> Channel {
    let path = path.to_owned();
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    }))
}

/// Calls the method `path` with an empty message and maybe a token, and tells how that is met.
///
/// # Panics
/// Where `path` is none.
pub async fn call_method(channel: &Channel, path: &str, token: Option<&str>) -> Reception {
    let mut calls = Grpc::new(channel.clone());
    if calls.ready().await.is_err() {
        return Reception::NoConnection;
    }
    let mut request = Request::new(());
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").parse().expect("a token can be sent");
        request.metadata_mut().insert("authorization", bearer);
    }
    let path = PathAndQuery::try_from(path).expect("a method has a path");
    // What is streamed is not waited for.
    match calls.server_streaming(request, path, ProstCodec::<(), ()>::default()).await {
        Ok(_) => Reception::Answered,
        // A status that has a source did not come from the server.
        Err(status) if status.source().is_some() => Reception::NoConnection,
        Err(status) => match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Reception::Refused,
            Code::Unimplemented if status.message().is_empty() => Reception::UnknownMethod,
            _ => Reception::Answered,
        },
    }
}
