//! In clear or by TLS: who is let in, and who the aggregator says to the agents that it is.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::serve::{IncomingStream, Listener};
use rta_shared::tls::{Asking, Door, Link};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;

/// How the aggregator is asked, and how it asks.
#[derive(Debug)]
pub struct Doors {
    /// How the page is asked for.
    pub web: Door,
    /// How the rta command asks.
    pub grpc: Door,
    /// The files of the certificates in use, which are looked at for their end.
    pub certificates: Vec<PathBuf>,
    /// How agents at https:// addresses are asked; `None`: they are not.
    pub agents: Option<Asking>,
}

impl Doors {
    /// Everything in clear.
    pub fn clear() -> Self {
        Self { web: Door::clear(), grpc: Door::clear(), certificates: Vec::new(), agents: None }
    }
}

/// The page's connections.
pub(crate) struct WebLinks {
    links: ReceiverStream<io::Result<Link>>,
    address: SocketAddr,
}

impl WebLinks {
    /// # Errors
    /// A listener without an address.
    pub(crate) fn new(listener: TcpListener, door: Door) -> io::Result<Self> {
        Ok(Self { address: listener.local_addr()?, links: door.links(listener) })
    }
}

impl Listener for WebLinks {
    type Io = Link;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Link, SocketAddr) {
        loop {
            match self.links.next().await {
                Some(Ok(link)) => {
                    let address = link.peer().address;
                    return (link, address);
                }
                Some(Err(error)) => tracing::warn!(%error, "a connection to the page failed"),
                // It ends with the runtime only.
                None => std::future::pending().await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Where a request for the page comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebPeer(SocketAddr);

impl Connected<IncomingStream<'_, WebLinks>> for WebPeer {
    fn connect_info(stream: IncomingStream<'_, WebLinks>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// Tells the page's handlers where a request comes from, as a plain TCP listener would.
pub(crate) async fn tell_address(mut request: Request) -> Request {
    if let Some(ConnectInfo(WebPeer(address))) = request.extensions().get::<ConnectInfo<WebPeer>>().copied() {
        request.extensions_mut().insert(ConnectInfo(address));
    }
    request
}
