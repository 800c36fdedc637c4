//! `rta pki`: manages a private CA and the certificates of hosts and people.
//!
//! | module | holds |
//! |---|---|
//! | `make` | creation of certificates, as values |
//! | `folder` | files of certificates and keys |
//! | `install` | installation where the services look |
//! | `show` | list of certificates |

mod certificate_table;
mod folder;
mod install;
pub(crate) mod signing;

use std::io::Write;

use jiff::Timestamp;

use self::folder::{CertificateOwner, PkiFolder};
use self::install::InstalledFiles;
use self::signing::{CertificateAndKey, CertificateAuthority, CertificateSubject};
use crate::args::{PkiArgs, PkiCommand};
use crate::exit::{CommandFailure, CommandResult, FAILED, OK, USAGE};

/// Runs the subcommand.
pub(crate) fn run_pki(arguments: &PkiArgs, out: &mut dyn Write) -> CommandResult {
    run_pki_at(arguments, Timestamp::now(), out)
}

fn run_pki_at(arguments: &PkiArgs, now: Timestamp, out: &mut dyn Write) -> CommandResult {
    let folder = PkiFolder { path: &arguments.dir, force: arguments.force };
    let failed = |reason: String| CommandFailure::new(FAILED, reason);
    match &arguments.command {
        PkiCommand::Init => {
            folder.check_replaceable(&CertificateOwner::Authority).map_err(failed)?;
            let made = signing::create_authority(now).map_err(failed)?;
            folder.save(&CertificateOwner::Authority, &made).map_err(failed)?;
            let dir = arguments.dir.display();
            writeln!(out, "The CA is made: {dir}/ca.pem, its key {dir}/ca-key.pem. It holds for ten years.")?;
            writeln!(
                out,
                "Keep the key to yourself: it can sign a certificate in any name. Copy ca.pem to every host."
            )?;
            writeln!(
                out,
                "Next: rta pki host aggregator, rta pki host NAME for every agent, rta pki user NAME."
            )?;
        }
        PkiCommand::Host { name, ip, dns, install } => {
            let subject = CertificateSubject::host(name, ip, dns)
                .map_err(|reason| CommandFailure::new(USAGE, reason))?;
            let place = CertificateOwner::Host(subject.name.clone());
            sign(&folder, &place, &subject, now).map_err(failed)?;
            let (certificate, key) = folder.paths(&place);
            let installed = match install {
                Some(to) => {
                    let (ca, _) = folder.paths(&CertificateOwner::Authority);
                    Some(install::install(to, &subject.name, (&certificate, &key), &ca).map_err(failed)?)
                }
                None => None,
            };
            let (certificate, key, dir) = (certificate.display(), key.display(), arguments.dir.display());
            let name = &subject.name;
            writeln!(out, "The certificate of host {name} is made: {certificate}, its key {key}.")?;
            writeln!(out, "It is for {}. It holds for 397 days.", subject.names())?;
            if let Some(InstalledFiles { certificate, key, ca }) = installed {
                let (certificate, key, ca) = (certificate.display(), key.display(), ca.display());
                writeln!(
                    out,
                    "Installed: {certificate}, {key}, {ca}. On its host they belong in /etc/rta/tls."
                )?;
            } else {
                writeln!(out, "Copy both and {dir}/ca.pem to {name}, the key readable by rta's user alone.")?;
                writeln!(
                    out,
                    "Next: give them to rta-agent or rta-aggregator with --tls-cert, --tls-key and --tls-ca."
                )?;
            }
        }
        PkiCommand::User { name } => {
            let subject =
                CertificateSubject::user(name).map_err(|reason| CommandFailure::new(USAGE, reason))?;
            let place = CertificateOwner::User(subject.name.clone());
            sign(&folder, &place, &subject, now).map_err(failed)?;
            let (certificate, key) = folder.paths(&place);
            let (certificate, key, dir) = (certificate.display(), key.display(), arguments.dir.display());
            let name = &subject.name;
            writeln!(out, "The certificate of {name} is made: {certificate}, its key {key}.")?;
            writeln!(
                out,
                "It holds for 397 days. Hand both and {dir}/ca.pem to {name}, and to nobody else."
            )?;
            writeln!(
                out,
                "Next: rta --aggregator https://HOST:7600 --ca {dir}/ca.pem --cert {certificate} --key {key} status"
            )?;
        }
        PkiCommand::Show => {
            let listed = folder.list_certificates().map_err(failed)?;
            write!(out, "{}", certificate_table::certificate_table(&listed, now))?;
            let broken = listed.iter().any(|(_, certificate)| certificate.is_err());
            return Ok(if broken { FAILED } else { OK });
        }
    }
    Ok(OK)
}

fn sign(
    folder: &PkiFolder<'_>,
    place: &CertificateOwner,
    subject: &CertificateSubject,
    now: Timestamp,
) -> Result<(), String> {
    folder.check_replaceable(place)?;
    let (certificate, key) = folder.read_authority()?;
    let made: CertificateAndKey = CertificateAuthority::new(&certificate, &key)?.sign(subject, now)?;
    folder.save(place, &made)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use jiff::ToSpan as _;
    use rta_shared::tls::{Certificate, IdentityKind};

    use super::*;

    const NOW: &str = "2026-11-25T12:00:00Z";

    fn asked(dir: &Path, what: PkiCommand, force: bool) -> (Result<u8, String>, String) {
        let arguments = PkiArgs { command: what, dir: dir.to_owned(), force };
        let mut out = Vec::new();
        let outcome = run_pki_at(&arguments, NOW.parse().unwrap(), &mut out).map_err(CommandFailure::message);
        (outcome, String::from_utf8(out).unwrap())
    }

    fn host(name: &str) -> PkiCommand {
        PkiCommand::Host {
            name: name.into(),
            ip: vec!["10.0.0.7".parse().unwrap()],
            dns: vec!["h.example".into()],
            install: None,
        }
    }

    #[test]
    fn installed_files_have_the_names_that_the_services_look_for() {
        let folder = tempfile::tempdir().unwrap();
        let (dir, to) = (folder.path().join("pki"), folder.path().join("etc/tls"));
        asked(&dir, PkiCommand::Init, false).0.unwrap();
        for (name, kind) in [("c9t1", "agent"), ("aggregator", "aggregator")] {
            let (ip, dns) = (Vec::new(), Vec::new());
            let arguments = PkiCommand::Host { name: name.into(), ip, dns, install: Some(to.clone()) };
            let (code, said) = asked(&dir, arguments, false);
            assert_eq!(code, Ok(OK));
            assert!(said.contains(&format!("{}/{kind}.pem", to.display())), "{said}");
            let same = |from: &str, to_name: &str| {
                assert_eq!(std::fs::read(dir.join(from)).unwrap(), std::fs::read(to.join(to_name)).unwrap());
            };
            same("ca.pem", "ca.pem");
            same(&format!("hosts/{name}.pem"), &format!("{kind}.pem"));
            same(&format!("hosts/{name}-key.pem"), &format!("{kind}-key.pem"));
            let key = to.join(format!("{kind}-key.pem")).metadata().unwrap().permissions().mode();
            assert_eq!(key & 0o777, 0o400);
            for service in ["rta-agent", "rta-aggregator", "cron"] {
                let path = match service {
                    "cron" => "cron.d/rta".to_owned(),
                    unit => format!("systemd/{unit}.service"),
                };
                let path = format!("{}/../config/{path}", env!("CARGO_MANIFEST_DIR"));
                let text = std::fs::read_to_string(path).unwrap();
                let is_of_it = service == "cron" || service == format!("rta-{kind}");
                assert_eq!(
                    text.contains(&format!("--tls-cert /etc/rta/tls/{kind}.pem")),
                    is_of_it,
                    "{service}"
                );
            }
        }
    }

    #[test]
    fn certificates_say_what_they_are_for_and_how_long() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("pki");
        assert_eq!(asked(&dir, PkiCommand::Init, false).0, Ok(OK));
        assert_eq!(asked(&dir, host("C9t1"), false).0, Ok(OK));
        assert_eq!(asked(&dir, PkiCommand::User { name: "ann".into() }, false).0, Ok(OK));
        let now: Timestamp = NOW.parse().unwrap();

        let ca = Certificate::read(&dir.join("ca.pem")).unwrap();
        assert!(ca.is_ca);
        assert_eq!(ca.days_left(now), 3650);
        let host = Certificate::read(&dir.join("hosts/c9t1.pem")).unwrap();
        assert_eq!((host.name.as_str(), host.days_left(now)), ("c9t1", 397));
        assert_eq!(host.dns, ["c9t1", "h.example"]);
        assert_eq!(host.ip, ["10.0.0.7".parse::<std::net::IpAddr>().unwrap()]);
        assert!(host.for_servers && host.for_clients && !host.is_ca);
        assert_eq!(host.identity().kind, IdentityKind::Host);
        let ann = Certificate::read(&dir.join("users/ann.pem")).unwrap();
        assert_eq!((ann.name.as_str(), ann.dns.len()), ("ann", 0));
        assert!(ann.for_clients && !ann.for_servers && !ann.is_ca);
        assert_eq!(ann.identity().kind, IdentityKind::User);

        let mode = |path: &str| dir.join(path).metadata().unwrap().permissions().mode() & 0o777;
        for path in ["ca-key.pem", "hosts/c9t1-key.pem", "users/ann-key.pem"] {
            assert_eq!(mode(path), 0o600, "{path}");
        }
        for path in ["", "hosts", "users"] {
            assert_eq!(mode(path), 0o700, "{path}");
        }
    }

    #[test]
    fn nothing_is_replaced_unless_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        asked(dir, PkiCommand::Init, false).0.unwrap();
        asked(dir, host("h"), false).0.unwrap();
        let read =
            || (std::fs::read(dir.join("ca.pem")).unwrap(), std::fs::read(dir.join("hosts/h.pem")).unwrap());
        let before = read();
        for what in [PkiCommand::Init, host("h")] {
            let refused = asked(dir, what, false).0.unwrap_err();
            assert!(refused.contains("is there already") && refused.contains("--force"), "{refused}");
        }
        assert_eq!(read(), before);
        asked(dir, host("h"), true).0.unwrap();
        assert_ne!(read().1, before.1);
    }

    #[test]
    fn without_a_ca_nothing_is_signed_and_names_are_no_paths() {
        let folder = tempfile::tempdir().unwrap();
        let refused = asked(folder.path(), host("h"), false).0.unwrap_err();
        assert!(refused.contains("rta pki init"), "{refused}");
        for name in ["", "../h", "a/b", ".h", "a b", "h\n"] {
            assert!(asked(folder.path(), host(name), false).0.unwrap_err().contains("name"), "{name}");
            let user = PkiCommand::User { name: name.into() };
            assert!(asked(folder.path(), user, false).0.unwrap_err().contains("name"), "{name}");
        }
    }

    #[test]
    fn the_list_has_the_days_left_and_what_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        asked(dir, PkiCommand::Init, false).0.unwrap();
        asked(dir, host("h"), false).0.unwrap();
        let (code, list) = asked(dir, PkiCommand::Show, false);
        assert_eq!(code, Ok(OK));
        assert!(list.contains("3650 days left") && list.contains("397 days left"), "{list}");
        let soon: Timestamp = NOW.parse::<Timestamp>().unwrap() + (390 * 24).hours();
        let listed = PkiFolder { path: dir, force: false }.list_certificates().unwrap();
        assert!(certificate_table::certificate_table(&listed, soon).contains("7 days left: renew it soon"));
        assert!(
            certificate_table::certificate_table(&listed, soon + (24 * 30).hours())
                .contains("expired 23 days ago")
        );
        std::fs::write(dir.join("hosts/x.pem"), "rubbish").unwrap();
        let (code, list) = asked(dir, PkiCommand::Show, false);
        assert_eq!(code, Ok(FAILED));
        assert!(list.contains("x.pem"), "{list}");
    }
}
