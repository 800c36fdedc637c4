//! HTTP server of the agent's metrics, on a listener of its own.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, VARY};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rta_shared::metrics::{ExpositionFormat, encode_families};
use rta_shared::name::Name;
use rta_shared::tls::{ConnectionAcceptor, ConnectionLimits};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;

use super::{HostFigures, TABLES};
use crate::state::AgentState;

/// Time limit for the head of a request, from the start of the connection or the end of the last answer:
/// longer than Prometheus waits between two scrapes by default.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// Maximum size of a request's head, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Limits of connections. One client needs one; an idle one waits for its next scrape.
const CONNECTION_LIMITS: ConnectionLimits =
    ConnectionLimits { connections: 64, of_one_address: 48, silence: None };

/// Listener of the metrics, and who may connect.
#[derive(Debug)]
pub struct MetricsListener {
    /// Bound listener.
    pub listener: TcpListener,
    /// TLS settings.
    pub acceptor: ConnectionAcceptor,
    /// True if clients need a certificate of the CA.
    pub needs_certificate: bool,
}

/// Serves the metrics of the host until it is dropped.
pub(crate) async fn serve(metrics: MetricsListener, state: AgentState) {
    let MetricsListener { listener, acceptor, needs_certificate } = metrics;
    let mut connections = acceptor.accept_connections(listener, CONNECTION_LIMITS);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEADER_BYTES);
    while let Some(connection) = connections.next().await {
        let connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "a connection to the metrics failed");
                continue;
            }
        };
        let is_admitted = !needs_certificate || connection.peer().identity.is_some();
        let state = state.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let state = state.clone();
            async move {
                let refused = check_request(&request, is_admitted, &state.config().host);
                Ok::<_, Infallible>(match refused {
                    Some(refusal) => refusal,
                    None => write_metrics(&state, &request).await,
                })
            }
        });
        let serving = http.serve_connection(TokioIo::new(connection), answer);
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%error, "a connection to the metrics ended badly");
            }
        });
    }
}

/// Returns the refusal of a request that is none for metrics.
fn check_request<B>(request: &Request<B>, is_admitted: bool, host: &Name) -> Option<Response<Full<Bytes>>> {
    if !is_admitted {
        let message = "The metrics need a client certificate of the CA.\n";
        return Some(text_response(StatusCode::UNAUTHORIZED, message));
    }
    let named = request.headers().get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_own_name(named, host) {
        // A page of another name, which resolves to this address, must not read them in a browser.
        let message = "This is not the host that the request names.\n";
        return Some(text_response(StatusCode::FORBIDDEN, message));
    }
    if request.uri().path() != "/metrics" {
        return Some(text_response(StatusCode::NOT_FOUND, "The metrics are at /metrics.\n"));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = text_response(StatusCode::METHOD_NOT_ALLOWED, "Metrics are only read.\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(refusal);
    }
    None
}

/// Returns true if a `Host` header is an address, `localhost`, or the host's name with or without its domain.
fn is_own_name(named: &str, host: &Name) -> bool {
    let name = match named.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => named,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return true;
    }
    let (name, host) = (name.to_ascii_lowercase(), host.folded());
    name == "localhost" || name == host || name.strip_prefix(host).is_some_and(|rest| rest.starts_with('.'))
}

async fn write_metrics(state: &AgentState, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let accept = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = ExpositionFormat::from_accept(&accept.collect::<Vec<_>>().join(","));
    let figures = HostFigures {
        config: state.config(),
        report: state.reports().borrow().clone(),
        usage: state.usage().borrow().clone(),
    };
    // With thousands of components this takes a while.
    let written = tokio::task::spawn_blocking(move || encode_families(figures, TABLES, format)).await;
    let Ok(Ok(text)) = written else {
        tracing::error!("metrics failed: a value cannot be written");
        return text_response(StatusCode::INTERNAL_SERVER_ERROR, "The metrics failed.\n");
    };
    let mut response = Response::new(Full::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    response
}

fn text_response(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_needs_own_name_path_and_method() {
        let status = |method: Method, uri: &str, host: &str, is_admitted: bool| {
            let request = Request::builder().method(method).uri(uri).header(HOST, host).body(()).unwrap();
            check_request(&request, is_admitted, &Name::from("C9t21193"))
                .map(|refusal| refusal.status().as_u16())
        };
        for host in
            ["127.0.0.1:9465", "[::1]:9465", "localhost", "c9t21193:9465", "C9T21193.example.net", "10.0.0.7"]
        {
            assert_eq!(status(Method::GET, "/metrics", host, true), None, "{host}");
        }
        for host in ["", "evil.example", "c9t21193evil.example:9465", "localhost.evil.example"] {
            assert_eq!(status(Method::GET, "/metrics", host, true), Some(403), "{host}");
        }
        assert_eq!(status(Method::HEAD, "/metrics?x=1", "localhost", true), None);
        assert_eq!(status(Method::POST, "/metrics", "localhost", true), Some(405));
        assert_eq!(status(Method::GET, "/", "localhost", true), Some(404));
        assert_eq!(status(Method::GET, "/metrics", "localhost", false), Some(401));
    }
}
