//! HTTP/2 connection with an agent, over which gRPC calls go.
//!
//! The channel of tonic has a task, a queue and layers of services besides; with thousands of agents these would take
//! a tenth of the aggregator's memory.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rta_shared::timing::CLIENT_PING_INTERVAL;
use rta_shared::tls::{ClientTls, ServerTarget};
use tokio::sync::watch;
use tonic::ConnectError;
use tonic::body::Body;
use tonic::codegen::StdError;
use tonic::codegen::http::{Request, Response, Uri};
use tower::{Service, ServiceExt as _};

/// Time limit for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum size of a status. A status is a header, and that of a refused configuration has a line for each
/// problem.
const MAX_STATUS_BYTES: u32 = 256 * 1024;

/// Address of an agent, and the way to connect with it.
#[derive(Debug)]
pub(super) struct AgentEndpoint {
    pub(super) address: Uri,
    pub(super) connector: Connector,
}

/// Way to connect with an agent.
#[derive(Debug)]
pub(super) enum Connector {
    /// In clear text.
    Unencrypted,
    /// Over TLS, with a server that proves to be this one.
    Tls(ClientTls, ServerTarget),
    /// Not at all, for this reason.
    Unavailable(&'static str),
}

/// Connection with an agent; clones share it. A call opens it, unless it is open.
#[derive(Clone, Debug)]
pub(super) struct AgentTransport(Arc<TransportState>);

/// State of the connection that clones of an [`AgentTransport`] share.
#[derive(Debug)]
pub(super) struct TransportState {
    endpoint: Arc<AgentEndpoint>,
    last_attempt: Mutex<Option<Attempt>>,
}

/// Attempt to connect, with its result once it has ended. It goes on if the call that began it is given up: others may
/// wait for it.
type Attempt = watch::Receiver<Option<Result<SendRequest<Body>, ConnectFailure>>>;

/// Reason why there is no connection, which all calls that waited for it get.
#[derive(Clone, Debug)]
struct ConnectFailure(Arc<StdError>);

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")
    }
}

impl Error for ConnectFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.0)
    }
}

impl From<Arc<TransportState>> for AgentTransport {
    fn from(state: Arc<TransportState>) -> Self {
        Self(state)
    }
}

impl Service<Request<Body>> for AgentTransport {
    type Response = Response<Incoming>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, StdError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let state = Arc::clone(&self.0);
        Box::pin(async move { state.send(request).await })
    }
}

impl TransportState {
    /// Creates the state of a transport to an agent, without a connection.
    pub(super) fn new(endpoint: Arc<AgentEndpoint>) -> Self {
        Self { endpoint, last_attempt: Mutex::default() }
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, StdError> {
        let mut sender = self.connected().await?;
        let mut failed = match sender.try_send_request(request).await {
            Ok(response) => return Ok(response),
            Err(failed) => failed,
        };
        // A connection that has just ended gives back what it has not sent.
        match failed.take_message() {
            Some(request) => Ok(self.connected().await?.send_request(request).await?),
            None => Err(failed.into_error().into()),
        }
    }

    /// Returns the sender of the open connection; connects if there is none. Calls that wait for the same attempt get
    /// the same result, but a failure counts only if the attempt began after the call.
    async fn connected(&self) -> Result<SendRequest<Body>, ConnectError> {
        let (attempt, is_earlier) = self.attempt();
        let result = match result_of(attempt).await {
            Err(_) if is_earlier => result_of(self.attempt().0).await,
            result => result,
        };
        result.map_err(|failure| ConnectError(Box::new(failure)))
    }

    /// Returns the attempt that leads to a connection, and true if it began earlier; begins one if the last one has
    /// failed or its connection has ended.
    fn attempt(&self) -> (Attempt, bool) {
        let mut last = self.last_attempt.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(attempt) = &*last
            && is_hopeful(attempt)
        {
            return (attempt.clone(), true);
        }
        let (sender, attempt) = watch::channel(None);
        let endpoint = Arc::clone(&self.endpoint);
        tokio::spawn(async move {
            let opened = endpoint.connect().await.map_err(|error| ConnectFailure(Arc::new(error)));
            // Nobody may wait any more.
            let _ = sender.send(Some(opened));
        });
        *last = Some(attempt.clone());
        (attempt, false)
    }
}

/// Returns true if an attempt has not ended, or its connection is open.
fn is_hopeful(attempt: &Attempt) -> bool {
    match &*attempt.borrow() {
        Some(Ok(sender)) => !sender.is_closed(),
        Some(Err(_)) => false,
        // Its task ends without a result only if it panics.
        None => attempt.has_changed().is_ok(),
    }
}

async fn result_of(mut attempt: Attempt) -> Result<SendRequest<Body>, ConnectFailure> {
    match attempt.wait_for(Option::is_some).await.ok().and_then(|result| result.clone()) {
        Some(result) => result,
        None => Err(ConnectFailure(Arc::new("the attempt to connect failed in itself".into()))),
    }
}

impl AgentEndpoint {
    async fn connect(&self) -> Result<SendRequest<Body>, StdError> {
        match &self.connector {
            Connector::Unencrypted => {
                let mut connector = HttpConnector::new();
                // All addresses of a name share it; the answer of the name server may take longer.
                connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
                connector.set_nodelay(true);
                begin_http2(connector.oneshot(self.address.clone()).await?).await
            }
            Connector::Tls(tls, target) => {
                begin_http2(TokioIo::new(tls.connect_within(target, CONNECT_TIMEOUT).await?)).await
            }
            Connector::Unavailable(reason) => Err((*reason).into()),
        }
    }
}

/// Begins HTTP/2 on a connection, which stays open while it has a sender or a call.
async fn begin_http2<C>(connection: C) -> Result<SendRequest<Body>, StdError>
where
    C: Read + Write + Unpin + Send + 'static,
{
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(CLIENT_PING_INTERVAL)
        .keep_alive_timeout(CLIENT_PING_INTERVAL)
        .max_header_list_size(MAX_STATUS_BYTES)
        .handshake(connection)
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            // The calls that it carried fail with the reason.
            tracing::debug!(%error, "the connection with an agent ended");
        }
    });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures::FutureExt as _;
    use http_body_util::StreamBody;
    use hyper::body::{Body as _, Frame};
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use rta_shared::error_source::{deepest_source, is_unconnected};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;
    use tokio_util::sync::CancellationToken;
    use tonic::Status;

    use super::*;

    fn new_transport(address: &str, connector: Connector) -> AgentTransport {
        let endpoint = AgentEndpoint { address: address.parse().unwrap(), connector };
        Arc::new(TransportState::new(endpoint.into())).into()
    }

    fn transport(listener: &TcpListener) -> AgentTransport {
        new_transport(&format!("http://{}", listener.local_addr().unwrap()), Connector::Unencrypted)
    }

    /// Accepts one connection, and answers its requests.
    async fn serve_one(listener: &TcpListener) -> JoinHandle<()> {
        let (connection, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let answer = service_fn(|_| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
            let server = http2::Builder::new(TokioExecutor::new());
            // The test ends it.
            let _ = server.serve_connection(TokioIo::new(connection), answer).await;
        })
    }

    async fn call(transport: &AgentTransport) -> Result<Response<Incoming>, StdError> {
        let request =
            Request::builder().uri(transport.0.endpoint.address.clone()).body(Body::empty()).unwrap();
        transport.clone().oneshot(request).await
    }

    #[tokio::test]
    async fn calls_share_a_connection_until_it_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let transport = transport(&listener);
        let (one, other, server) = tokio::join!(call(&transport), call(&transport), serve_one(&listener));
        assert!(one.is_ok() && other.is_ok());
        server.abort();
        // Its end is noticed when it arrives.
        while transport.0.last_attempt.lock().unwrap().as_ref().is_some_and(is_hopeful) {
            tokio::task::yield_now().await;
        }
        let (again, _server) = tokio::join!(call(&transport), serve_one(&listener));
        assert!(again.is_ok());
    }

    #[tokio::test]
    async fn request_that_an_ending_connection_gives_back_goes_over_a_new_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let transport = transport(&listener);
        let ending = CancellationToken::new();
        let server = async {
            let (connection, _) = listener.accept().await.unwrap();
            let endless = service_fn(|_| async {
                let frames = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
                Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
            });
            let server = http2::Builder::new(TokioExecutor::new());
            let mut server = std::pin::pin!(server.serve_connection(TokioIo::new(connection), endless));
            tokio::select! {
                _ = server.as_mut() => {}
                () = ending.cancelled() => server.as_mut().graceful_shutdown(),
            }
            // It goes on with the calls that it has, and soon takes no more.
            let next = async {
                let _server = serve_one(&listener).await;
                std::future::pending::<()>().await
            };
            let _ = tokio::join!(server, next);
        };
        let calls = async {
            let streaming = call(&transport).await.unwrap();
            ending.cancel();
            // No call fails on the way to the next server, whose answers have no content.
            while !call(&transport).await.unwrap().body().is_end_stream() {
                tokio::task::yield_now().await;
            }
            drop(streaming);
        };
        tokio::select! {
            () = server => unreachable!("it serves until the test ends"),
            () = calls => {}
        }
    }

    #[tokio::test]
    async fn calls_share_an_attempt_and_a_later_call_makes_another() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let transport = transport(&listener);
        // Nobody listens any more.
        drop(listener);
        let (attempt, _) = transport.0.attempt();
        assert!(transport.0.attempt().0.same_channel(&attempt));
        let failed = result_of(attempt.clone()).await.unwrap_err();
        assert!(!transport.0.attempt().0.same_channel(&attempt), "{failed}");
        let error = call(&transport).await.unwrap_err();
        assert!(error.is::<ConnectError>() && is_unconnected(&Status::from_error(error)));
    }

    #[tokio::test]
    async fn attempt_goes_on_without_the_call_that_began_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let transport = transport(&listener);
        // A first poll begins the attempt.
        assert!(call(&transport).now_or_never().is_none());
        let (answer, _server) = tokio::join!(call(&transport), serve_one(&listener));
        assert!(answer.is_ok());
        // There is no second connection.
        assert!(listener.accept().now_or_never().is_none());
    }

    #[tokio::test]
    async fn call_without_a_certificate_is_not_sent_and_says_so() {
        let transport = new_transport("https://h:1", Connector::Unavailable("no certificate"));
        let error = Status::from_error(call(&transport).await.unwrap_err());
        assert!(is_unconnected(&error));
        assert_eq!(deepest_source(&error).to_string(), "no certificate");
    }
}
