//! The page's server: HTTP/1.1, by which nobody holds a connection for long without asking for something.

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
use rta_shared::tls::{Bounds, Door};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::web::Secured;

/// A request's head must be there so soon, from the connection's beginning or the last answer's end: later than a
/// proxy gives up a connection that nobody uses (nginx: 60 s), or what it sends just then would be lost.
const HEAD: Duration = Duration::from_secs(75);
/// No request's head is anywhere near as large, in bytes.
const LARGEST_HEAD: usize = 64 * 1024;
/// All live pages, and as many who ask for something at the same time as anybody will. Behind a proxy nearly all are
/// of one address; it leaves some for whoever looks why.
pub(crate) const BOUNDS: Bounds = Bounds { connections: 4096, of_one_address: 3584, silence: None };

/// Serves `pages` to whoever comes by `door`, until `shutdown`; then what is being answered is ended.
pub(crate) async fn serve(listener: TcpListener, door: Door, pages: Router, shutdown: CancellationToken) {
    let mut links = door.links(listener, BOUNDS);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LARGEST_HEAD);
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
        let secured = Secured(link.peer().secured);
        let answer = service_fn(move |mut request: Request<Incoming>| {
            // Whoever presses a button is recorded with their address.
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
