//! TLS connections to servers that are not rta's own, such as those that probes ask: the server is verified,
//! the client shows no certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::Certificate;
use super::error_text::describe_tls_error;
use super::files::{certificates, provider};

/// Files in which Linux distributions keep the CAs that a host trusts; the first that exists is used.
const TRUSTED_BY_THE_HOST: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// Verified connection to a server.
#[derive(Debug)]
pub struct CheckedServer {
    /// Connection.
    pub stream: TlsStream<TcpStream>,
    /// Time at which the server's certificate expires.
    pub expires_at: Timestamp,
}

/// Makes the TLS handshake on `stream`, asking for the server `name`. The server's certificate must be valid
/// for that name, and issued by a CA of the file `ca`, or by one that the host trusts. The file is read each
/// time, so that a renewed one counts at once.
///
/// # Errors
/// Returns a part of a sentence if the file cannot be used, or if the server is not verified.
pub async fn connect_verified(
    stream: TcpStream,
    name: &str,
    ca: Option<PathBuf>,
) -> Result<CheckedServer, String> {
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| "it has no name that a certificate can have".to_owned())?;
    // Off the runtime: the disk may hang.
    let config = tokio::task::spawn_blocking(move || client_config(ca.as_deref())).await;
    let config = config.map_err(|error| format!("the CA cannot be read: {error}"))??;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = connected.map_err(|error| {
        describe_tls_error(&error).unwrap_or_else(|| format!("the TLS handshake failed: {error}"))
    })?;
    let own = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
    let own = own.ok_or("it showed no certificate")?;
    Ok(CheckedServer { expires_at: Certificate::parse(own)?.not_after, stream })
}

fn client_config(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Each connection is a full check of the certificate.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| format!("the CA {}: {error}", ca.display()))?;
        }
        return Ok(roots);
    }
    let bundle = TRUSTED_BY_THE_HOST.into_iter().map(Path::new).find(|path| path.exists());
    let bundle =
        bundle.ok_or("this host has no list of trusted CAs; install ca-certificates, or set \"ca\"")?;
    // A CA that cannot be parsed must not make all others unusable.
    roots.add_parsable_certificates(certificates(bundle)?);
    Ok(roots)
}
