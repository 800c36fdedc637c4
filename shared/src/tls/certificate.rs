//! What a certificate says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::files::certificates;
use crate::text::{counted, printable};

const DAY: i64 = 24 * 60 * 60;

/// How often the certificates in use are looked at: whether they end soon, and whether renewed ones are right.
pub const EXPIRY_LOOK: Duration = Duration::from_secs(5);

/// How many days ahead of its end a certificate is worth a warning.
pub const WARN_DAYS: i64 = 30;

/// What of a certificate matters to rta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The common name of its subject; empty: none.
    pub name: String,
    /// The DNS names that it is for.
    pub dns: Vec<String>,
    /// The addresses that it is for.
    pub ip: Vec<IpAddr>,
    /// It may prove who a server is.
    pub for_servers: bool,
    /// It may prove who a client is.
    pub for_clients: bool,
    /// It signs others.
    pub is_ca: bool,
    /// The moment from which it holds.
    pub not_before: Timestamp,
    /// The moment after which it does not hold any more.
    pub not_after: Timestamp,
}

/// Who the other end of a connection has proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A person, or a machine.
    pub kind: IdentityKind,
    /// The certificate's common name.
    pub name: String,
}

/// What a certificate was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityKind {
    /// A person's or a script's: it can only ask.
    User,
    /// A machine's: it also serves. What a stolen one of these can do is kept small.
    Host,
}

impl Certificate {
    /// What a certificate says; nothing of it is verified.
    ///
    /// # Errors
    /// Bytes that are no certificate.
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

    /// The first certificate of a PEM file.
    ///
    /// # Errors
    /// A sentence: a file that cannot be read, or holds none.
    pub fn read(path: &Path) -> Result<Self, String> {
        let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let der = CertificateDer::from_pem_file(path).map_err(|error| told(&error))?;
        Self::parse(&der).map_err(|error| told(&error))
    }

    /// Every certificate of a PEM file.
    ///
    /// # Errors
    /// A sentence: a file that cannot be read, or of which one is none.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, String> {
        certificates(path)?.iter().map(|der| Self::parse(der)).collect()
    }

    /// Whole days from `now` until it does not hold any more; negative when that has passed.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        days_left(self.not_after, now)
    }

    /// Whom it names.
    pub fn identity(&self) -> Identity {
        let kind = if self.for_servers { IdentityKind::Host } else { IdentityKind::User };
        Identity { kind, name: self.name.clone() }
    }
}

fn days_left(ends: Timestamp, now: Timestamp) -> i64 {
    (ends.as_second() - now.as_second()).div_euclid(DAY)
}

/// What is to be said of a certificate that ends at this moment: `ends in 12 days`, `ended 3 days ago`.
pub fn end(ends: Timestamp, now: Timestamp) -> String {
    let days = |days: i64| counted(usize::try_from(days).unwrap_or_default(), "day");
    match days_left(ends, now) {
        left @ 0.. => format!("ends in {}", days(left)),
        left => format!("ended {} ago", days(-1 - left)),
    }
}

/// Whether one that ends at this moment is worth a warning: [`WARN_DAYS`] before that, and ever after.
pub fn is_ending(ends: Timestamp, now: Timestamp) -> bool {
    days_left(ends, now) <= WARN_DAYS
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes)));
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)))).ok()
}
