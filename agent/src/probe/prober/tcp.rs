//! Probes by a TCP connection.

use futures::future::select_ok;
use rta_shared::config::{Pattern, TcpProbe};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};

use super::answer::missing;
use crate::probe::reasons::io_reason;

/// Maximum number of addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Maximum number of bytes of an answer that are read.
const MAX_ANSWER_SIZE: usize = 64 * 1024;

/// Passes if the address accepts a connection, and if the expected answer comes. The bytes that came are kept
/// in `seen`, for the reason of a timeout.
///
/// # Errors
/// Returns an error if the probe does not pass; the reason is a part of a sentence.
pub(super) async fn probe_tcp(probe: &TcpProbe, seen: &mut Vec<u8>) -> Result<(), String> {
    let TcpProbe { address, send, expect } = probe;
    let mut stream = connect(address).await?;
    if let Some(send) = send {
        let sent = stream.write_all(send.as_bytes()).await;
        sent.map_err(|error| format!("it cannot be sent to: {}", io_reason(&error)))?;
    }
    match expect {
        Some(expect) => read_until_found(&mut stream, expect, seen).await,
        None => Ok(()),
    }
}

/// Reads until `expect` is found, which may be long before the server ends the connection.
async fn read_until_found(
    stream: &mut (impl AsyncRead + Unpin),
    expect: &Pattern,
    seen: &mut Vec<u8>,
) -> Result<(), String> {
    loop {
        let length = match stream.read_buf(seen).await {
            // What came before counts, whatever way the server ends the connection.
            Err(_) if !seen.is_empty() => 0,
            Err(error) => return Err(io_reason(&error)),
            Ok(length) => length,
        };
        if length > 0 && expect.is_found_in(seen) {
            return Ok(());
        }
        if length == 0 {
            return Err(missing(expect, seen, "the answer"));
        }
        if seen.len() >= MAX_ANSWER_SIZE {
            return Err(format!(
                "the first {} KiB: {}",
                MAX_ANSWER_SIZE / 1024,
                missing(expect, seen, "the answer")
            ));
        }
    }
}

/// Connects to `address`, a `host:port`.
///
/// # Errors
/// Returns an error if no address accepts the connection; the reason is a part of a sentence.
pub(crate) async fn connect(address: &str) -> Result<TcpStream, String> {
    // A look-up that hangs continues in its thread after this is dropped, until the resolver gives up; there
    // are no more of those than attempts within that time.
    let found = lookup_host(address).await;
    let addresses = found.map_err(|error| format!("its name cannot be resolved: {}", io_reason(&error)))?;
    // All at once: an address that never answers must not use up the time of one that would.
    let connections: Vec<_> = addresses
        .take(MAX_ADDRESSES)
        .map(|address| Box::pin(async move { refuse_self_connection(TcpStream::connect(address).await?) }))
        .collect();
    if connections.is_empty() {
        return Err("its name has no address".to_owned());
    }
    select_ok(connections).await.map(|(stream, _)| stream).map_err(|error| io_reason(&error))
}

/// Rejects a connection to itself, which has no listener: TCP's simultaneous open, if the own port of a
/// connection to a free local port happens to be that port.
fn refuse_self_connection(stream: TcpStream) -> std::io::Result<TcpStream> {
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(std::io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketType, bind, connect as connect_raw, getsockname, socket};
    use tokio::net::TcpSocket;

    use super::super::tests::question;
    use super::*;

    #[tokio::test]
    async fn open_port_passes_and_closed_port_has_a_reason() {
        // Bound, so that the port stays free, and not yet listening.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let refused = connect(&address).await.map(drop);
        assert_eq!(refused, Err("connection refused".to_owned()));
        let _listener = socket.listen(8).unwrap();
        assert_eq!(connect(&address).await.map(drop), Ok(()));
        // On most machines the name has an IPv6 address too, without a listener.
        assert_eq!(connect(&format!("localhost:{port}")).await.map(drop), Ok(()));
    }

    #[tokio::test]
    async fn invalid_address_has_a_reason() {
        let reason = connect("[::1:80").await.unwrap_err();
        assert!(reason.starts_with("its name cannot be resolved: "), "{reason}");
    }

    /// Starts a server that reads `request` and answers with `pieces`, one after the other; it holds the
    /// connection open if `holds`.
    async fn server(request: &'static [u8], pieces: Vec<&'static [u8]>, holds: bool) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = vec![0; request.len()];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(read, request);
            for piece in pieces {
                // The client may already have closed the connection.
                let _ = stream.write_all(piece).await;
                let _ = stream.flush().await;
            }
            if holds {
                std::future::pending::<()>().await;
            }
        });
        address
    }

    async fn probe(address: &str, keys: &str) -> Result<(), String> {
        let question = question(&format!("tcp = '{address}', {keys}"));
        let rta_shared::config::ProbeMethod::Tcp(probe) = question else { panic!("{question}") };
        probe_tcp(&probe, &mut Vec::new()).await
    }

    #[tokio::test]
    async fn expected_answer_passes_as_soon_as_it_is_there() {
        let ruok = "send = 'ruok', expect = '^imok$'";
        assert_eq!(probe(&server(b"ruok", vec![b"im", b"ok"], false).await, ruok).await, Ok(()));
        let ping = r#"send = "PING\r\n", expect = '^\+PONG\r\n'"#;
        assert_eq!(probe(&server(b"PING\r\n", vec![b"+PONG\r\n"], true).await, ping).await, Ok(()));
        assert_eq!(
            probe(&server(b"", vec![b"220 mail ready\r\n"], true).await, "expect = '^220 '").await,
            Ok(())
        );
    }

    #[tokio::test]
    async fn wrong_answer_has_a_reason_and_endless_one_ends() {
        let ruok = "send = 'ruok', expect = '^imok$'";
        let not_serving = "This ZooKeeper instance is not currently serving requests\n";
        let reason =
            probe(&server(b"ruok", vec![not_serving.as_bytes()], false).await, ruok).await.unwrap_err();
        assert_eq!(
            reason,
            "the answer has no '^imok$': \"This ZooKeeper instance is not currently serving requests\""
        );
        let reason = probe(&server(b"ruok", vec![], false).await, ruok).await.unwrap_err();
        assert_eq!(reason, "the answer is empty, '^imok$' is right");
        let flood: &'static [u8] = vec![b'x'; 1 << 20].leak();
        let reason = probe(&server(b"ruok", vec![flood], true).await, ruok).await.unwrap_err();
        assert!(reason.starts_with("the first 64 KiB: the answer has no '^imok$': \"xxx"), "{reason}");
    }

    #[tokio::test]
    async fn self_connection_is_refused() {
        let own = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&own, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = std::net::SocketAddr::try_from(getsockname(&own).unwrap()).unwrap();
        connect_raw(&own, &address).unwrap();
        let stream = std::net::TcpStream::from(own);
        stream.set_nonblocking(true).unwrap();
        let error = refuse_self_connection(TcpStream::from_std(stream).unwrap()).unwrap_err();
        assert_eq!(io_reason(&error), "connection refused");
    }
}
