//! Connection of a listener, and its limits.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use super::certificate::CertificateIdentity;
use crate::keyed_semaphore::Permit;

/// Time after which a connection is closed if its other end reads nothing.
const STUCK: Duration = Duration::from_secs(60);

/// Limits for the connections of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Maximum number of connections; further ones are closed at once.
    pub connections: usize,
    /// Maximum number of connections from one address.
    pub of_one_address: usize,
    /// Time after which a silent connection is closed; `None`: the server has its own time limits.
    pub silence: Option<Duration>,
}

/// Other end of a connection.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Address of the other end.
    pub address: SocketAddr,
    /// True if the connection uses TLS.
    pub secured: bool,
    /// Authenticated identity.
    pub identity: Option<CertificateIdentity>,
}

/// Connection of a listener.
#[derive(Debug)]
pub struct TcpConnection {
    stream: TransportStream,
    peer: PeerInfo,
    _permit: Permit<IpAddr>,
}

/// TCP connection with time limits. They apply below TLS, which buffers data that the other end does not
/// read.
pub(super) type TimedTcpStream = Pin<Box<TimeoutStream<TcpStream>>>;

/// Stream in clear text, or over TLS.
type TransportStream = Either<TimedTcpStream, TlsStream<TimedTcpStream>>;

/// Applies the time limits of `limits` to a connection.
pub(super) fn with_time_limits(stream: TcpStream, limits: ConnectionLimits) -> TimedTcpStream {
    let mut stream = TimeoutStream::new(stream);
    stream.set_read_timeout(limits.silence);
    stream.set_write_timeout(Some(STUCK));
    Box::pin(stream)
}

impl TcpConnection {
    pub(super) fn new(stream: TransportStream, peer: PeerInfo, permit: Permit<IpAddr>) -> Self {
        Self { stream, peer, _permit: permit }
    }

    /// Returns the other end.
    pub fn peer(&self) -> &PeerInfo {
        &self.peer
    }
}

impl Connected for TcpConnection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.peer.clone()
    }
}

impl AsyncRead for TcpConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for TcpConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::tls::ConnectionAcceptor;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Creates both ends of a connection.
    async fn both(silence: Option<Duration>) -> (TcpConnection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = ConnectionLimits { connections: 1, of_one_address: 1, silence };
        let mut links = ConnectionAcceptor::plaintext().accept_connections(listener, limits);
        let other = TcpStream::connect(address).await.unwrap();
        (links.next().await.unwrap().unwrap(), other)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_in_nothing_is_given_up() {
        let (mut link, other) = both(None).await;
        let began = tokio::time::Instant::now();
        let error = loop {
            if let Err(error) = link.write_all(&[0; 65_536]).await {
                break error;
            }
        };
        assert_eq!((error.kind(), began.elapsed() >= MINUTE), (io::ErrorKind::TimedOut, true));
        drop(other);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_says_nothing_is_given_up_where_that_is_asked() {
        let (mut link, mut other) = both(Some(MINUTE)).await;
        other.write_all(b"x").await.unwrap();
        link.read_u8().await.unwrap();
        let error = link.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
