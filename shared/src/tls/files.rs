//! Certificate, key and CA as files, read anew when they change.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Whether the files have changed is looked at once in this time at most.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Where a program finds who it is and whom it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Its certificate, and what leads from there to the CA, and the key; `None`: it does not say who it is.
    pub own: Option<(PathBuf, PathBuf)>,
    /// The certificates of the CA whose certificates are believed; `None`: nobody's are asked for.
    pub ca: Option<PathBuf>,
}

/// Says that a program does not serve gRPC over TCP without TLS, and what to do: `flag` asks for `address`, and the
/// program's certificate is called `name`.
pub fn missing_certificate(flag: &str, address: SocketAddr, name: &str) -> String {
    format!(
        "{flag} {address} needs TLS: make certificates with rta pki init and rta pki host {name}, and give --tls-cert, \
         --tls-key and --tls-ca; or add --insecure, with which whoever reaches the port can stop the platform"
    )
}

/// Certificate, key and CA as PEM text, for what never touches a disk.
#[derive(Clone)]
pub struct TlsPem {
    /// The own certificate.
    pub certificate: String,
    /// The key of the certificate.
    pub key: String,
    /// The CA whose certificates are believed.
    pub ca: String,
}

impl TlsPem {
    /// # Errors
    /// Returns a sentence if a text is not what it should be.
    pub(super) fn read(&self) -> Result<Material, String> {
        let told = |error: rustls::pki_types::pem::Error| format!("the certificate: {error}");
        let own = CertificateDer::from_pem_slice(self.certificate.as_bytes()).map_err(told)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|error| format!("the key: {error}"))?;
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.ca.as_bytes()).map_err(told)?;
        roots.add(ca).map_err(|error| format!("the CA: {error}"))?;
        Ok(Material { own: Some((vec![own], key)), roots: Arc::new(roots) })
    }
}

/// What [`TlsFiles`] hold.
pub struct Material {
    /// The own certificate and key.
    pub own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// Who is believed.
    pub roots: Arc<RootCertStore>,
}

impl TlsFiles {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn read(&self) -> Result<Material, String> {
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
        Ok(Material { own, roots: Arc::new(roots) })
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

/// What to do where a file is missing; empty where it is there.
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

/// The one provider of cryptography.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What is made of files, and made anew when they change. Where the new ones are broken, the old goes on.
pub(super) struct Renewed<T> {
    files: TlsFiles,
    make: Box<dyn Fn(Material) -> Result<T, String> + Send + Sync>,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Arc<T>,
    stamps: Vec<Option<(SystemTime, u64)>>,
    looked: Instant,
    /// Why the files as they are now are not used.
    trouble: Option<String>,
}

impl<T> Renewed<T> {
    /// # Errors
    /// A sentence: files that are broken from the beginning.
    pub(super) fn new(
        files: TlsFiles,
        make: impl Fn(Material) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let stamps = files.stamps();
        let current = Arc::new(make(files.read()?)?);
        let state = Mutex::new(State { current, stamps, looked: Instant::now(), trouble: None });
        Ok(Self { files, make: Box::new(make), state })
    }

    /// What never changes, and is in no file.
    pub(super) fn fixed(current: T) -> Self {
        let state =
            State { current: Arc::new(current), stamps: Vec::new(), looked: Instant::now(), trouble: None };
        // Without files nothing is ever made again.
        let make = Box::new(|_| Err("there are no files".to_owned()));
        Self { files: TlsFiles { own: None, ca: None }, make, state: Mutex::new(state) }
    }

    /// What the files say, not older than a second.
    pub(super) fn current(&self) -> Arc<T> {
        self.current_at(Instant::now())
    }

    /// Returns why the files as they are now are not used, as a sentence. It may read them.
    pub(super) fn trouble(&self) -> Option<String> {
        self.current();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone()
    }

    fn current_at(&self, now: Instant) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(state.looked) >= LOOK {
            state.looked = now;
            // Taken before the files are read: what changes meanwhile is seen the next time.
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

impl<T> fmt::Debug for Renewed<T> {
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
        // Any certificate does: it is only counted.
        let block = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        std::fs::write(&path, block).unwrap();
        let counted = path.clone();
        let none = TlsFiles { own: None, ca: None };
        let renewed = Renewed::new(none, move |_| certificates(&counted).map(|all| all.len()));
        let mut renewed = renewed.unwrap();
        // Followed from here on.
        renewed.files.own = Some((path.clone(), path.clone()));
        renewed.state.get_mut().unwrap().stamps = renewed.files.stamps();
        let begin = Instant::now();
        assert_eq!(*renewed.current_at(begin), 1);
        std::fs::write(&path, "rubbish").unwrap();
        assert_eq!(*renewed.current_at(begin + LOOK), 1, "broken");
        let trouble = renewed.trouble().unwrap();
        assert!(trouble.contains("there is none in it; the TLS files from before are used"), "{trouble}");
        let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        std::fs::write(&path, format!("{block}{block}{key}")).unwrap();
        assert_eq!(*renewed.current_at(begin + LOOK), 1, "not looked at twice within a second");
        assert_eq!(*renewed.current_at(begin + 2 * LOOK), 2);
        assert_eq!(renewed.trouble(), None);
    }
}
