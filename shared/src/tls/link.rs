//! One connection of a listener, and what it may cost.

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

use super::certificate::Identity;
use crate::places::Place;

/// A connection whose other end takes in nothing for so long is ended.
const STUCK: Duration = Duration::from_secs(60);

/// What a listener's connections may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// So many at a time; further ones are closed at once.
    pub connections: usize,
    /// So many of them from one address.
    pub of_one_address: usize,
    /// One that says nothing for so long is ended; `None`: the server knows for itself whom it waits for.
    pub silence: Option<Duration>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: SocketAddr,
    /// The connection is by TLS.
    pub secured: bool,
    /// Who it has proved to be.
    pub identity: Option<Identity>,
}

/// One connection.
#[derive(Debug)]
pub struct Link {
    stream: Pin<Box<TimeoutStream<Stream>>>,
    peer: Peer,
    _place: Place<IpAddr>,
}

/// In clear, or by TLS.
pub(super) type Stream = Either<TcpStream, TlsStream<TcpStream>>;

impl Link {
    pub(super) fn new(stream: Stream, peer: Peer, place: Place<IpAddr>, bounds: Bounds) -> Self {
        let mut stream = TimeoutStream::new(stream);
        stream.set_read_timeout(bounds.silence);
        stream.set_write_timeout(Some(STUCK));
        Self { stream: Box::pin(stream), peer, _place: place }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl Connected for Link {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
