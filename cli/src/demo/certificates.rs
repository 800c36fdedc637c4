//! Certificates of the demo, kept in memory.

use jiff::Timestamp;
use rta_shared::tls::TlsPem;

use crate::pki::make::{Authority, Subject, authority};

/// CA that lives as long as the demo.
pub(super) struct DemoCa {
    authority: Authority,
    certificate: String,
    made: Timestamp,
}

impl DemoCa {
    pub(super) fn new() -> Result<Self, String> {
        let made = Timestamp::now();
        let own = authority(made)?;
        let authority = Authority::new(&own.certificate, &own.key)?;
        Ok(Self { authority, certificate: own.certificate, made })
    }

    /// Returns a new certificate of the host `name` with its key, and the CA's certificate.
    pub(super) fn host(&self, name: &str) -> Result<TlsPem, String> {
        let own = self.authority.sign(&Subject::host(name, &[], &[])?, self.made)?;
        Ok(TlsPem { certificate: own.certificate, key: own.key, ca: self.certificate.clone() })
    }
}
