//! Authorization: every gRPC method and route of the real binaries, called as each kind of caller and
//! checked against the table.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rta_shared::action::ActionKind;
use rta_shared::authorization::{
    AGENT_METHODS, AGGREGATOR_METHODS, CallerKind, HTTP_ROUTES, MethodRule, RouteRule, ServerKind,
};
use rta_shared::tls::{ClientTls, ServerTarget, TlsFiles};
use rta_tests::{
    AgentClient, CallOutcome, CertificateFiles, ServerProcess, TestCa, TestCluster, TestConfig, WebClient,
    binary, call_method, run_action, run_binary, socket_channel, wait_for,
};
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

/// Users and group visible to the servers, in their own mount namespace; this machine's
/// databases are not changed.
const MEMBER: (&str, u32) = ("rta-ann", 61_001);
const OTHER: (&str, u32) = ("rta-eve", 61_002);
const GROUP: u32 = 61_000;

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    assert!(is_root || std::env::var_os("RTA_GATE").is_none(), "the gate has to run as root");
    is_root
}

/// Returns a command for `program` in which the group `rta` exists.
fn with_group(config: &TestConfig, program: &str) -> Command {
    let mut command = if is_root() { Command::new("unshare") } else { Command::new(binary(program)) };
    if is_root() {
        let script =
            "mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/group\" /etc/group && exec \"$@\"";
        command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
        command.arg(config.path("")).arg(binary(program));
    }
    command
}

/// Starts an agent and an aggregator with TLS, users and sockets.
fn start_cluster() -> (TestCluster, TestCa) {
    let config = TestConfig::new();
    let (member, other) = (MEMBER, OTHER);
    let user = |(name, uid): (&str, u32)| format!("{name}:x:{uid}:{uid}::/:/bin/sh\n");
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    std::fs::write(config.path("passwd"), format!("{passwd}\n{}{}", user(member), user(other))).unwrap();
    let group = std::fs::read_to_string("/etc/group").unwrap();
    let group: String =
        group.lines().filter(|line| !line.starts_with("rta:")).map(|line| format!("{line}\n")).collect();
    std::fs::write(config.path("group"), format!("{group}rta:x:{GROUP}:{}\n", member.0)).unwrap();
    std::fs::set_permissions(config.path(""), Permissions::from_mode(0o755)).unwrap();

    let ca = TestCa::new(config.path("pki"));
    let app = config.component_toml("app", "", "");
    let [agent, aggregator] = [ServerKind::Agent, ServerKind::Aggregator]
        .map(|server| ["--socket".to_owned(), socket(&config, server).display().to_string()]);
    let cluster = TestCluster::builder(config)
        .components(&app)
        .host("h", &["app"])
        .agent_arguments(agent)
        .aggregator_arguments(aggregator)
        .users("closed")
        .tls(&ca)
        .command(with_group)
        .start();
    (cluster, ca)
}

fn socket(config: &TestConfig, server: ServerKind) -> PathBuf {
    config.path(if server == ServerKind::Agent { "run/agent.sock" } else { "run/aggregator.sock" })
}

/// Returns a TLS channel to one of the servers.
fn tls_channel(
    cluster: &TestCluster,
    ca: &TestCa,
    server: ServerKind,
    own: Option<&CertificateFiles>,
) -> Channel {
    let (address, name) = match server {
        ServerKind::Agent => (cluster.agents[0].address, "h"),
        ServerKind::Aggregator | ServerKind::Page => (cluster.aggregator.grpc, "aggregator"),
    };
    let own = own.map(|own| (own.certificate.clone(), own.key.clone()));
    let client = ClientTls::new(TlsFiles { own, ca: Some(ca.ca()) }).unwrap();
    let address = format!("https://{address}");
    client.channel(
        &Endpoint::from_shared(address.clone()).unwrap(),
        ServerTarget::new(&address, &[name]).unwrap(),
    )
}

/// Returns the outcomes of another user's calls over the socket.
fn call_as_user(
    config: &TestConfig,
    server: ServerKind,
    (_, uid): (&str, u32),
    groups: &[&str],
    rules: &[MethodRule],
) -> Vec<String> {
    let program = config.path("grpc-caller");
    if !program.exists() {
        // Copied by a separate process: a file open for writing here would be busy
        // while another test forks.
        assert!(Command::new("cp").arg(binary("grpc-caller")).arg(&program).status().unwrap().success());
    }
    let uid = uid.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &uid, "--regid", &uid]).args(groups).arg(&program).arg(socket(config, server));
    let output = command.args(rules.iter().map(|rule| rule.path)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Checks the outcome `met` against the table's right for `kind`; `None`: the caller must get no connection.
fn check(server: ServerKind, who: &str, rule: &MethodRule, kind: Option<CallerKind>, met: CallOutcome) {
    let is_allowed = kind.is_some_and(|kind| kind.may(server, rule.right));
    let fits = match is_allowed {
        true => met == CallOutcome::Answered,
        false => matches!(met, CallOutcome::Refused | CallOutcome::NoConnection),
    };
    assert!(fits, "{server:?} {} as {who}: {met:?}, and the table says {is_allowed}", rule.path);
}

/// Returns the methods of a server according to its own descriptors, which gRPC reflection publishes.
fn described(service: &str) -> BTreeSet<String> {
    use prost::Message as _;
    let files = prost_types::FileDescriptorSet::decode(rta_shared::proto::FILE_DESCRIPTOR_SET).unwrap().file;
    let services = files.iter().flat_map(|file| &file.service).filter(|found| found.name() == service);
    services
        .flat_map(|found| {
            found.method.iter().map(move |method| format!("/rta.v1.{service}/{}", method.name()))
        })
        .collect()
}

#[test]
fn every_method_answers_whom_the_table_names_and_nobody_else() {
    let (cluster, ca) = start_cluster();
    let runtime = Runtime::new().unwrap();
    let _within = runtime.enter();
    let person = ca.create_user("ann");
    let host = ca.create_host("other");
    let aggregator = ca.files("hosts/aggregator");
    let foreign = TestCa::new(cluster.config.path("foreign")).create_host("aggregator");
    for (server, rules, service) in [
        (ServerKind::Agent, AGENT_METHODS, "AgentService"),
        (ServerKind::Aggregator, AGGREGATOR_METHODS, "AggregatorService"),
    ] {
        let listed: BTreeSet<String> = rules.iter().map(|rule| rule.path.to_owned()).collect();
        assert!(described(service).is_subset(&listed), "a method of {service} is in no row");
        let (viewer, operator) = (&cluster.users().viewer_token, &cluster.users().operator_token);
        // An agent accepts no tokens, and TLS admits only the aggregator.
        let token = |kind| (server == ServerKind::Aggregator).then_some(kind);
        let callers = [
            ("nobody", None, None, Some(CallerKind::Anonymous)),
            ("viewer", None, Some(viewer), token(CallerKind::Viewer)),
            ("operator", None, Some(operator), token(CallerKind::Operator)),
            ("person", Some(&person), None, Some(CallerKind::PersonCertificate)),
            ("foreign", Some(&foreign), None, None),
            ("host", Some(&host), None, Some(CallerKind::HostCertificate)),
            ("aggregator", Some(&aggregator), None, Some(CallerKind::AggregatorCertificate)),
        ];
        for (who, own, token, kind) in callers {
            let channel = tls_channel(&cluster, &ca, server, own);
            for rule in rules {
                let met = runtime.block_on(call_method(&channel, rule.path, token.map(String::as_str)));
                check(server, who, rule, kind, met);
            }
        }
        // The server's own user.
        let channel = socket_channel(&socket(&cluster.config, server));
        for rule in rules {
            let met = runtime.block_on(call_method(&channel, rule.path, None));
            check(server, "own user", rule, Some(CallerKind::LocalMember), met);
        }
        for path in ["/rta.v1.AgentService/Destroy", "/rta.v1.AggregatorService/Destroy", "/x.Y/Z"] {
            let met = runtime.block_on(call_method(&channel, path, None));
            assert_eq!(met, CallOutcome::UnknownMethod, "{server:?} {path}");
        }
        if !is_root() {
            continue;
        }
        let member_group = GROUP.to_string();
        let as_member = call_as_user(&cluster.config, server, MEMBER, &["--groups", &member_group], rules);
        let as_other = call_as_user(&cluster.config, server, OTHER, &["--clear-groups"], rules);
        assert_eq!((as_member.len(), as_other.len()), (rules.len(), rules.len()));
        for (at, rule) in rules.iter().enumerate() {
            let may = CallerKind::LocalMember.may(server, rule.right);
            assert_eq!(
                as_member[at] == "Answered",
                may,
                "{server:?} {} as a member: {}",
                rule.path,
                as_member[at]
            );
            assert_eq!(as_other[at], "NoConnection", "{server:?} {} as another user", rule.path);
        }
        // The file mode is not the only check: with the socket open to everybody, the server itself refuses.
        std::fs::set_permissions(socket(&cluster.config, server), Permissions::from_mode(0o666)).unwrap();
        for met in call_as_user(&cluster.config, server, OTHER, &["--clear-groups"], rules) {
            assert_eq!(met, "Refused", "{server:?}: another user through an open file");
        }
        // A user removed from the group in the database is refused, even if their
        // process still has the group.
        for met in call_as_user(&cluster.config, server, OTHER, &["--groups", &member_group], rules) {
            assert_eq!(met, "Refused", "{server:?}: a group that the process has kept");
        }
        std::fs::set_permissions(socket(&cluster.config, server), Permissions::from_mode(0o660)).unwrap();
    }
}

/// Returns the status code and the redirect target of a response, without waiting for the body.
fn asked(web: WebClient, rule: &RouteRule, path: &str, token: Option<&str>) -> (u16, String) {
    let mut stream = TcpStream::connect(web.0).unwrap();
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "{} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{token}Content-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: 0\r\n\r\n",
        rule.method, web.0
    );
    stream.write_all(request.as_bytes()).unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default();
    (code, location.to_owned())
}

#[test]
fn every_route_answers_whom_the_table_names_and_nobody_else() {
    let (cluster, _) = start_cluster();
    let page = cluster.aggregator.web.request(
        "GET",
        "/",
        &[("Authorization", &format!("Bearer {}", cluster.users().viewer_token))],
        "",
    );
    let asset = page.body.split("href=\"").find(|rest| rest.starts_with("/assets/")).unwrap();
    let asset = asset.split('"').next().unwrap();
    let callers = [
        ("nobody", None, CallerKind::Anonymous),
        ("viewer", Some(cluster.users().viewer_token.as_str()), CallerKind::Viewer),
        ("operator", Some(cluster.users().operator_token.as_str()), CallerKind::Operator),
    ];
    for (who, token, kind) in callers {
        for rule in HTTP_ROUTES.iter() {
            let path = if rule.path.ends_with('*') { asset } else { &rule.path };
            let (code, location) = asked(cluster.aggregator.web, rule, path, token);
            let is_refused = matches!(code, 401 | 403) || location.starts_with("/sign-in");
            assert_eq!(
                !is_refused,
                kind.may(ServerKind::Page, rule.right),
                "{} {path} as {who}: {code}",
                rule.method
            );
            assert!(code != 404 || !is_refused, "{path}");
        }
        let missing =
            RouteRule { method: "DELETE", path: "/".into(), right: rta_shared::authorization::Right::Act };
        let (code, location) = asked(cluster.aggregator.web, &missing, "/", token);
        assert!(code == 405 || location.starts_with("/sign-in"), "DELETE / as {who}: {code}");
    }
}

#[test]
fn who_acts_over_the_socket_is_recorded_and_logged_by_name() {
    let (cluster, _) = start_cluster();
    let aggregator = format!("unix:{}", socket(&cluster.config, ServerKind::Aggregator).display());
    let rta = |arguments: &[&str]| run_binary("rta", ["--aggregator", &aggregator].iter().chain(arguments));
    wait_for("the host to be reached", || {
        String::from_utf8_lossy(&rta(&["status"]).stdout).contains("app on h is down").then_some(())
    });
    let user = |uid: u32| {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        let is_it = |line: &&str| line.split(':').nth(2) == Some(&uid.to_string());
        passwd.lines().find(is_it).and_then(|line| line.split(':').next()).unwrap().to_owned()
    };
    let uid = rustix::process::geteuid().as_raw();
    let me = format!("{} (uid {uid})", user(uid));
    let started = rta(&["start", "app", "--yes"]);
    assert!(started.status.success(), "{started:?}");
    let events = rta(&["events", "--component", "app", "--json"]);
    let events: serde_json::Value = serde_json::from_slice(&events.stdout).unwrap();
    let by: Vec<_> = events.as_array().unwrap().iter().filter_map(|event| event["by"].as_object()).collect();
    assert!(!by.is_empty(), "{events:#}");
    for by in by {
        assert_eq!((by["user"].as_str(), by["address"].as_str()), (Some(me.as_str()), Some("local")));
    }
    // The aggregator forwards the requester's name to the agent.
    let logged = |program: &ServerProcess, what: &str| {
        wait_for(&format!("the log to have: {what}"), || {
            program
                .log()
                .iter()
                .any(|line| line.contains("action requested") && line.contains(what))
                .then_some(())
        });
    };
    logged(&cluster.agents[0].process, &format!("{me}, local"));

    // A name claimed over the agent's own socket is ignored.
    let runtime = Runtime::new().unwrap();
    let stopped = runtime.block_on(async {
        let mut agent = AgentClient::new(socket_channel(&socket(&cluster.config, ServerKind::Agent)));
        run_action(&mut agent, ActionKind::Stop, "app").await
    });
    assert!(stopped.result.is_ok(), "{stopped:?}");
    assert!(!cluster.agents[0].process.log().iter().any(|line| line.contains("by\":\"ann")));
    assert_eq!(cluster.config.find_process("app"), None);
}

/// Returns exit code and error output of a program that refuses to start.
fn refusal(program: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = run_binary(program, arguments);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn without_certificates_tcp_is_refused_and_a_taken_socket_is_an_error() {
    let config = TestConfig::one_host(|config| config.component_toml("app", "", ""));
    let folder = config.folder();
    let folder = folder.to_str().unwrap();
    let socket = config.path("a.sock");
    let socket = socket.to_str().unwrap();
    let agent = ["--config", folder, "--host", "h", "--listen", "127.0.0.1:0", "--socket", socket];
    let (code, said) = refusal("rta-agent", &agent);
    assert_eq!(code, Some(2));
    assert!(said.contains("rta pki init") && said.contains("rta pki host h"), "{said}");
    let aggregator =
        ["--config", folder, "--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--socket", socket];
    let (code, said) = refusal("rta-aggregator", &aggregator);
    assert_eq!(code, Some(2));
    assert!(said.contains("rta pki init") && said.contains("rta pki host aggregator"), "{said}");
    let missing =
        ["--tls-cert", "/missing/agent.pem", "--tls-key", "/missing/key.pem", "--tls-ca", "/missing/ca.pem"];
    let (code, said) = refusal("rta-agent", &[&agent[..], &missing].concat());
    assert_eq!(code, Some(2));
    assert!(said.contains("/missing/agent.pem") && said.contains("rta pki host NAME"), "{said}");
    assert!(!Path::new(socket).exists());

    let more = ["--socket", socket];
    let (mut first, _) = config.start_agent_with("h", "127.0.0.1:0", &more);
    let second =
        ["--config", folder, "--host", "h", "--listen", "127.0.0.1:0", "--insecure", "--socket", socket];
    let (code, said) = refusal("rta-agent", &second);
    assert_eq!(code, Some(1));
    assert!(said.contains("is served by another instance"), "{said}");
    first.signal(rustix::process::Signal::KILL);
    first.wait();
    assert!(Path::new(socket).exists(), "a killed program leaves its socket");
    let (_third, _) = config.start_agent_with("h", "127.0.0.1:0", &more);
}

#[test]
fn the_command_says_where_it_looked_for_an_aggregator() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(binary("rta"));
    command.arg("list").env("XDG_RUNTIME_DIR", folder.path()).env_remove("RTA_AGGREGATOR");
    // An aggregator may run on this machine.
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if !Path::new("/run/rta/aggregator.sock").exists() {
        assert_eq!(output.status.code(), Some(4));
        assert!(said.contains("/run/rta/aggregator.sock: No such file"), "{said}");
        assert!(said.contains(folder.path().join("rta/aggregator.sock").to_str().unwrap()), "{said}");
    }
    let absent = folder.path().join("x.sock");
    let output = run_binary("rta", ["--aggregator", &format!("unix:{}", absent.display()), "list"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8(output.stderr).unwrap().contains("x.sock: No such file"));
}
