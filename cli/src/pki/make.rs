//! Certificates, as values.

use std::net::IpAddr;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rta_shared::text::printable;
use time::{Duration, OffsetDateTime};

/// How long a CA holds.
const AUTHORITY_DAYS: i64 = 3650;
/// How long everything else holds: a year and a month to renew it in, as browsers allow at most.
const DAYS: i64 = 397;
/// Clocks of other hosts may be behind.
const BEHIND: Duration = Duration::hours(1);

/// A certificate and its key, as PEM.
pub(crate) struct Made {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Whom a certificate is for.
pub(crate) struct Subject {
    pub(crate) name: String,
    /// DNS names and addresses; a user has none.
    alternatives: Vec<String>,
    uses: Vec<ExtendedKeyUsagePurpose>,
}

impl Subject {
    /// A host, which serves and asks.
    ///
    /// # Errors
    /// A name that is no host's.
    pub(crate) fn host(name: &str, ip: &[IpAddr], dns: &[String]) -> Result<Self, String> {
        let name = checked(name)?.to_lowercase();
        let mut alternatives = vec![name.clone()];
        for other in dns {
            alternatives.push(checked(other)?.to_lowercase());
        }
        alternatives.extend(ip.iter().map(IpAddr::to_string));
        let uses = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Ok(Self { name, alternatives, uses })
    }

    /// A person or a script, who asks.
    ///
    /// # Errors
    /// A name that cannot be a file's.
    pub(crate) fn user(name: &str) -> Result<Self, String> {
        let name = checked(name)?.to_owned();
        Ok(Self { name, alternatives: Vec::new(), uses: vec![ExtendedKeyUsagePurpose::ClientAuth] })
    }

    /// The names that it is for, for people.
    pub(crate) fn names(&self) -> String {
        self.alternatives.join(", ")
    }
}

/// A name that can be a file's, whatever folder it is in.
fn checked(name: &str) -> Result<&str, String> {
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

/// A CA of its own.
pub(crate) fn authority(now: Timestamp) -> Result<Made, String> {
    let mut params = params("rta private CA", Vec::new(), now, AUTHORITY_DAYS)?;
    // It signs no other CA.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(told)?;
    let certificate = params.self_signed(&key).map_err(told)?;
    Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// The CA, which signs.
pub(crate) struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// The CA of this certificate and key, as PEM.
    ///
    /// # Errors
    /// Text that is none.
    pub(crate) fn new(certificate: &str, key: &str) -> Result<Self, String> {
        let broken = |error: rcgen::Error| format!("the CA is broken: {error}");
        let key = KeyPair::from_pem(key).map_err(broken)?;
        Issuer::from_ca_cert_pem(certificate, key).map(Self).map_err(broken)
    }

    /// A certificate with a new key.
    pub(crate) fn sign(&self, subject: &Subject, now: Timestamp) -> Result<Made, String> {
        let mut params = params(&subject.name, subject.alternatives.clone(), now, DAYS)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = subject.uses.clone();
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(told)?;
        let certificate = params.signed_by(&key, &self.0).map_err(told)?;
        Ok(Made { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn params(
    name: &str,
    alternatives: Vec<String>,
    now: Timestamp,
    days: i64,
) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::new(alternatives).map_err(told)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = OffsetDateTime::from_unix_timestamp(now.as_second()).map_err(|error| error.to_string())?;
    params.not_before = now - BEHIND;
    params.not_after = now + Duration::days(days);
    Ok(params)
}

fn told(error: rcgen::Error) -> String {
    format!("the certificate cannot be made: {error}")
}
