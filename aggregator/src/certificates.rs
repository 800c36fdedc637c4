//! Warnings about certificates that expire soon.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rta_shared::impairment::{ImpairedPart, Impairment};
use rta_shared::name::Name;
use rta_shared::tls::certificate::{Certificate, WARN_DAYS, expires_soon, expiry_text};
use rta_shared::tls::{ClientTls, ConnectionAcceptor};

/// Certificates of the aggregator.
#[derive(Debug)]
pub(crate) struct OwnCertificates {
    /// Servers of the aggregator; each has one.
    pub(crate) doors: Vec<ConnectionAcceptor>,
    /// Client configuration for agents; `None`: without TLS.
    pub(crate) agents: Option<ClientTls>,
    /// File of the CA.
    pub(crate) ca: Option<PathBuf>,
}

/// Returns the impairments for the aggregator's own certificates that expire soon or have expired, and for
/// renewed ones that cannot be used.
pub(crate) fn own_impairments(certificates: &OwnCertificates, now: Timestamp) -> Vec<Impairment> {
    let shown = certificates.doors.iter().filter_map(ConnectionAcceptor::certificate);
    // While one CA replaces another the file has both: the newer one counts.
    let ca = certificates.ca.as_deref().and_then(|file| {
        let ends = Certificate::read_all(file).ok()?.iter().map(|certificate| certificate.not_after).max()?;
        Some((file, ends))
    });
    let warning = |(file, ends): (&Path, Timestamp)| {
        let lost = if ends < now { ": connections that need it fail" } else { "" };
        let sentence =
            || format!("the certificate {} {}{lost}; renew it", file.display(), expiry_text(ends, now));
        expires_soon(ends, now).then(|| Impairment::new(ImpairedPart::Certificate, sentence()))
    };
    let ending: Vec<Impairment> = shown.chain(ca).filter_map(warning).collect();
    let doors = certificates.doors.iter().filter_map(ConnectionAcceptor::reload_error);
    let mut refused: Vec<String> =
        doors.chain(certificates.agents.as_ref().and_then(ClientTls::reload_error)).collect();
    refused.sort_unstable();
    // The gRPC server and the agent client use the same files.
    refused.dedup();
    let refused = refused.into_iter().map(|message| Impairment::new(ImpairedPart::Certificate, message));
    refused.chain(ending).collect()
}

/// Returns the impairment for the agents' certificates that expire soon or have expired: one sentence, since
/// they are often issued on one day.
/// `ends` are the end of each certificate with the environment and the host of the agent.
pub(crate) fn agent_impairment<'h>(
    ends: impl Iterator<Item = (Timestamp, &'h Name, &'h Name)>,
    now: Timestamp,
) -> Option<Impairment> {
    let ending: Vec<_> = ends.filter(|(ends, ..)| expires_soon(*ends, now)).collect();
    let (ends, environment, host) = ending.iter().min()?;
    let first = expiry_text(*ends, now);
    let message = match ending.len() {
        1 => format!("the certificate of the agent on {environment}/{host} {first}; renew it"),
        more => format!(
            "certificates of {more} agents end within {WARN_DAYS} days or have ended; the first, of \
             {environment}/{host}, {first}; renew them"
        ),
    };
    Some(Impairment::new(ImpairedPart::Certificate, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn agents_whose_certificates_end_soon_are_told_in_one_sentence() {
        let environment = Name::from("DEV");
        let impairment = |days: &[i64]| {
            let host = |days: &i64| {
                (Timestamp::from_second(days * DAY + 60).unwrap(), Name::from(format!("h{days}").as_str()))
            };
            let hosts: Vec<_> = days.iter().map(host).collect();
            let ends = hosts.iter().map(|(ends, host)| (*ends, &environment, host));
            agent_impairment(ends, Timestamp::UNIX_EPOCH).map(|impairment| impairment.message)
        };
        assert_eq!(impairment(&[]), None);
        assert_eq!(impairment(&[31]), None);
        let said = impairment(&[31, 30]).unwrap();
        assert_eq!(said, "the certificate of the agent on DEV/h30 ends in 30 days; renew it");
        let said = impairment(&[-2, 30]).unwrap();
        assert!(
            said.starts_with("certificates of 2 agents end") && said.contains("of DEV/h-2, ended 1 day ago"),
            "{said}"
        );
    }
}
