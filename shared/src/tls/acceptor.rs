//! Server side of TLS: accepts connections in clear text, or over TLS from admitted clients.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;

use super::certificate::Certificate;
use super::connection::{self, ConnectionLimits, PeerInfo, TcpConnection};
use super::error_text::describe_tls_error;
use super::files::{RELOAD_CHECK_INTERVAL, ReloadedOnChange, TlsFiles, TlsMaterial, TlsPem, provider};
use super::verify::{PinnedClientVerifier, client_verifier};
use crate::keyed_semaphore::KeyedSemaphore;
use crate::refusal_log::RefusalLog;

/// Time limit for the handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Maximum number of concurrent handshakes, in total and from one address.
const HANDSHAKES: usize = 512;
const OF_ONE_ADDRESS: usize = 448;
/// Capacity of the queue of accepted connections; the server takes each at once.
const WAITING: usize = 64;
/// Pause after a failed accept, for example for lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// Clients that are admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientPolicy {
    /// All clients, without a certificate: browsers.
    Anybody,
    /// Clients with a certificate of the CA, and clients without a certificate; the service distinguishes
    /// them.
    KnownAndUnknown,
    /// Hosts of the CA that have one of these DNS names.
    Named(Vec<String>),
}

/// Acceptor that turns a listener's connections into [`TcpConnection`]s.
#[derive(Clone, Debug)]
pub struct ConnectionAcceptor {
    /// TLS settings; `None`: clear text.
    tls: Option<Arc<ReloadingTls>>,
}

#[derive(Debug)]
struct ReloadingTls {
    /// File of the certificate.
    file: PathBuf,
    current: ReloadedOnChange<LoadedServerConfig>,
}

/// TLS configuration of the server.
struct LoadedServerConfig {
    config: Arc<ServerConfig>,
    /// Expiry of the server's certificate.
    ends: Timestamp,
}

impl ConnectionAcceptor {
    /// Creates an acceptor for connections in clear text.
    pub fn plaintext() -> Self {
        Self { tls: None }
    }

    /// Creates an acceptor for TLS connections with these protocols ("h2", "http/1.1").
    ///
    /// # Errors
    /// Returns a sentence if files are missing or invalid.
    pub fn with_tls(files: TlsFiles, admission: ClientPolicy, protocols: &[&str]) -> Result<Self, String> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let make = move |material| server_config(material, &admission, &protocols);
        let file = files.own.as_ref().map(|(certificate, _)| certificate.clone()).unwrap_or_default();
        Ok(Self { tls: Some(Arc::new(ReloadingTls { file, current: ReloadedOnChange::new(files, make)? })) })
    }

    /// Creates an acceptor for TLS connections from certificates in memory.
    ///
    /// # Errors
    /// Returns a sentence if these are invalid.
    pub fn with_tls_in_memory(
        pem: &TlsPem,
        admission: &ClientPolicy,
        protocols: &[&str],
    ) -> Result<Self, String> {
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let shown = server_config(pem.read()?, admission, &protocols)?;
        Ok(Self {
            tls: Some(Arc::new(ReloadingTls {
                file: PathBuf::new(),
                current: ReloadedOnChange::fixed(shown),
            })),
        })
    }

    /// Returns the file of the server's certificate, and its expiry; `None`: clear text. This may read files.
    pub fn certificate(&self) -> Option<(&Path, Timestamp)> {
        self.tls.as_ref().map(|tls| (tls.file.as_path(), tls.current.current().ends))
    }

    /// Returns the reason why changed files are not used, as a sentence; `None` if they are. This may read
    /// files.
    pub fn reload_error(&self) -> Option<String> {
        self.tls.as_ref()?.current.reload_error()
    }

    /// Returns the connections of `listener`, until the stream is dropped.
    pub fn accept_connections(
        self,
        listener: TcpListener,
        bounds: ConnectionLimits,
    ) -> ReceiverStream<io::Result<TcpConnection>> {
        let (taken, links) = mpsc::channel(WAITING);
        tokio::spawn(accept(listener, self, bounds, taken));
        ReceiverStream::new(links)
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: ConnectionAcceptor,
    bounds: ConnectionLimits,
    taken: mpsc::Sender<io::Result<TcpConnection>>,
) {
    let permits = KeyedSemaphore::new(bounds.connections, bounds.of_one_address);
    let handshakes = KeyedSemaphore::new(HANDSHAKES, OF_ONE_ADDRESS);
    let refusals = Arc::new(RefusalLog::default());
    let mut looks = tokio::time::interval(RELOAD_CHECK_INTERVAL);
    loop {
        let accepted = tokio::select! {
            () = taken.closed() => return,
            // Invalid files are reported soon after they are written, even without a new connection.
            _ = looks.tick(), if acceptor.tls.is_some() => {
                if let Some(tls) = &acceptor.tls {
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
        let Some(permit) = permits.acquire(address.ip().to_canonical()) else {
            refusals.log_refusal("a connection was refused", &address, "too many connections are open");
            continue;
        };
        // An error means that the connection has ended; its reader will notice.
        let _ = stream.set_nodelay(true);
        let stream = connection::with_time_limits(stream, bounds);
        let Some(tls) = &acceptor.tls else {
            let peer = PeerInfo { address, secured: false, identity: None };
            let connection = TcpConnection::new(Either::Left(stream), peer, permit);
            if taken.send(Ok(connection)).await.is_err() {
                return;
            }
            continue;
        };
        let Some(handshake) = handshakes.acquire(address.ip().to_canonical()) else {
            refusals.log_refusal("a connection was refused", &address, "too many are saying who they are");
            continue;
        };
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.current.current().config));
        let (taken, refusals) = (taken.clone(), Arc::clone(&refusals));
        tokio::spawn(async move {
            let greeted = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
            drop(handshake);
            match greeted {
                Ok(Ok(stream)) => {
                    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let identity = shown.and_then(|shown| Certificate::parse(shown).ok());
                    let identity = identity.map(|certificate| certificate.identity());
                    let peer = PeerInfo { address, secured: true, identity };
                    let connection = TcpConnection::new(Either::Right(stream), peer, permit);
                    // An error means that the server has ended.
                    let _ = taken.send(Ok(connection)).await;
                }
                Ok(Err(error)) => {
                    let reason = describe_tls_error(&error).unwrap_or_else(|| error.to_string());
                    refusals.log_refusal("a connection was refused", &address, &reason);
                }
                Err(_) => {
                    let reason = format!("silent for {} s", HANDSHAKE.as_secs());
                    refusals.log_refusal("a connection was refused", &address, &reason);
                }
            }
        });
    }
}

fn server_config(
    material: TlsMaterial,
    admission: &ClientPolicy,
    protocols: &[Vec<u8>],
) -> Result<LoadedServerConfig, String> {
    let (certificates, key) = material.own.ok_or("a listener needs a certificate and a key")?;
    let own = certificates.first().ok_or("a listener needs a certificate")?;
    let ends = Certificate::parse(own)?.not_after;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match admission {
        ClientPolicy::Anybody => builder.with_no_client_auth(),
        ClientPolicy::KnownAndUnknown => {
            builder.with_client_cert_verifier(client_verifier(material.roots, true)?)
        }
        ClientPolicy::Named(names) => {
            let of_the_ca = client_verifier(material.roots, false)?;
            builder
                .with_client_cert_verifier(Arc::new(PinnedClientVerifier { of_the_ca, names: names.clone() }))
        }
    };
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| format!("the certificate and the key cannot be used: {error}"))?;
    config.alpn_protocols = protocols.to_vec();
    // A resumed session is not verified again: it would outlive an expired certificate and a replaced CA.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(LoadedServerConfig { config: Arc::new(config), ends })
}
