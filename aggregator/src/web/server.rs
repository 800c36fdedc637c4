//! Server of the page: HTTP/1.1 with limits on idle connections.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rta_shared::tls::{ConnectionAcceptor, ConnectionLimits};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::web::SecureConnection;
use crate::web::middleware::head_limits::{MAX_HEADER_BYTES, MAX_HEADERS};

/// Time limit for the head of a request, from the start of the connection or the end of the last answer. It
/// is longer than a proxy keeps an unused connection (nginx: 60 s), or a request that is sent just then would
/// be lost.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// Limits of connections: all live pages, and more concurrent requests than are expected. Behind a proxy
/// nearly all come from one address; the limit for one address leaves some for a direct diagnosis.
pub(crate) const CONNECTION_LIMITS: ConnectionLimits =
    ConnectionLimits { connections: 4096, of_one_address: 3584, silence: None };

/// Serves `pages` on `listener` until `shutdown`, then ends the open answers.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: ConnectionAcceptor,
    pages: Router,
    shutdown: CancellationToken,
) {
    let mut links = acceptor.accept_connections(listener, CONNECTION_LIMITS);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    // What hyper refuses has no sentence.
    http.max_buf_size(2 * MAX_HEADER_BYTES).max_headers(2 * MAX_HEADERS);
    let open = GracefulShutdown::new();
    loop {
        let link = tokio::select! {
            () = shutdown.cancelled() => break,
            link = links.next() => link,
        };
        let link = match link {
            Some(Ok(link)) => link,
            Some(Err(error)) => {
                tracing::warn!(%error, "a connection to the page failed");
                continue;
            }
            None => break,
        };
        let (pages, from) = (pages.clone(), ConnectInfo(link.peer().address));
        let secured = SecureConnection(link.peer().secured);
        let answer = service_fn(move |mut request: Request<Incoming>| {
            // Actions are recorded with the client's address.
            request.extensions_mut().insert(from);
            request.extensions_mut().insert(secured);
            pages.clone().oneshot(request.map(Body::new))
        });
        let connection = open.watch(http.serve_connection(TokioIo::new(link), answer));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the page ended badly");
            }
        });
    }
    drop(links);
    open.shutdown().await;
}
