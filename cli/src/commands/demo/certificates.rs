//! Certificates of the demo, kept in memory.

use jiff::Timestamp;
use rta_shared::tls::TlsPem;

use crate::commands::pki::signing::{CertificateAuthority, CertificateSubject, create_authority};

/// CA that lives as long as the demo.
pub(crate) struct DemoCa {
    authority: CertificateAuthority,
    certificate: String,
    made: Timestamp,
}

impl DemoCa {
    pub(crate) fn new() -> Result<Self, String> {
        let made = Timestamp::now();
        let own = create_authority(made)?;
        let authority = CertificateAuthority::new(&own.certificate, &own.key)?;
        Ok(Self { authority, certificate: own.certificate, made })
    }

    /// Returns a new certificate of the host `name` with its key, and the CA's certificate.
    pub(crate) fn host(&self, name: &str) -> Result<TlsPem, String> {
        let own = self.authority.sign(&CertificateSubject::host(name, &[], &[])?, self.made)?;
        Ok(TlsPem { certificate: own.certificate, key: own.key, ca: self.certificate.clone() })
    }
}
