//! Certificate, key and CA in files, which are re-read when they change.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Minimum interval between two checks whether the files have changed.
pub(super) const RELOAD_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Files with a program's own certificate and the CA that it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Own certificate with its chain up to the CA, and the key; `None`: the program does not authenticate
    /// itself.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Certificates of the trusted CA; `None`: no certificate is requested from the other end.
    pub ca: Option<PathBuf>,
}

/// Returns a message that a program does not serve gRPC over TCP without TLS, with the remedy: `flag`
/// requests `address`, and the program's certificate is called `name`.
pub fn missing_certificate(flag: &str, address: SocketAddr, name: &str) -> String {
    format!(
        "{flag} {address} needs TLS: make certificates with rta pki init and rta pki host {name}, and give --tls-cert, \
         --tls-key and --tls-ca; or add --insecure, with which anyone who reaches the port can stop the platform"
    )
}

/// Certificate, key and CA as PEM text, for credentials that are never written to disk.
#[derive(Clone)]
pub struct TlsPem {
    /// Own certificate.
    pub certificate: String,
    /// Key of the certificate.
    pub key: String,
    /// Trusted CA.
    pub ca: String,
}

impl TlsPem {
    /// Parses the texts.
    ///
    /// # Errors
    /// Returns a sentence if a text is invalid.
    pub(super) fn read(&self) -> Result<TlsMaterial, String> {
        let describe_error = |error: rustls::pki_types::pem::Error| format!("the certificate: {error}");
        let own = CertificateDer::from_pem_slice(self.certificate.as_bytes()).map_err(describe_error)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|error| format!("the key: {error}"))?;
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.ca.as_bytes()).map_err(describe_error)?;
        roots.add(ca).map_err(|error| format!("the CA: {error}"))?;
        Ok(TlsMaterial { own: Some((vec![own], key)), roots: Arc::new(roots) })
    }
}

/// Content of [`TlsFiles`].
pub struct TlsMaterial {
    /// Own certificate and key.
    pub own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// Trusted CA.
    pub roots: Arc<RootCertStore>,
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// Returns a sentence that names the file if it cannot be read or is invalid.
    pub fn read(&self) -> Result<TlsMaterial, String> {
        let own = match &self.own {
            None => None,
            Some((certificate, key)) => {
                let own = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| format!("the key {}: {error}{}", key.display(), advice(key)))?;
                Some((own, key))
            }
        };
        let mut roots = RootCertStore::empty();
        if let Some(ca) = &self.ca {
            for certificate in certificates(ca)? {
                roots.add(certificate).map_err(|error| format!("the CA {}: {error}", ca.display()))?;
            }
        }
        Ok(TlsMaterial { own, roots: Arc::new(roots) })
    }

    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let own = self.own.iter().flat_map(|(certificate, key)| [certificate, key]);
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        own.chain(&self.ca).map(stamp).collect()
    }
}

impl fmt::Display for TlsFiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.own, &self.ca) {
            (Some((certificate, _)), _) => write!(formatter, "{}", certificate.display()),
            (None, Some(ca)) => write!(formatter, "{}", ca.display()),
            (None, None) => formatter.write_str("no file"),
        }
    }
}

/// Returns the remedy for a missing file; empty if it exists.
fn advice(path: &Path) -> &'static str {
    match path.try_exists() {
        Ok(false) => "; make it with rta pki init and rta pki host NAME --install DIR",
        Ok(true) | Err(_) => "",
    }
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(format!("the certificate {}: there is none in it", path.display()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("the certificate {}: {error}{}", path.display(), advice(path))),
    }
}

/// Returns the cryptography provider that all TLS configurations use.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Value that is made from files, and remade when they change. If the new files are invalid, the old value
/// stays in use.
pub(super) struct ReloadedOnChange<T> {
    files: TlsFiles,
    make: Box<dyn Fn(TlsMaterial) -> Result<T, String> + Send + Sync>,
    state: Mutex<ReloadState<T>>,
}

struct ReloadState<T> {
    current: Arc<T>,
    stamps: Vec<Option<(SystemTime, u64)>>,
    looked: Instant,
    /// Reason why the current files are not used.
    trouble: Option<String>,
}

impl<T> ReloadedOnChange<T> {
    /// Reads the files and makes the value.
    ///
    /// # Errors
    /// Returns a sentence if the files are invalid from the start.
    pub(super) fn new(
        files: TlsFiles,
        make: impl Fn(TlsMaterial) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let stamps = files.stamps();
        let current = Arc::new(make(files.read()?)?);
        let state = Mutex::new(ReloadState { current, stamps, looked: Instant::now(), trouble: None });
        Ok(Self { files, make: Box::new(make), state })
    }

    /// Creates a value that never changes and has no files.
    pub(super) fn fixed(current: T) -> Self {
        let state = ReloadState {
            current: Arc::new(current),
            stamps: Vec::new(),
            looked: Instant::now(),
            trouble: None,
        };
        // Without files the value is never remade.
        let make = Box::new(|_| Err("there are no files".to_owned()));
        Self { files: TlsFiles { own: None, ca: None }, make, state: Mutex::new(state) }
    }

    /// Returns the value for the files' content, which is at most a second old.
    pub(super) fn current(&self) -> Arc<T> {
        self.current_at(Instant::now())
    }

    /// Returns the reason why the current files are not used, as a sentence. This may read them.
    pub(super) fn reload_error(&self) -> Option<String> {
        self.current();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone()
    }

    fn current_at(&self, now: Instant) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(state.looked) >= RELOAD_CHECK_INTERVAL {
            state.looked = now;
            // Taken before the files are read: a change in the meantime is noticed the next time.
            let stamps = self.files.stamps();
            if stamps != state.stamps {
                state.stamps = stamps;
                match self.files.read().and_then(&self.make) {
                    Ok(renewed) => {
                        state.current = Arc::new(renewed);
                        state.trouble = None;
                        tracing::info!(files = %self.files, "renewed TLS files are used from now on");
                    }
                    Err(reason) => {
                        tracing::error!(reason, "the changed TLS files are broken; those from before go on");
                        state.trouble = Some(format!(
                            "{reason}; the TLS files from before are used until rta ends: repair them"
                        ));
                    }
                }
            }
        }
        Arc::clone(&state.current)
    }
}

impl<T> fmt::Debug for ReloadedOnChange<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Renewed").field("files", &self.files).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_files_are_read_anew_and_broken_ones_are_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        // Any certificate will do, because it is only counted.
        let block = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, block).unwrap();
        let counted = path.clone();
        let none = TlsFiles { own: None, ca: None };
        let renewed = ReloadedOnChange::new(none, move |_| certificates(&counted).map(|all| all.len()));
        let mut renewed = renewed.unwrap();
        // The files are watched from here on.
        renewed.files.own = Some((path.clone(), path.clone()));
        renewed.state.get_mut().unwrap().stamps = renewed.files.stamps();
        let begin = Instant::now();
        assert_eq!(*renewed.current_at(begin), 1);
        std::fs::write(&path, "rubbish").unwrap();
        assert_eq!(*renewed.current_at(begin + RELOAD_CHECK_INTERVAL), 1, "broken");
        let trouble = renewed.reload_error().unwrap();
        assert!(trouble.contains("there is none in it; the TLS files from before are used"), "{trouble}");
        let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        std::fs::write(&path, format!("{block}{block}{key}")).unwrap();
        assert_eq!(
            *renewed.current_at(begin + RELOAD_CHECK_INTERVAL),
            1,
            "not looked at twice within a second"
        );
        assert_eq!(*renewed.current_at(begin + 2 * RELOAD_CHECK_INTERVAL), 2);
        assert_eq!(renewed.reload_error(), None);
    }
}
