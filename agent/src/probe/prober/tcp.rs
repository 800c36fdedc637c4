//! Probes by a TCP connection.

use futures::future::select_ok;
use tokio::net::{TcpStream, lookup_host};

use crate::probe::reasons::io_reason;

/// Maximum number of addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Passes if `address` accepts a connection.
pub(crate) async fn probe_tcp(address: &str) -> Result<(), String> {
    connect(address).await.map(drop)
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

    use super::*;

    #[tokio::test]
    async fn open_port_passes_and_closed_port_has_a_reason() {
        // Bound, so that the port stays free, and not yet listening.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = socket.local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        assert_eq!(probe_tcp(&address).await, Err("connection refused".to_owned()));
        let _listener = socket.listen(8).unwrap();
        assert_eq!(probe_tcp(&address).await, Ok(()));
        // On most machines the name has an IPv6 address too, without a listener.
        assert_eq!(probe_tcp(&format!("localhost:{port}")).await, Ok(()));
    }

    #[tokio::test]
    async fn invalid_address_has_a_reason() {
        let reason = probe_tcp("[::1:80").await.unwrap_err();
        assert!(reason.starts_with("its name cannot be resolved: "), "{reason}");
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
