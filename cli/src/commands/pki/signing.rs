//! Creation of certificates, as values.

use std::net::IpAddr;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rta_shared::sanitize::printable;
use time::{Duration, OffsetDateTime};

/// Lifetime of a CA.
const AUTHORITY_DAYS: i64 = 3650;
/// Lifetime of every other certificate: a year plus a month for its renewal, the maximum that browsers allow.
const CERTIFICATE_DAYS: i64 = 397;
/// Margin before the start of validity, because clocks of other hosts may be behind.
const CLOCK_MARGIN: Duration = Duration::hours(1);

/// Certificate and its key, as PEM.
pub(crate) struct CertificateAndKey {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Owner of a certificate.
pub(crate) struct CertificateSubject {
    pub(crate) name: String,
    /// DNS names and addresses; empty for a user.
    alternatives: Vec<String>,
    uses: Vec<ExtendedKeyUsagePurpose>,
}

impl CertificateSubject {
    /// Creates the subject of a host, which acts as server and client.
    ///
    /// # Errors
    /// Returns an error if a name is not valid for a certificate.
    pub(crate) fn host(name: &str, ip: &[IpAddr], dns: &[String]) -> Result<Self, String> {
        let name = validate_name(name)?.to_lowercase();
        let mut alternatives = vec![name.clone()];
        for other in dns {
            alternatives.push(validate_name(other)?.to_lowercase());
        }
        alternatives.extend(ip.iter().map(IpAddr::to_string));
        let uses = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Ok(Self { name, alternatives, uses })
    }

    /// Creates the subject of a person or script, which acts as client only.
    ///
    /// # Errors
    /// Returns an error if the name is not valid for a file.
    pub(crate) fn user(name: &str) -> Result<Self, String> {
        let name = validate_name(name)?.to_owned();
        Ok(Self { name, alternatives: Vec::new(), uses: vec![ExtendedKeyUsagePurpose::ClientAuth] })
    }

    /// Returns the names and addresses of the certificate, for display.
    pub(crate) fn names(&self) -> String {
        self.alternatives.join(", ")
    }
}

/// Returns the name if it is a safe file name in any folder.
fn validate_name(name: &str) -> Result<&str, String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | '@');
    let first = name.chars().next().is_some_and(|letter| letter.is_ascii_alphanumeric());
    // NAME-key.pem is the key of NAME.
    if first && !name.ends_with("-key") && name.len() <= 64 && name.chars().all(allowed) {
        return Ok(name);
    }
    Err(format!(
        "\"{}\" is no name for a certificate; write at most 64 letters, digits, '.', '-', '_' and '@', not ending in \"-key\"",
        printable(name)
    ))
}

/// Creates a self-signed CA.
pub(crate) fn create_authority(now: Timestamp) -> Result<CertificateAndKey, String> {
    let mut params = certificate_params("rta private CA", Vec::new(), now, AUTHORITY_DAYS)?;
    // The CA may not sign other CAs.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(creation_error)?;
    let certificate = params.self_signed(&key).map_err(creation_error)?;
    Ok(CertificateAndKey { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// CA that signs certificates.
pub(crate) struct CertificateAuthority(Issuer<'static, KeyPair>);

impl CertificateAuthority {
    /// Loads a CA from its certificate and key, as PEM.
    ///
    /// # Errors
    /// Returns an error if the certificate or key cannot be parsed.
    pub(crate) fn new(certificate: &str, key: &str) -> Result<Self, String> {
        let broken = |error: rcgen::Error| format!("the CA is broken: {error}");
        let key = KeyPair::from_pem(key).map_err(broken)?;
        Issuer::from_ca_cert_pem(certificate, key).map(Self).map_err(broken)
    }

    /// Signs a certificate with a new key.
    pub(crate) fn sign(
        &self,
        subject: &CertificateSubject,
        now: Timestamp,
    ) -> Result<CertificateAndKey, String> {
        let mut params =
            certificate_params(&subject.name, subject.alternatives.clone(), now, CERTIFICATE_DAYS)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = subject.uses.clone();
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(creation_error)?;
        let certificate = params.signed_by(&key, &self.0).map_err(creation_error)?;
        Ok(CertificateAndKey { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn certificate_params(
    name: &str,
    alternatives: Vec<String>,
    now: Timestamp,
    days: i64,
) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::new(alternatives).map_err(creation_error)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::from_unix_timestamp(now.as_second()).map_err(|error| error.to_string())?;
    params.not_before = now - CLOCK_MARGIN;
    params.not_after = now + Duration::days(days);
    Ok(params)
}

fn creation_error(error: rcgen::Error) -> String {
    format!("the certificate cannot be made: {error}")
}
