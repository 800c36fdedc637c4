//! Client side of TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::files::{ReloadedOnChange, TlsFiles, TlsMaterial, TlsPem, provider};
use super::verify::AnyNameVerifier;

/// TLS settings of a client: its own certificate, and the CA that it trusts.
#[derive(Clone, Debug)]
pub struct ClientTls {
    material: Arc<ReloadedOnChange<ClientConfigs>>,
}

/// Parts of a client's configuration that are the same for every server.
#[derive(Debug)]
struct ClientConfigs {
    plain: ClientConfig,
    of_the_ca: Arc<WebPkiServerVerifier>,
}

/// Server to connect to over TLS.
#[derive(Clone, Debug)]
pub struct ServerTarget {
    host: String,
    port: u16,
    /// Names that its certificate may have; one of them is enough.
    names: Vec<ServerName<'static>>,
}

impl ServerTarget {
    /// Creates the target for an address `https://host:port`. The server must authenticate as that host, or
    /// as one of `names`. `None` if the address is invalid.
    pub fn new(address: &str, names: &[&str]) -> Option<Self> {
        let uri: Uri = address.parse().ok()?;
        let host = uri.host()?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        let names = names.iter().copied().chain([host.as_str()]);
        let names = names.filter_map(|name| ServerName::try_from(name.to_owned()).ok()).collect();
        Some(Self { port: uri.port_u16()?, host, names })
    }
}

impl ClientTls {
    /// Creates the settings from files, which are re-read when they change.
    ///
    /// # Errors
    /// Returns a sentence if files are missing or invalid.
    pub fn new(files: TlsFiles) -> Result<Self, String> {
        Ok(Self { material: Arc::new(ReloadedOnChange::new(files, client_configs)?) })
    }

    /// Creates the settings from certificates in memory.
    ///
    /// # Errors
    /// Returns a sentence if these are invalid.
    pub fn in_memory(pem: &TlsPem) -> Result<Self, String> {
        Ok(Self { material: Arc::new(ReloadedOnChange::fixed(client_configs(pem.read()?)?)) })
    }

    /// Returns the reason why changed files are not used, as a sentence; `None` if they are. This may read
    /// files.
    pub fn reload_error(&self) -> Option<String> {
        self.material.reload_error()
    }

    /// Returns a channel to `target`, with the other properties of `endpoint`. Each connection uses the
    /// content of the files at that time.
    pub fn channel(&self, endpoint: &Endpoint, target: ServerTarget) -> Channel {
        let (asking, target) = (self.clone(), Arc::new(target));
        let limit = endpoint.get_connect_timeout();
        // Of what the connector itself says, the caller knows that there was no connection; not so of a time limit
        // around it.
        let outer =
            limit.map_or_else(|| endpoint.clone(), |limit| endpoint.clone().connect_timeout(limit * 2));
        outer.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let (asking, target) = (asking.clone(), Arc::clone(&target));
            async move {
                let connected = match limit {
                    Some(limit) => asking.connect_within(&target, limit).await,
                    None => asking.connect(&target).await,
                };
                connected.map(TokioIo::new)
            }
        }))
    }

    /// Connects with `target`, by the content of the files at that time.
    ///
    /// # Errors
    /// Returns an error if there is no connection within `limit`, or if either end does not believe the other one.
    pub async fn connect_within(
        &self,
        target: &ServerTarget,
        limit: Duration,
    ) -> io::Result<BufReader<TlsStream<TcpStream>>> {
        tokio::time::timeout(limit, self.connect(target)).await.unwrap_or_else(|_| {
            let message = format!("no TLS connection within {} s", limit.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        })
    }

    /// Connects, and waits for the first data from the server. Only then is it known whether the server
    /// accepted the client's certificate: in TLS 1.3, a rejection arrives after the handshake.
    async fn connect(&self, target: &ServerTarget) -> io::Result<BufReader<TlsStream<TcpStream>>> {
        let asked = target.names.first().cloned();
        let asked =
            asked.ok_or_else(|| io::Error::other("the server has no name that a certificate can have"))?;
        let current = self.material.current();
        let mut config = current.plain.clone();
        let of_the_ca = Arc::clone(&current.of_the_ca);
        let verifier = AnyNameVerifier { of_the_ca, names: target.names.clone() };
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(asked, stream).await?;
        let mut stream = BufReader::new(stream);
        // An HTTP/2 server sends data first too (RFC 9113, section 3.4); the data stays in the buffer.
        if stream.fill_buf().await?.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended the connection at once"));
        }
        Ok(stream)
    }
}

/// Returns a channel that answers every call with the error `reason`.
pub fn failing_channel(endpoint: &Endpoint, reason: &'static str) -> Channel {
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| async move {
        Err::<TokioIo<TcpStream>, _>(io::Error::other(reason))
    }))
}

fn client_configs(material: TlsMaterial) -> Result<ClientConfigs, String> {
    if material.roots.is_empty() {
        return Err("without a CA no server can be believed".to_owned());
    }
    let of_the_ca = WebPkiServerVerifier::builder_with_provider(material.roots, provider())
        .build()
        .map_err(|error| format!("the CA cannot be used: {error}"))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_webpki_verifier(Arc::clone(&of_the_ca));
    let mut plain = match material.own {
        Some((certificates, key)) => builder
            .with_client_auth_cert(certificates, key)
            .map_err(|error| format!("the certificate and the key cannot be used: {error}"))?,
        None => builder.with_no_client_auth(),
    };
    plain.alpn_protocols = vec![b"h2".to_vec()];
    // Every connection is authenticated; sessions are not resumed.
    plain.resumption = Resumption::disabled();
    Ok(ClientConfigs { plain, of_the_ca })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_have_its_own_name_or_that_of_its_address() {
        let target = ServerTarget::new("https://10.0.0.7:7601", &["c9t1"]).unwrap();
        let names: Vec<_> = target.names.iter().map(|name| name.to_str().into_owned()).collect();
        assert_eq!(names, ["c9t1", "10.0.0.7"]);
        assert_eq!(ServerTarget::new("https://[::1]:1", &[]).unwrap().host, "::1");
        assert!(ServerTarget::new("https://h", &[]).is_none());
    }
}
