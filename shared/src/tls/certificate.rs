//! Content of certificates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::files::certificates;
use crate::format::counted;
use crate::sanitize::printable;

const DAY: i64 = 24 * 60 * 60;

/// Interval between two checks of the certificates in use: whether they expire soon, and whether renewed ones
/// are valid.
pub const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Number of days before its expiry from which a certificate causes a warning.
pub const WARN_DAYS: i64 = 30;

/// Content of a certificate that rta uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Common name of the subject; empty if there is none.
    pub name: String,
    /// DNS names for which it is valid.
    pub dns: Vec<String>,
    /// IP addresses for which it is valid.
    pub ip: Vec<IpAddr>,
    /// True if it may authenticate a server.
    pub for_servers: bool,
    /// True if it may authenticate a client.
    pub for_clients: bool,
    /// True if it may sign other certificates.
    pub is_ca: bool,
    /// Start of its validity.
    pub not_before: Timestamp,
    /// End of its validity.
    pub not_after: Timestamp,
}

/// Authenticated identity of the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateIdentity {
    /// Kind of the identity: a person, or a machine.
    pub kind: IdentityKind,
    /// Common name of the certificate.
    pub name: String,
    /// DNS names of the certificate.
    pub dns: Vec<String>,
}

impl CertificateIdentity {
    /// Returns true if this is a machine under one of these DNS names.
    pub fn is_host_named(&self, names: &[String]) -> bool {
        self.kind == IdentityKind::Host
            && self.dns.iter().any(|own| names.iter().any(|name| name.eq_ignore_ascii_case(own)))
    }
}

/// Kind of the holder of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityKind {
    /// Person or script, which can only be a client.
    User,
    /// Machine, which is also a server. The rights of such a certificate are limited, in case it is stolen.
    Host,
}

impl Certificate {
    /// Parses a certificate without verifying it.
    ///
    /// # Errors
    /// Returns an error if the bytes are not a certificate.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|error| format!("no certificate: {error}"))?;
        let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let (mut dns, mut ip) = (Vec::new(), Vec::new());
        if let Ok(Some(names)) = parsed.subject_alternative_name() {
            for name in &names.value.general_names {
                match name {
                    GeneralName::DNSName(name) => dns.push(name.to_ascii_lowercase()),
                    GeneralName::IPAddress(bytes) => ip.extend(address(bytes)),
                    _ => {}
                }
            }
        }
        let uses = parsed.extended_key_usage().ok().flatten().map(|uses| uses.value);
        let moment = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        Ok(Self {
            name: printable(name.unwrap_or_default()).into(),
            dns,
            ip,
            for_servers: uses.is_none_or(|uses| uses.any || uses.server_auth),
            for_clients: uses.is_none_or(|uses| uses.any || uses.client_auth),
            is_ca: parsed.is_ca(),
            not_before: moment(parsed.validity().not_before.timestamp()),
            not_after: moment(parsed.validity().not_after.timestamp()),
        })
    }

    /// Reads the first certificate of a PEM file.
    ///
    /// # Errors
    /// Returns a sentence if the file cannot be read, or contains no certificate.
    pub fn read(path: &Path) -> Result<Self, String> {
        let describe_error = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let der = CertificateDer::from_pem_file(path).map_err(|error| describe_error(&error))?;
        Self::parse(&der).map_err(|error| describe_error(&error))
    }

    /// Reads all certificates of a PEM file.
    ///
    /// # Errors
    /// Returns a sentence if the file cannot be read, or if one of its certificates is invalid.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, String> {
        certificates(path)?.iter().map(|der| Self::parse(der)).collect()
    }

    /// Returns the number of whole days from `now` until it expires; negative after that.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        days_left(self.not_after, now)
    }

    /// Returns the identity of the holder.
    pub fn identity(&self) -> CertificateIdentity {
        let kind = if self.for_servers { IdentityKind::Host } else { IdentityKind::User };
        CertificateIdentity { kind, name: self.name.clone(), dns: self.dns.clone() }
    }
}

/// Returns the number of whole days from `now` until `ends`; negative after that.
pub fn days_left(ends: Timestamp, now: Timestamp) -> i64 {
    (ends.as_second() - now.as_second()).div_euclid(DAY)
}

/// Describes the expiry of a certificate: `ends in 12 days`, `ended 3 days ago`.
pub fn expiry_text(ends: Timestamp, now: Timestamp) -> String {
    let days = |days: i64| counted(usize::try_from(days).unwrap_or_default(), "day");
    match days_left(ends, now) {
        left @ 0.. => format!("ends in {}", days(left)),
        left => format!("ended {} ago", days(-1 - left)),
    }
}

/// Returns true if a certificate with this expiry causes a warning: from [`WARN_DAYS`] days before, and also
/// after that.
pub fn expires_soon(ends: Timestamp, now: Timestamp) -> bool {
    days_left(ends, now) <= WARN_DAYS
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)))).ok()
}
