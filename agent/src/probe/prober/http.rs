//! Probes by an HTTP GET request. Compares the status; does not read the body or follow redirects.

use std::error::Error as _;
use std::pin::pin;

use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;

use crate::probe::prober::tcp;
use crate::probe::reasons::{io_reason, shorten};

/// Maximum total length of the headers; longer ones fail the attempt. Servers send 1 KiB or less.
const MAX_HEADER_SIZE: usize = 16 * 1024;
const USER_AGENT_VALUE: &str = concat!("rta-agent/", env!("CARGO_PKG_VERSION"));

/// Passes if a GET of `url` is answered with `status`.
pub(crate) async fn probe_http(url: &Uri, status: u16) -> Result<(), String> {
    let host = url.host().ok_or("the URL has no host")?;
    let address = format!("{host}:{}", url.port_u16().unwrap_or(80));
    let named = url.port().map_or_else(|| host.to_owned(), |_| address.clone());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, named)
        .header(USER_AGENT, USER_AGENT_VALUE)
        .header(CONNECTION, "close")
        .body(String::new())
        .map_err(|error| error.to_string())?;

    let stream = TokioIo::new(tcp::connect(&address).await?);
    let mut client = http1::Builder::new();
    let connected = client.max_buf_size(MAX_HEADER_SIZE).handshake(stream).await;
    let (mut sender, connection) = connected.map_err(|error| error_reason(&error))?;
    let mut answer = pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut answer => response,
        // The connection is complete: the response is available, or an error in its place.
        _ = connection => answer.await,
    };
    let got = response.map_err(|error| error_reason(&error))?.status().as_u16();
    if got == status { Ok(()) } else { Err(format!("status {got}, {status} is right")) }
}

fn error_reason(error: &hyper::Error) -> String {
    match error.source().and_then(|source| source.downcast_ref()) {
        Some(error) => io_reason(error),
        None => format!("no HTTP answer: {}", shorten(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rta_shared::config::ProbeMethod;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::super::Prober;
    use super::*;

    /// Starts a server that answers one request with `answer` and then closes; the task returns the request.
    async fn server(answer: &'static [u8]) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let request = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            // The client may already have closed the connection.
            let _ = stream.write_all(answer).await;
            String::from_utf8(request).unwrap()
        });
        (address, request)
    }

    async fn asked(address: &str, status: u16) -> Result<(), String> {
        let url = format!("http://{address}/api/health?full").parse().unwrap();
        probe_http(&url, status).await
    }

    #[tokio::test]
    async fn http_status_decides() {
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nonly a part of it";
        let busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
        let moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
        let unasked = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 No Content\r\n\r\n";
        let rows: [(&'static [u8], u16, Result<(), &str>); 6] = [
            (ok, 200, Ok(())),
            (busy, 200, Err("status 503, 200 is right")),
            (busy, 503, Ok(())),
            (moved, 302, Ok(())),
            (moved, 200, Err("status 302, 200 is right")),
            (unasked, 204, Ok(())),
        ];
        for (answer, status, expected) in rows {
            let (address, request) = server(answer).await;
            assert_eq!(asked(&address, status).await, expected.map_err(str::to_owned));
            let request = request.await.unwrap();
            assert!(request.starts_with("GET /api/health?full HTTP/1.1\r\n"), "{request}");
            for header in [&*format!("host: {address}"), "connection: close", "user-agent: rta-agent/"] {
                assert!(request.contains(header), "{header} in {request}");
            }
        }
    }

    #[tokio::test]
    async fn invalid_answer_has_a_reason() {
        let (address, _request) = server(b"\x00\xff\x1b[31mgarbage\r\n\r\n").await;
        let reason = asked(&address, 200).await.unwrap_err();
        assert!(reason.starts_with("no HTTP answer: invalid HTTP"), "{reason}");

        let (address, _request) = server(b"").await;
        let reason = asked(&address, 200).await.unwrap_err();
        assert!(reason.starts_with("no HTTP answer: connection closed"), "{reason}");

        // Endless headers: a single one, and many.
        let long: &'static [u8] = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat().leak();
        let many: &'static [u8] = [&b"HTTP/1.1 200 OK\r\n"[..], &b"X: y\r\n".repeat(1 << 17)].concat().leak();
        for answer in [long, many] {
            let (address, _request) = server(answer).await;
            let reason = asked(&address, 200).await.unwrap_err();
            assert!(reason.starts_with("no HTTP answer: message head is too large"), "{reason}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silent_server_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = tokio::spawn(async move {
            let stream = listener.accept().await.unwrap();
            std::future::pending::<()>().await;
            drop(stream);
        });
        let url = format!("http://user:secret@{address}/x").parse().unwrap();
        let mut asker = Prober::new(ProbeMethod::Http { url, status: 200 }, Duration::from_millis(1_500));
        let reason = asker.run_attempt().await.unwrap_err();
        assert_eq!(reason, format!("GET http://{address}/x: no answer within 1.5 s"));
        accepted.abort();
    }
}
