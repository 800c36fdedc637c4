//! Connections of a gRPC server: over TCP, over the local socket, or both.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use crate::local_socket::{LocalConnection, LocalSocket, LocalUser};
use crate::tls::{ConnectionAcceptor, ConnectionLimits, PeerInfo, TcpConnection};

/// Listeners of a gRPC server.
#[derive(Debug)]
pub struct Listeners {
    /// TCP listener, with its TLS settings; `None`: not reachable over TCP.
    pub tcp: Option<(TcpListener, ConnectionAcceptor)>,
    /// Local socket; `None`: no local socket.
    pub socket: Option<LocalSocket>,
}

/// Caller at the other end of a connection.
#[derive(Clone, Debug)]
pub enum ConnectedPeer {
    /// Caller over TCP.
    Tcp(PeerInfo),
    /// Caller over the local socket.
    Local(LocalUser),
}

/// Key by which limits distinguish callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionOrigin {
    /// IP address.
    Address(IpAddr),
    /// User of this host.
    User(u32),
}

impl ConnectedPeer {
    /// Returns the key that limits count by.
    pub fn origin(&self) -> ConnectionOrigin {
        match self {
            Self::Tcp(peer) => ConnectionOrigin::Address(peer.address.ip().to_canonical()),
            Self::Local(user) => ConnectionOrigin::User(user.uid),
        }
    }
}

impl fmt::Display for ConnectedPeer {
    /// Writes the caller for logs: `10.0.0.7:4711`, `aggregator at 10.0.0.7:4711`, `ann (uid 1000), local`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(PeerInfo { address, identity: None, .. }) => write!(f, "{address}"),
            Self::Tcp(PeerInfo { address, identity: Some(identity), .. }) => {
                write!(f, "{} at {address}", identity.name)
            }
            Self::Local(user) => write!(f, "{user}, local"),
        }
    }
}

/// Connection of a gRPC server.
#[derive(Debug)]
pub enum Connection {
    /// Connection over TCP.
    Tcp(Box<TcpConnection>),
    /// Connection over the local socket.
    Local(LocalConnection),
}

impl Listeners {
    /// Returns the connections of all listeners, each limited by `bounds`, until the stream is dropped. The
    /// stream ends if one of the listeners fails permanently.
    pub fn connections(
        self,
        bounds: ConnectionLimits,
    ) -> impl Stream<Item = io::Result<Connection>> + Send + 'static {
        // The stream of an absent listener never ends.
        let tcp = match self.tcp {
            Some((listener, door)) => Either::Left(door.accept_connections(listener, bounds)),
            None => Either::Right(tokio_stream::pending()),
        };
        let local = match self.socket {
            Some(socket) => Either::Left(socket.connections(bounds)),
            None => Either::Right(tokio_stream::pending()),
        };
        let tcp = tcp.map(|link| Some(link.map(|link| Connection::Tcp(Box::new(link)))));
        let local = local.map(|local| Some(local.map(Connection::Local)));
        let end = || tokio_stream::once(None);
        tcp.chain(end()).merge(local.chain(end())).map_while(|connection| connection)
    }
}

impl Connected for Connection {
    type ConnectInfo = ConnectedPeer;

    fn connect_info(&self) -> ConnectedPeer {
        match self {
            Self::Tcp(link) => ConnectedPeer::Tcp(link.peer().clone()),
            Self::Local(connection) => ConnectedPeer::Local(connection.user().clone()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(link) => Pin::new(link).poll_read(context, buffer),
            Self::Local(connection) => Pin::new(connection).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(link) => Pin::new(link).poll_write(context, bytes),
            Self::Local(connection) => Pin::new(connection).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(link) => Pin::new(link).poll_flush(context),
            Self::Local(connection) => Pin::new(connection).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(link) => Pin::new(link).poll_shutdown(context),
            Self::Local(connection) => Pin::new(connection).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(link) => Pin::new(link).poll_write_vectored(context, pieces),
            Self::Local(connection) => Pin::new(connection).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(link) => link.is_write_vectored(),
            Self::Local(_) => false,
        }
    }
}
