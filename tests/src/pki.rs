//! CA created by `rta pki`, and its certificates.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use time::{Duration, OffsetDateTime};

use crate::{TestConfig, run_binary};

/// Connection to a server over TLS.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Folder of a CA, created by the command.
#[derive(Clone, Debug)]
pub struct TestCa(PathBuf);

impl TestCa {
    /// Creates a CA at this path.
    ///
    /// # Panics
    /// Panics if the command fails.
    pub fn new(path: PathBuf) -> Self {
        let pki = Self(path);
        pki.run_pki(&["init"]);
        pki
    }

    /// Opens an existing CA at this path.
    pub fn open(path: PathBuf) -> Self {
        Self(path)
    }

    /// Runs `rta pki` in its folder.
    ///
    /// # Panics
    /// Panics if the command fails.
    pub fn run_pki(&self, arguments: &[&str]) {
        let output = run_binary("rta", ["pki", "--dir", path_text(&self.0)].iter().chain(arguments));
        assert!(output.status.success(), "{output:?}");
    }

    /// Creates a certificate of a host.
    pub fn create_host(&self, name: &str) -> CertificateFiles {
        self.run_pki(&["host", name]);
        self.files(&format!("hosts/{name}"))
    }

    /// Creates a certificate of a person.
    pub fn create_user(&self, name: &str) -> CertificateFiles {
        self.run_pki(&["user", name]);
        self.files(&format!("users/{name}"))
    }

    /// Returns an existing certificate, for example `hosts/h`.
    pub fn files(&self, path: &str) -> CertificateFiles {
        CertificateFiles {
            certificate: self.0.join(format!("{path}.pem")),
            key: self.0.join(format!("{path}-key.pem")),
        }
    }

    /// Returns the path of the CA's certificate.
    pub fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// Connects to a server under `name` as an HTTP/1.1 client that trusts the CA, with a certificate or without.
    ///
    /// # Panics
    /// Panics if a file cannot be read, or if nobody listens.
    pub fn connect(&self, address: SocketAddr, name: &str, own: Option<&CertificateFiles>) -> TlsStream {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.ca()).expect("the CA has a certificate");
        roots.add(ca).expect("the certificate of the CA is valid");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("TLS versions").with_root_certificates(roots);
        let config = match own {
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_file(&own.certificate).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_file(&own.key).expect("a key");
                config.with_client_auth_cert(chain, key).expect("a key of the certificate")
            }
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from(name.to_owned()).expect("a name of a server");
        let connection = ClientConnection::new(Arc::new(config), name).expect("TLS settings");
        StreamOwned::new(connection, TcpStream::connect(address).expect("a server listens"))
    }

    /// Creates a certificate that expired yesterday.
    pub fn create_expired(&self, name: &str) -> CertificateFiles {
        self.create_expiring_in(name, -1)
    }

    /// Creates a certificate that expires in this number of days.
    ///
    /// # Panics
    /// Panics if it cannot be created.
    pub fn create_expiring_in(&self, name: &str, days: i64) -> CertificateFiles {
        let read = |path: &str| std::fs::read_to_string(self.0.join(path)).expect("the CA can be read");
        let issuer = KeyPair::from_pem(&read("ca-key.pem")).expect("the CA has a key");
        let issuer = Issuer::from_ca_cert_pem(&read("ca.pem"), issuer).expect("the CA has a certificate");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = OffsetDateTime::now_utc() - Duration::days(9);
        params.not_after = OffsetDateTime::now_utc() + Duration::days(days) + Duration::hours(1);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate can be signed");
        let own = self.files(&format!("ending-{days}-{name}"));
        std::fs::write(&own.certificate, certificate.pem()).expect("a certificate can be written");
        std::fs::write(&own.key, key.serialize_pem()).expect("a key can be written");
        own
    }
}

/// Certificate and its key.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// File of the certificate.
    pub certificate: PathBuf,
    /// File of the key.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// Returns the flags for a program that presents this certificate and trusts `ca`.
    pub fn flags(&self, ca: &Path) -> Vec<String> {
        flags(&[("--tls-cert", &self.certificate), ("--tls-key", &self.key), ("--tls-ca", ca)])
    }

    /// Returns the flags for an aggregator that serves the page with this certificate.
    pub fn web_flags(&self) -> Vec<String> {
        flags(&[("--web-cert", &self.certificate), ("--web-key", &self.key)])
    }

    /// Overwrites the files of `other` with these, as an administrator would.
    ///
    /// # Panics
    /// Panics if they cannot be copied.
    pub fn replace(&self, other: &Self) {
        std::fs::copy(&self.key, &other.key).expect("a key can be copied");
        std::fs::copy(&self.certificate, &other.certificate).expect("a certificate can be copied");
    }

    /// Copies the files into the test's folder.
    pub fn copy(&self, config: &TestConfig, name: &str) -> Self {
        let copy = Self {
            certificate: config.path(&format!("{name}.pem")),
            key: config.path(&format!("{name}-key.pem")),
        };
        self.replace(&copy);
        copy
    }
}

fn flags(flags: &[(&str, &Path)]) -> Vec<String> {
    flags.iter().flat_map(|(flag, path)| [(*flag).to_owned(), path_text(path).to_owned()]).collect()
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a path of a test is text")
}
