//! Warnings about certificates that expire soon.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rta_shared::impairment::{ImpairedPart, Impairment};
use rta_shared::overview::EnvironmentOverview;
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
pub(crate) fn agent_impairment(environments: &[EnvironmentOverview], now: Timestamp) -> Option<Impairment> {
    let hosts = environments
        .iter()
        .flat_map(|environment| environment.hosts.iter().map(move |host| (environment.name.as_str(), host)));
    let ending: Vec<_> = hosts
        .filter_map(|(environment, host)| {
            let ends = host.agent.as_ref()?.certificate_ends?;
            expires_soon(ends, now).then_some((ends, environment, &host.name))
        })
        .collect();
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
    use rta_shared::name::Name;

    use super::*;
    use crate::web::page::tests::{agent, sample};

    const DAY: i64 = 86_400;

    #[test]
    fn agents_whose_certificates_end_soon_are_told_in_one_sentence() {
        let mut environments = sample().environments;
        let ends_in = |environments: &mut Vec<EnvironmentOverview>, host: usize, days: i64| {
            let ends = Timestamp::from_second(days * DAY + 60).unwrap();
            let host = &mut environments[0].hosts[host];
            host.name = Name::from(format!("h{days}").as_str());
            host.agent =
                Some(rta_shared::overview::AgentOverview { certificate_ends: Some(ends), ..agent() });
        };
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(agent_impairment(&environments, now), None);
        ends_in(&mut environments, 0, 31);
        assert_eq!(agent_impairment(&environments, now), None);
        ends_in(&mut environments, 1, 30);
        let said = agent_impairment(&environments, now).unwrap().message;
        assert_eq!(said, "the certificate of the agent on DEV/h30 ends in 30 days; renew it");
        ends_in(&mut environments, 0, -2);
        let said = agent_impairment(&environments, now).unwrap().message;
        assert!(
            said.starts_with("certificates of 2 agents end") && said.contains("of DEV/h-2, ended 1 day ago"),
            "{said}"
        );
    }
}
