//! Tests of the connection to PostgreSQL, each with a server of its own.

use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rta_tests::PostgresServer;

use super::*;
use crate::store::postgres::PostgresLocation;

fn location(url: &str) -> StoreLocation {
    StoreLocation::Postgres(PostgresLocation::parse(url).unwrap())
}

/// Writes what is pending until that works.
fn write_until_recovered(opened: &mut TestStore, now: Timestamp) {
    let limit = Instant::now() + Duration::from_secs(60);
    while opened.error().is_some() {
        assert!(Instant::now() < limit, "{:?}", opened.error());
        opened.writer.write_pending(now);
    }
}

#[test]
fn events_of_an_outage_of_the_database_are_written_after_it() {
    let Some(server) = PostgresServer::start() else { return };
    let url = server.create_database();
    let mut opened = open_at(location(&url), 100);
    opened.append(101, "before");
    for (number, end) in [PostgresServer::stop, PostgresServer::crash].into_iter().enumerate() {
        end(&server);
        for seconds in 0..50 {
            let event = aggregator_event(at(200 + seconds), format!("meanwhile {number} {seconds}"));
            opened.apply(StoreCommand::AppendEvent(Arc::new(event)));
        }
        opened.apply(StoreCommand::SetMaintenance(vec![maintenance()]));
        opened.writer.write_pending(at(34_200));
        let error = opened.error().unwrap();
        assert!(error.starts_with("events are not recorded since 09:30 UTC: postgres://rta@"), "{error}");
        // A second attempt fails to connect.
        opened.writer.write_pending(at(34_201));
        let error = opened.error().unwrap();
        assert!(
            opened.writer.query_events(&EventQuery::default()).unwrap_err().contains("cannot be read: "),
            "{error}"
        );
        server.start_again();
        write_until_recovered(&mut opened, at(34_300));
    }
    let events =
        opened.writer.query_events(&EventQuery { limit: MAX_EVENTS, ..EventQuery::default() }).unwrap();
    let texts = texts(events);
    for number in 0..2 {
        for seconds in 0..50 {
            let text = format!("meanwhile {number} {seconds}");
            assert_eq!(texts.iter().filter(|found| **found == text).count(), 1, "{text}");
        }
    }
    assert_eq!(texts.iter().filter(|text| text.ends_with("none is lost")).count(), 2, "{texts:#?}");
    drop(opened);
    assert_eq!(open_at(location(&url), 40_000).recovered.maintenance, [maintenance()]);
}

#[test]
fn ended_session_is_replaced_and_keeps_its_lock() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.create_database();
    let mut opened = open_at(location(&url), 100);
    opened.append(101, "before");
    server.run_sql(
        &url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name LIKE 'rta-aggregator %'",
    );
    opened.apply(StoreCommand::AppendEvent(Arc::new(aggregator_event(at(102), "after".to_owned()))));
    opened.writer.write_pending(at(102));
    write_until_recovered(&mut opened, at(103));
    let texts = opened.texts();
    assert!(texts.contains(&"before".to_owned()) && texts.contains(&"after".to_owned()), "{texts:?}");
    let second = open_at(location(&url), 104);
    assert!(second.writer.used_by_another.is_some(), "{:?}", second.error());
}

#[test]
fn database_that_cannot_be_reached_is_told_without_the_password() {
    let url = "postgres://rta:s3cret@127.0.0.1:1/rta";
    let mut opened = open_at(location(url), 100);
    let error = opened.error().unwrap();
    assert!(error.starts_with("events are kept in memory only: postgres://rta@127.0.0.1:1/rta: "), "{error}");
    assert!(error.to_lowercase().contains("connection refused") && !error.contains("s3cret"), "{error}");
    opened.append(101, "in memory");
    assert_eq!(opened.texts(), ["in memory"]);
}

#[test]
fn database_of_a_newer_version_is_refused() {
    let Some(server) = PostgresServer::shared() else { return };
    let url = server.create_database();
    open_at(location(&url), 100).append(101, "before");
    server.run_sql(&url, "UPDATE rta_schema SET version = 99");
    let error = open_at(location(&url), 102).error().unwrap();
    assert!(error.contains("it is of version 99, and this rta-aggregator knows versions up to "), "{error}");
    assert_eq!(server.run_sql(&url, "SELECT version FROM rta_schema"), "99");
}

/// CA of a test, with the file of its certificate.
struct TestAuthority {
    issuer: Issuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

impl TestAuthority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "CA");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// Returns a certificate and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

#[test]
fn certificate_of_the_server_is_verified_as_sslmode_says() {
    let (known, unknown) = (TestAuthority::new(), TestAuthority::new());
    let (certificate_pem, key_pem) = known.issue("localhost");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings =
        ["listen_addresses=127.0.0.1", "ssl=on", "ssl_cert_file=../server.pem", "ssl_key_file=../server.key"];
    let mut settings: Vec<String> = settings.map(str::to_owned).to_vec();
    settings.push(format!("port={port}"));
    let server = PostgresServer::start_with(&settings, |folder| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(folder.join("server.pem"), certificate_pem).unwrap();
        fs::write(folder.join("server.key"), key_pem).unwrap();
        fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    });
    if server.is_none() {
        return;
    }
    let error = |host: &str, parameters: &str| {
        open_at(location(&format!("postgres://rta@{host}:{port}/postgres?{parameters}")), 100).error()
    };
    let [known, unknown] = [&known, &unknown].map(|ca| ca.file.path().display().to_string());
    assert_eq!(error("localhost", &format!("sslmode=verify-full&sslrootcert={known}")), None);
    assert_eq!(error("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={known}")), None);
    assert_eq!(error("localhost", "sslmode=require"), None);
    let wrong_name = error("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={known}")).unwrap();
    assert!(wrong_name.contains("not valid for name"), "{wrong_name}");
    let wrong_ca = error("localhost", &format!("sslmode=verify-ca&sslrootcert={unknown}")).unwrap();
    assert!(wrong_ca.contains("invalid peer certificate"), "{wrong_ca}");
}

#[test]
fn copy_of_a_record_is_complete_and_fills_an_empty_store_only() {
    let Some(server) = PostgresServer::shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let sqlite = StoreLocation::Folder(folder.path().to_owned());
    let postgres = location(&server.create_database());
    let mut opened = open_filled(&folder);
    opened.apply(StoreCommand::AddSamples(
        at(3000),
        vec![(maintained_instance(), crate::timeline::TimelineState::Up)],
    ));
    let incident = super::every_backend::incident(4, 2900, None);
    let change = IncidentChange { incidents: vec![incident.clone()], events: vec![(4, 1)] };
    opened.apply(StoreCommand::ChangeIncidents(Box::new(change)));
    opened.writer.write_pending(at(3001));
    let all = EventQuery { limit: MAX_EVENTS, ..EventQuery::default() };
    let before = opened.writer.query_events(&all).unwrap();
    let error = copy_store(&sqlite, &postgres, at(3002)).unwrap_err();
    assert!(error.ends_with("records there; end it first"), "{error}");
    drop(opened);

    let copied = copy_store(&sqlite, &postgres, at(3002)).unwrap();
    let rows = |table: &str| copied.iter().find(|one| one.table == table).unwrap().rows;
    assert_eq!((rows("events"), rows("plans"), rows("maintenance"), rows("marks")), (3001, 1, 1, 1));
    let error = copy_store(&sqlite, &postgres, at(3003)).unwrap_err();
    assert!(error.contains("it is not empty: its table names has "), "{error}");

    let mut opened = open_at(postgres.clone(), 3004);
    assert_eq!(opened.writer.query_events(&all).unwrap(), before);
    assert_eq!(opened.recovered.unfinished.len(), 1);
    assert_eq!(opened.recovered.maintenance, [maintenance()]);
    assert_eq!((rows("incidents"), rows("incident_keys"), rows("incident_events")), (1, 2, 1));
    assert_eq!(opened.recovered.incidents.incidents, [incident]);
    opened.append(3005, "next");
    assert_eq!(opened.writer.query_events(&EventQuery::default()).unwrap()[0].id, 3002);
    drop(opened);
    // And back.
    let other = tempfile::tempdir().unwrap();
    let back = StoreLocation::Folder(other.path().to_owned());
    let copied = copy_store(&postgres, &back, at(3006)).unwrap();
    assert_eq!(copied.iter().find(|one| one.table == "events").unwrap().rows, 3002);
    assert_eq!(open_at(back, 3007).recovered.maintenance, [maintenance()]);
    let nowhere = StoreLocation::Folder(other.path().join("nowhere"));
    assert!(copy_store(&nowhere, &sqlite, at(3008)).unwrap_err().ends_with("there is no record to copy"));
}

fn maintained_instance() -> InstanceId {
    InstanceId { environment: "DEV".into(), host: "h1".into(), component: "kafka".into() }
}
