//! The listening end: connections in clear, or by TLS from whom is admitted.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;

use super::certificate::Certificate;
use super::files::{LOOK, Material, Renewed, TlsFiles, provider};
use super::link::{self, Bounds, Link, Peer};
use super::trouble::trouble;
use super::verify::{PinnedClients, clients};
use crate::places::Places;
use crate::text::printable;

/// How long the other end may take to say who it is.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// So many may be saying who they are at one time, and so many of one address.
const HANDSHAKES: usize = 512;
const OF_ONE_ADDRESS: usize = 448;
/// Connections that nobody has taken yet; the server takes each at once.
const WAITING: usize = 64;
/// After a connection could not be taken, for example for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(200);
/// Refusals are logged once in this time at most.
const QUIET: Duration = Duration::from_secs(10);

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Everybody, without a certificate: browsers.
    Anybody,
    /// Those of the CA, known by their certificate, and those that show none: the service tells them apart.
    KnownAndUnknown,
    /// Hosts of the CA that have one of these DNS names.
    Named(Vec<String>),
}

/// What makes a listener's connections into [`Link`]s.
#[derive(Clone, Debug)]
pub struct Door {
    /// `None`: in clear.
    tls: Option<Arc<Tls>>,
}

#[derive(Debug)]
struct Tls {
    /// The certificate's file.
    file: PathBuf,
    current: Renewed<Shown>,
}

/// How those who come are answered.
struct Shown {
    config: Arc<ServerConfig>,
    /// When the certificate ends that they are shown.
    ends: Timestamp,
}

impl Door {
    /// Connections in clear.
    pub fn clear() -> Self {
        Self { tls: None }
    }

    /// Connections by TLS, for these protocols ("h2", "http/1.1").
    ///
    /// # Errors
    /// A sentence: files that are missing or broken.
    pub fn tls(files: TlsFiles, admission: Admission, protocols: &[&str]) -> Result<Self, String> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let make = move |material| server_config(material, &admission, &protocols);
        let file = files.own.as_ref().map(|(certificate, _)| certificate.clone()).unwrap_or_default();
        Ok(Self { tls: Some(Arc::new(Tls { file, current: Renewed::new(files, make)? })) })
    }

    /// The file of the certificate that is shown to those who come, and when that ends; `None`: in clear. It may read
    /// files.
    pub fn certificate(&self) -> Option<(&Path, Timestamp)> {
        self.tls.as_ref().map(|tls| (tls.file.as_path(), tls.current.current().ends))
    }

    /// The connections of `listener`, until the stream is dropped.
    pub fn links(self, listener: TcpListener, bounds: Bounds) -> ReceiverStream<io::Result<Link>> {
        let (taken, links) = mpsc::channel(WAITING);
        tokio::spawn(accept(listener, self, bounds, taken));
        ReceiverStream::new(links)
    }
}

async fn accept(listener: TcpListener, door: Door, bounds: Bounds, taken: mpsc::Sender<io::Result<Link>>) {
    let places = Places::new(bounds.connections, bounds.of_one_address);
    let handshakes = Places::new(HANDSHAKES, OF_ONE_ADDRESS);
    let refusals = Arc::new(Refusals::default());
    let mut looks = tokio::time::interval(LOOK);
    loop {
        let accepted = tokio::select! {
            () = taken.closed() => return,
            // Broken files are told of soon after they are written, whether somebody knocks or not.
            _ = looks.tick(), if door.tls.is_some() => {
                if let Some(tls) = &door.tls {
                    tls.current.current();
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(place) = places.take(address.ip().to_canonical()) else {
            refusals.note(address, "too many connections are open");
            continue;
        };
        // An error says that the connection has ended; whoever reads it will see.
        let _ = stream.set_nodelay(true);
        let stream = link::bounded(stream, bounds);
        let Some(tls) = &door.tls else {
            let peer = Peer { address, secured: false, identity: None };
            let link = Link::new(Either::Left(stream), peer, place);
            if taken.send(Ok(link)).await.is_err() {
                return;
            }
            continue;
        };
        let Some(permit) = handshakes.take(address.ip().to_canonical()) else {
            refusals.note(address, "too many are saying who they are");
            continue;
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.current.current().config));
        let (taken, refusals) = (taken.clone(), Arc::clone(&refusals));
        tokio::spawn(async move {
            let greeted = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
            drop(permit);
            match greeted {
                Ok(Ok(stream)) => {
                    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let identity = shown.and_then(|shown| Certificate::parse(shown).ok());
                    let identity = identity.map(|certificate| certificate.identity());
                    let peer = Peer { address, secured: true, identity };
                    let link = Link::new(Either::Right(stream), peer, place);
                    // An error says that the server has ended.
                    let _ = taken.send(Ok(link)).await;
                }
                Ok(Err(error)) => {
                    let reason = trouble(&error).unwrap_or_else(|| error.to_string());
                    refusals.note(address, &reason);
                }
                Err(_) => refusals.note(address, &format!("silent for {} s", HANDSHAKE.as_secs())),
            }
        });
    }
}

/// Logs who was refused, now and then: whoever knocks without end does not fill the disk.
#[derive(Debug, Default)]
struct Refusals {
    /// When one was logged, and how many were not since.
    last: Mutex<(Option<Instant>, u64)>,
}

impl Refusals {
    fn note(&self, address: SocketAddr, reason: &str) {
        if let Some(unsaid) = self.admit(Instant::now()) {
            let reason = printable(reason).to_string();
            tracing::warn!(from = %address, reason, more = unsaid, "a connection was refused");
        }
    }

    /// How many were kept quiet before; `None`: this one is too.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, unsaid) = &mut *last;
        if at.is_some_and(|at| now.duration_since(at) < QUIET) {
            *unsaid += 1;
            return None;
        }
        *at = Some(now);
        Some(std::mem::take(unsaid))
    }
}

fn server_config(material: Material, admission: &Admission, protocols: &[Vec<u8>]) -> Result<Shown, String> {
    let (certificates, key) = material.own.ok_or("a listener needs a certificate and a key")?;
    let own = certificates.first().ok_or("a listener needs a certificate")?;
    let ends = Certificate::parse(own)?.not_after;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match admission {
        Admission::Anybody => builder.with_no_client_auth(),
        Admission::KnownAndUnknown => builder.with_client_cert_verifier(clients(material.roots, true)?),
        Admission::Named(names) => {
            let of_the_ca = clients(material.roots, false)?;
            builder.with_client_cert_verifier(Arc::new(PinnedClients { of_the_ca, names: names.clone() }))
        }
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| format!("the certificate and the key cannot be used: {error}"))?;
    config.alpn_protocols = protocols.to_vec();
    // A resumed session is not verified again: it would outlive an expired certificate and a replaced CA.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Shown { config: Arc::new(config), ends })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_now_and_then_with_how_many_there_were() {
        let refusals = Refusals::default();
        let begin = Instant::now();
        assert_eq!(refusals.admit(begin), Some(0));
        assert_eq!(refusals.admit(begin), None);
        assert_eq!(refusals.admit(begin + QUIET / 2), None);
        assert_eq!(refusals.admit(begin + QUIET), Some(2));
    }
}
