//! Hostile input to the gRPC port for commands.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rta_shared::proto::v1;
use rta_shared::proto::v1::aggregator_service_client::AggregatorServiceClient;
use rta_tests::{CertificateFiles, TestCa, TestConfig, WebResponse, run_binary, wait_for};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};

use crate::hostile::{assert_untouched, open_files, send, start_cluster, wait_for_closed_connections};

type Client = AggregatorServiceClient<Channel>;

/// Returns a request to start `app` and touch nothing else.
fn start() -> v1::AggregatorServiceActRequest {
    of_component("app".to_owned())
}

fn of_component(component: String) -> v1::AggregatorServiceActRequest {
    let selection = v1::PlanSelection { component, ..Default::default() };
    let kind = v1::ActionKind::Start.into();
    v1::AggregatorServiceActRequest { kind, selection: Some(selection), options: None }
}

#[test]
fn strangers_are_refused_by_tls() {
    let config = TestConfig::new();
    let pki = TestCa::new(config.path("pki"));
    let cluster = start_cluster(config, &pki.create_host("aggregator").flags(&pki.ca()));
    let foreign = TestCa::new(cluster.config.path("foreign"));
    let operator = cluster.aggregator.web.session("ann");
    let token_file = cluster.config.path("token");
    let asked = |ca: &Path, own: Option<&CertificateFiles>, token: Option<&str>, arguments: &[&str]| {
        let token_flags = token.map(|token| {
            std::fs::write(&token_file, token).unwrap();
            ["--token-file", token_file.to_str().unwrap()]
        });
        let arguments: Vec<&str> =
            token_flags.into_iter().flatten().chain(arguments.iter().copied()).collect();
        cluster.aggregator.rta_over_tls(ca, own, &arguments)
    };
    let (ca, host) = (pki.ca(), pki.create_host("h"));
    let (eve, expired, bob) = (foreign.create_user("eve"), pki.create_expired("ann"), pki.create_user("bob"));
    let (look, act) = (&["list"][..], &["start", "app", "--yes"][..]);
    let (reload, maintain) = (&["config", "reload"][..], &["maintenance", "on", "--host", "h"][..]);
    let may_look = "may look, and not act";
    let viewer = cluster.users().viewer_token.as_str();
    type Row<'r> = (&'r str, &'r Path, Option<&'r CertificateFiles>, Option<&'r str>, &'r [&'r str], &'r str);
    let rows: &[Row<'_>] = &[
        ("nobody looks", &ca, None, None, look, "asks who you are"),
        ("nobody acts", &ca, None, None, act, "asks who you are"),
        ("of another CA", &ca, Some(&eve), None, act, "of another CA"),
        ("of another CA, to look", &ca, Some(&eve), None, look, "of another CA"),
        ("expired", &ca, Some(&expired), None, act, "has expired"),
        ("who believes another CA", &foreign.ca(), Some(&bob), None, act, "of another CA"),
        ("a host starts", &ca, Some(&host), None, act, may_look),
        ("a host reloads", &ca, Some(&host), None, reload, may_look),
        ("a host keeps quiet", &ca, Some(&host), None, maintain, may_look),
        ("a made-up token", &ca, None, Some("rta_0"), look, "is not known"),
        ("a made-up token acts", &ca, None, Some("rta_0"), act, "is not known"),
        ("a viewer's token starts", &ca, None, Some(viewer), act, may_look),
        ("a viewer's token reloads", &ca, None, Some(viewer), reload, may_look),
        ("a viewer's token keeps quiet", &ca, None, Some(viewer), maintain, may_look),
    ];
    for (what, ca, own, token, arguments, said) in rows {
        let output = asked(ca, *own, *token, arguments);
        let reported = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && reported.contains(said),
            "{what}: {said:?} is not in {reported:?}"
        );
        assert_eq!(cluster.config.find_process("app"), None, "{what}");
    }
    let clear = run_binary("rta", ["--aggregator", &cluster.aggregator.grpc.to_string(), "start", "app"]);
    assert!(!clear.status.success(), "{clear:?}");
    // Reading is open to every known caller.
    assert!(asked(&ca, Some(&host), None, look).status.success());
    assert!(asked(&ca, None, Some(viewer), look).status.success());
    assert_untouched(&cluster, &operator, "strangers");
    let started = asked(&ca, Some(&bob), None, act);
    assert!(started.status.success() && cluster.config.find_process("app").is_some(), "{started:?}");
}

#[test]
fn false_tokens_and_calls_that_make_no_sense_get_a_status() {
    let cluster = start_cluster(TestConfig::new(), &[]);
    let operator = cluster.aggregator.web.session("ann");
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(Client::connect(format!("http://{}", cluster.aggregator.grpc))).unwrap();
    let people = &cluster.users();
    let begin = |token: Option<&str>, message: v1::AggregatorServiceActRequest| {
        let mut request = Request::new(message);
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", token.parse().unwrap());
        }
        let mut client = client.clone();
        runtime.block_on(async move { client.act(request).await.map(drop) })
    };
    let viewer = format!("Bearer {}", people.viewer_token);
    let longer = format!("Bearer {}0", people.operator_token);
    for (what, token, expected) in [
        ("made up", Some("Bearer rta_0"), Code::Unauthenticated),
        ("none", None, Code::Unauthenticated),
        ("empty", Some(""), Code::Unauthenticated),
        ("a word alone", Some("Bearer "), Code::Unauthenticated),
        ("without its word", Some(people.operator_token.as_str()), Code::Unauthenticated),
        ("one letter more", Some(longer.as_str()), Code::Unauthenticated),
        ("a password", Some("Basic YW5uOng="), Code::Unauthenticated),
        ("a viewer's", Some(viewer.as_str()), Code::PermissionDenied),
    ] {
        let code = begin(token, start()).map_err(|status| status.code());
        assert_eq!(code, Err(expected), "{what}");
        assert_eq!(cluster.config.find_process("app"), None, "{what}");
    }
    let bearer = format!("Bearer {}", people.operator_token);
    for (what, component, expected) in [
        ("of no component", String::new(), &[Code::InvalidArgument][..]),
        ("of one that is not there", "nothing".to_owned(), &[Code::NotFound]),
        (
            "of hostile text",
            "\u{1b}[31m<b>\0\r\n\u{202e}".to_owned(),
            &[Code::NotFound, Code::InvalidArgument],
        ),
        ("of 100 kB", "x".repeat(100_000), &[Code::NotFound, Code::InvalidArgument]),
        ("of 3 MB", "x".repeat(3_000_000), &[Code::NotFound, Code::InvalidArgument]),
        ("of 10 MB", "x".repeat(10_000_000), &[Code::OutOfRange, Code::ResourceExhausted]),
    ] {
        let status = begin(Some(&bearer), of_component(component)).unwrap_err();
        assert!(expected.contains(&status.code()), "{what}: {status:?}");
        assert_eq!(cluster.config.find_process("app"), None, "{what}");
    }
    for (kind, text) in [(0, "names no action"), (99, "asks for action 99")] {
        let status = begin(Some(&bearer), v1::AggregatorServiceActRequest { kind, ..start() }).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().contains(text), "{status}");
        assert_eq!(cluster.config.find_process("app"), None, "{kind}");
    }
    assert_untouched(&cluster, &operator, "false tokens");
    assert!(begin(Some(&bearer), start()).is_ok());
    wait_for("it to run", || cluster.config.find_process("app"));
}

/// Source address of floods.
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Connection preface of an HTTP/2 client.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Returns an HTTP/2 frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[test]
fn what_is_not_http_2_is_cut_off() {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const CONTINUATION: u8 = 9;
    let cluster = start_cluster(TestConfig::new(), &[]);
    let operator = cluster.aggregator.web.session("ann");
    let after_preface = |frames: &[u8]| [PREFACE, frames].concat();
    // POST, http, / (RFC 7541, appendix A).
    let head = [0x83, 0x86, 0x84];
    let reset: Vec<u8> = (0..3_000)
        .flat_map(|at| {
            let stream = 2 * at + 1;
            [frame(HEADERS, 0x4, stream, &head), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
        })
        .collect();
    let without_end: Vec<u8> = (0..3_000).flat_map(|_| frame(CONTINUATION, 0, 1, &[0; 64])).collect();
    let without_end = [frame(HEADERS, 0, 1, &head), without_end].concat();
    let rows = [
        ("HTTP/1.1", b"POST /rta.v1.AggregatorService/Act HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("nonsense", vec![0xff; 65_536]),
        (
            "the start of TLS",
            [b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), vec![b'x'; 500]].concat(),
        ),
        ("nonsense after the preface", after_preface(&[0xff; 65_536])),
        ("a frame of 16 MB", after_preface(b"\xff\xff\xff\x00\0\0\0\0\x01")),
        ("data of no stream", after_preface(&frame(0, 0, 0, b"data"))),
        ("a head that is none", after_preface(&frame(HEADERS, 0x5, 1, &[0xff; 64]))),
        ("a head of an even stream", after_preface(&frame(HEADERS, 0x5, 2, &head))),
        ("half a ping", after_preface(&frame(PING, 0, 0, b"ping"))),
        ("settings of a stream", after_preface(&frame(SETTINGS, 0, 1, &[]))),
        ("a head without an end", after_preface(&without_end)),
        ("calls that are given up at once", after_preface(&reset)),
    ];
    for (what, bytes) in rows {
        // Panics if the server does not close the connection.
        WebResponse::read(send(cluster.aggregator.grpc, bytes));
        assert_eq!(cluster.config.find_process("app"), None, "{what}");
        let status = run_binary("rta", ["--aggregator", &cluster.aggregator.grpc.to_string(), "status"]);
        assert!(String::from_utf8_lossy(&status.stdout).contains("app on h is down"), "{what}: {status:?}");
    }
    let before = open_files(&cluster);
    let runtime = Runtime::new().unwrap();
    let silent = |bytes: &'static [u8]| {
        let connection = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(SOURCE, 0))?;
            let mut stream = socket.connect(cluster.aggregator.grpc).await?;
            // Connections over the limit are closed at once.
            let _ = stream.write_all(bytes).await;
            Ok::<_, std::io::Error>(stream)
        };
        runtime.block_on(connection).unwrap()
    };
    let half: Vec<_> = (0..300).map(|_| silent(&PREFACE[..9])).collect();
    let whole: Vec<_> = (0..300).map(|_| silent(PREFACE)).collect();
    assert_untouched(&cluster, &operator, "what is not HTTP/2");
    let status = run_binary("rta", ["--aggregator", &cluster.aggregator.grpc.to_string(), "status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("app on h is down"), "{status:?}");
    assert!(open_files(&cluster) < before + 300, "no address has more than its share");
    drop((half, whole));
    wait_for_closed_connections(&cluster, before);
}

const CONNECTIONS: usize = 40;
/// Number of streams requested per connection: more than 1,024 in all. Some of the 64 calls that a connection
/// may make at the same time are left for others.
const STREAMS: usize = 48;
/// Minimum number of calls per connection beside the streams: 4,000 in all.
const CALLS: usize = 100;

/// State of a running flood.
#[derive(Default)]
struct Flood {
    /// Number of connections that have requested all their streams.
    ready: AtomicUsize,
    /// Number of calls that were answered or refused.
    calls: AtomicUsize,
    is_over: AtomicBool,
}

/// Results of one connection of the flood.
#[derive(Default)]
struct Share {
    streams: Vec<Streaming<v1::WatchOverviewResponse>>,
    answered: usize,
    refused: usize,
    /// Errors other than a clean refusal.
    other: Vec<Status>,
}

impl Share {
    /// Counts a call that failed.
    fn failed(&mut self, status: Status) {
        match status.code() {
            Code::ResourceExhausted => self.refused += 1,
            _ => self.other.push(status),
        }
    }

    /// Subscribes to overviews and waits for the first one.
    async fn watch(&mut self, client: &mut Client) {
        let watched = async {
            let mut stream = client.watch_overview(v1::WatchOverviewRequest::default()).await?.into_inner();
            let first = stream.message().await?;
            first.ok_or_else(|| Status::unknown("the stream ended")).map(|_| stream)
        };
        match watched.await {
            Ok(stream) => self.streams.push(stream),
            Err(status) => self.failed(status),
        }
    }

    async fn get(&mut self, client: &mut Client) {
        match client.get_overview(v1::GetOverviewRequest {}).await {
            Ok(_) => self.answered += 1,
            Err(status) => self.failed(status),
        }
    }
}

impl Flood {
    /// Runs one connection of the flood until the flood is over.
    async fn pour(self: Arc<Self>, mut client: Client) -> Share {
        let mut share = Share::default();
        for _ in 0..STREAMS {
            share.watch(&mut client).await;
        }
        self.ready.fetch_add(1, Ordering::Relaxed);
        let mut calls = 0;
        while calls < CALLS || !self.is_over.load(Ordering::Relaxed) {
            share.get(&mut client).await;
            self.calls.fetch_add(1, Ordering::Relaxed);
            calls += 1;
        }
        share
    }
}

/// Connects from the address of the flood.
async fn connected(grpc: SocketAddr) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{grpc}")).unwrap().local_address(Some(SOURCE));
    Client::new(endpoint.connect().await.unwrap())
}

#[test]
fn a_flood_from_one_address_keeps_nobody_else_out() {
    let cluster = start_cluster(TestConfig::new(), &[]);
    let operator = cluster.aggregator.web.session("ann");
    let before = open_files(&cluster);
    let runtime = Runtime::new().unwrap();
    let flood = Arc::new(Flood::default());
    let shares: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let client = runtime.block_on(connected(cluster.aggregator.grpc));
            runtime.spawn(Arc::clone(&flood).pour(client))
        })
        .collect();
    wait_for("every connection to have its streams", || {
        (flood.ready.load(Ordering::Relaxed) == CONNECTIONS).then_some(())
    });
    let calls = flood.calls.load(Ordering::Relaxed);
    assert_untouched(&cluster, &operator, "a flood that goes on");
    let status = run_binary("rta", ["--aggregator", &cluster.aggregator.grpc.to_string(), "status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("app on h is down"), "{status:?}");
    wait_for("the flood to have gone on meanwhile", || {
        (flood.calls.load(Ordering::Relaxed) > calls + CONNECTIONS).then_some(())
    });
    flood.is_over.store(true, Ordering::Relaxed);
    let shares: Vec<Share> = shares.into_iter().map(|share| runtime.block_on(share).unwrap()).collect();
    let other: Vec<&Status> = shares.iter().flat_map(|share| &share.other).collect();
    assert!(other.is_empty(), "{} of the calls had another end, as {:?}", other.len(), other[0]);
    let sum = |of: fn(&Share) -> usize| shares.iter().map(of).sum::<usize>();
    let (streams, answered, refused) =
        (sum(|share| share.streams.len()), sum(|share| share.answered), sum(|share| share.refused));
    assert!(streams + answered + refused >= CONNECTIONS * (STREAMS + CALLS), "each has an end");
    // The flood ends with its streams, also for its address.
    drop(shares);
    wait_for_closed_connections(&cluster, before);
    wait_for("the address to be answered again", || {
        let answer = async {
            let mut client = connected(cluster.aggregator.grpc).await;
            client.get_overview(v1::GetOverviewRequest {}).await
        };
        let overview = runtime.block_on(answer).ok()?.into_inner().overview?;
        (overview.environments.len() == 1).then_some(())
    });
    assert_untouched(&cluster, &operator, "a flood");
    // No address gets more than its share, and the share is enough for people.
    assert!(refused >= 1 && streams > 100, "{streams} streams, {answered} answers, {refused} refusals");
}
