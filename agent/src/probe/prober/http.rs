//! Probes by an HTTP GET request, over TLS too. Compares the status, and the body if there are tests on it.
//! Does not follow redirects.

use std::error::Error as _;
use std::pin::pin;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rta_shared::config::{HttpProbe, TlsCheck};
use rta_shared::tls::certificate::{days_left, expiry_text};
use rta_shared::tls::server_check::connect_verified;

use super::answer::check_answer;
use super::json::check_json;
use crate::probe::prober::tcp;
use crate::probe::reasons::{io_reason, shorten};

/// Maximum total length of the headers; longer ones fail the attempt. Servers send 1 KiB or less.
const MAX_HEADER_SIZE: usize = 16 * 1024;
/// Maximum length of a body that is tested; a longer one fails the attempt.
const MAX_BODY_SIZE: usize = 1024 * 1024;
const USER_AGENT_VALUE: &str = concat!("rta-agent/", env!("CARGO_PKG_VERSION"));

/// Passes if a GET is answered as `probe` says.
///
/// # Errors
/// Returns an error if the probe does not pass; the reason is a part of a sentence.
pub(super) async fn probe_http(probe: &HttpProbe) -> Result<(), String> {
    let url = &probe.url;
    let is_tls = url.scheme_str() == Some("https");
    let host = url.host().ok_or("the URL has no host")?;
    let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let address = format!("{host}:{port}");
    let named = url.port().map_or_else(|| host.to_owned(), |_| address.clone());
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, named)
        .header(USER_AGENT, USER_AGENT_VALUE)
        .header(CONNECTION, "close")
        .body(String::new())
        .map_err(|error| error.to_string())?;
    let stream = tcp::connect(&address).await?;
    if !is_tls {
        return exchange(probe, request, TokioIo::new(stream)).await;
    }
    let TlsCheck { ca, server_name, certificate_days } = &probe.tls;
    let server = connect_verified(stream, server_name.as_deref().unwrap_or(host), ca.clone()).await?;
    exchange(probe, request, TokioIo::new(server.stream)).await?;
    // Last: an answer that is wrong already is the more urgent one.
    check_expiry(*certificate_days, server.expires_at, Timestamp::now())
}

/// Passes if a certificate is valid for at least `days` more days.
fn check_expiry(days: Option<u32>, expires_at: Timestamp, now: Timestamp) -> Result<(), String> {
    match days {
        Some(days) if days_left(expires_at, now) < i64::from(days) => {
            Err(format!("its certificate {}, at least {days} days are right", expiry_text(expires_at, now)))
        }
        Some(_) | None => Ok(()),
    }
}

async fn exchange(
    probe: &HttpProbe,
    request: Request<String>,
    stream: impl Read + Write + Unpin,
) -> Result<(), String> {
    let mut client = http1::Builder::new();
    let connected = client.max_buf_size(MAX_HEADER_SIZE).handshake(stream).await;
    let (mut sender, connection) = connected.map_err(|error| error_reason(&error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| error_reason(&error))?;
        check_response(probe, response).await
    };
    let mut answer = pin!(answer);
    tokio::select! {
        biased;
        result = &mut answer => result,
        // The connection is complete: the response is available, or an error in its place.
        _ = connection => answer.await,
    }
}

async fn check_response(probe: &HttpProbe, response: Response<Incoming>) -> Result<(), String> {
    let got = response.status().as_u16();
    if !probe.status.contains(got) {
        return Err(format!("status {got}, {} is right", probe.status));
    }
    if probe.body.is_empty() && probe.json.is_empty() {
        return Ok(());
    }
    let body = read_body(response.into_body()).await?;
    check_json(&probe.json, &body)?;
    check_answer(&probe.body, &body, "the body")
}

async fn read_body(mut incoming: Incoming) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| error_reason(&error))?;
        body.extend_from_slice(frame.data_ref().map(|data| &data[..]).unwrap_or_default());
        if body.len() > MAX_BODY_SIZE {
            return Err(format!("the body is longer than {} KiB", MAX_BODY_SIZE / 1024));
        }
    }
    Ok(body)
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

    use crate::logs::RunLog;

    use super::super::Prober;
    use super::super::tests::question;
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
        asked_with(address, &format!("status = {status}")).await
    }

    async fn asked_with(address: &str, keys: &str) -> Result<(), String> {
        asked_url(&format!("http://{address}/api/health?full"), keys).await
    }

    async fn asked_url(url: &str, keys: &str) -> Result<(), String> {
        match question(&format!("http = '{url}', {keys}")) {
            ProbeMethod::Http(probe) => probe_http(&probe).await,
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn status_sets_and_bodies_decide() {
        let up = b"HTTP/1.1 204 No Content\r\n\r\n";
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"state\": \"UP\"}";
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n5\r\n\": 3}\r\n0\r\n\r\n";
        let torn = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nup";
        let rows: [(&'static [u8], &str, Result<(), &str>); 8] = [
            (up, "status = ['200-299', 401]", Ok(())),
            (up, "status = ['300-399', 200]", Err("status 204, 300-399 or 200 is right")),
            (text, "body = 'UP'", Ok(())),
            (text, "body = 'DOWN'", Err("the body has no 'DOWN': \"{\"state\": \"UP\"}\"")),
            (text, "json = '/state == UP', without = 'DOWN'", Ok(())),
            (text, "json = '/state == IDLE'", Err("/state is \"UP\", \"/state == IDLE\" is right")),
            (chunked, "json = '/a >= 3'", Ok(())),
            // A body that breaks off is no answer, although what came would pass.
            (torn, "body = 'up'", Err("no HTTP answer: ")),
        ];
        for (answer, keys, expected) in rows {
            let (address, _request) = server(answer).await;
            let result = asked_with(&address, keys).await;
            match expected {
                Err("no HTTP answer: ") => {
                    let reason = result.unwrap_err();
                    assert!(!reason.is_empty() && !reason.contains("up"), "{reason}");
                }
                expected => assert_eq!(result, expected.map_err(str::to_owned), "{keys}"),
            }
        }
        let endless: &'static [u8] = [&b"HTTP/1.0 200 OK\r\n\r\n"[..], &vec![b'x'; 2 << 20]].concat().leak();
        let (address, _request) = server(endless).await;
        assert_eq!(
            asked_with(&address, "body = 'y'").await,
            Err("the body is longer than 1024 KiB".to_owned())
        );
        let (address, _request) = server(endless).await;
        assert_eq!(asked_with(&address, "status = 200").await, Ok(()), "a body without tests is not read");
    }

    /// A CA, and a server of it that answers each request; returns its address and the path of the CA's file.
    async fn tls_server(folder: &std::path::Path, days: i64) -> (String, String) {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = rcgen::CertifiedIssuer::self_signed(params, ca_key).unwrap();
        let path = folder.join("ca.pem");
        std::fs::write(&path, ca.pem()).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["kafka.example".to_owned()]).unwrap();
        let ends =
            std::time::SystemTime::now() + Duration::from_secs(u64::try_from(days * 86_400 + 3600).unwrap());
        params.not_after = ends.into();
        let own = params.signed_by(&key, &ca).unwrap();
        let config =
            rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![own.der().clone()], key.serialize_der().try_into().unwrap())
                .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not believe the certificate ends the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut request).await.is_ok_and(|n| n > 0)
                {}
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup").await;
                let _ = stream.shutdown().await;
            }
        });
        (address, path.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn tls_server_is_verified_by_ca_name_and_days() {
        let folder = tempfile::tempdir().unwrap();
        let (address, ca) = tls_server(folder.path(), 12).await;
        let url = format!("https://{address}/");
        let with = |keys: &str| format!("server_name = 'kafka.example', ca = '{ca}', body = '^up$'{keys}");
        assert_eq!(asked_url(&url, &with("")).await, Ok(()));
        assert_eq!(asked_url(&url, &with(", certificate_days = 12")).await, Ok(()));
        assert_eq!(
            asked_url(&url, &with(", certificate_days = 13")).await,
            Err("its certificate ends in 12 days, at least 13 days are right".to_owned())
        );
        let rows = [
            (format!("ca = '{ca}'"), "its certificate is invalid: "),
            (format!("ca = '{ca}', server_name = 'other.example'"), "its certificate is invalid: "),
            (
                "ca = '/no/such/ca.pem', server_name = 'kafka.example'".to_owned(),
                "the certificate /no/such/ca.pem: ",
            ),
        ];
        for (keys, expected) in rows {
            let reason = asked_url(&url, &keys).await.unwrap_err();
            assert!(reason.starts_with(expected), "{keys}: {reason}");
        }
        let other = tempfile::tempdir().unwrap();
        let (_, other_ca) = tls_server(other.path(), 12).await;
        let stranger = format!("ca = '{other_ca}', server_name = 'kafka.example'");
        assert_eq!(asked_url(&url, &stranger).await, Err("its certificate is of another CA".to_owned()));
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
        let mut asker =
            Prober::new(ProbeMethod::http(url), Duration::from_millis(1_500), RunLog::new(None, None, None));
        let reason = asker.run_attempt().await.unwrap_err();
        assert_eq!(reason, format!("GET http://{address}/x: no answer within 1.5 s"));
        accepted.abort();
    }
}
