//! Verification of the other end of a connection.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use super::certificate::Certificate;

/// Verifier that accepts clients of the CA with a host certificate that has one of these DNS names.
///
/// A user's certificate has no DNS name: no user can become the aggregator by having its common name.
#[derive(Debug)]
pub(super) struct PinnedClientVerifier {
    pub(super) of_the_ca: Arc<dyn ClientCertVerifier>,
    pub(super) names: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("it is that of \"{name}\", and only {wanted} is obeyed")]
struct NameMismatch {
    name: String,
    wanted: String,
}

impl ClientCertVerifier for PinnedClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.of_the_ca.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.of_the_ca.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = Certificate::parse(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if certificate
            .dns
            .iter()
            .any(|name| self.names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)))
        {
            return Ok(verified);
        }
        let wanted = self.names.join(", ");
        let wrong = OtherError(Arc::new(NameMismatch { name: certificate.name, wanted }));
        Err(Error::InvalidCertificate(CertificateError::Other(wrong)))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.of_the_ca.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.of_the_ca.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.of_the_ca.supported_verify_schemes()
    }
}

/// Verifier that accepts a server of the CA under any of these names.
#[derive(Debug)]
pub(super) struct AnyNameVerifier {
    pub(super) of_the_ca: Arc<WebPkiServerVerifier>,
    pub(super) names: Vec<ServerName<'static>>,
}

impl ServerCertVerifier for AnyNameVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |name: &ServerName<'_>| {
            self.of_the_ca.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
        };
        let refused = match verify(asked) {
            Ok(verified) => return Ok(verified),
            Err(refused) => refused,
        };
        self.names.iter().find_map(|name| verify(name).ok()).ok_or(refused)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.of_the_ca.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.of_the_ca.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.of_the_ca.supported_verify_schemes()
    }
}

/// Returns a verifier that accepts every client certificate of the CA, and also clients without a certificate
/// if `may_be_unknown`.
pub(super) fn client_verifier(
    roots: Arc<rustls::RootCertStore>,
    may_be_unknown: bool,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, super::files::provider());
    if may_be_unknown {
        builder = builder.allow_unauthenticated();
    }
    builder.build().map_err(|error| format!("the CA cannot be used: {error}"))
}
