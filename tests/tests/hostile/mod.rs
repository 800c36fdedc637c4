//! Hostile clients: every attack is refused, and normal operation continues.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod grpc;
mod web;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use rta_tests::{TestCluster, TestConfig, WebSession, wait_for};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Form of the buttons of `app`.
const FORM: &str = "environment=TEST&host=h&component=app";

/// Starts a host with `app`, its agent, and an aggregator with user accounts, public viewing and further
/// arguments.
fn start_cluster(config: TestConfig, aggregator_arguments: &[String]) -> TestCluster {
    allow_many_files();
    let app = config.component_toml("app", "", "");
    TestCluster::builder(config)
        .components(&app)
        .host("h", &["app"])
        .users("open")
        .aggregator_arguments(aggregator_arguments)
        .start()
}

/// Performs an action through the page as an operator, and waits for its completion.
fn act(cluster: &TestCluster, operator: &WebSession, path: &str) {
    let web = cluster.aggregator.web;
    let WebSession { cookie, csrf } = operator;
    let (origin, form) = (format!("http://{}", web.0), format!("{FORM}&csrf={csrf}"));
    let begun = web.request("POST", path, &[("Cookie", cookie), ("Origin", &origin)], &form);
    assert_eq!(begun.code, 303, "{begun:?}");
    let plan = begun.header("location").unwrap();
    wait_for("the plan to end", || web.get(plan).body.contains(">1 step done<").then_some(()));
}

/// Asserts that nothing was started, that the page responds, and that an operator can start and stop.
fn assert_untouched(cluster: &TestCluster, operator: &WebSession, after: &str) {
    let is_started = || cluster.config.find_process("app").is_some();
    assert!(!is_started(), "{after}: it was started");
    wait_for(&format!("the page to say after {after} that it is down"), || {
        let page = cluster.aggregator.web.get("/");
        assert_eq!(page.code, 200, "{after}: {page:?}");
        page.body.contains("<h1>1 down</h1>").then_some(())
    });
    act(cluster, operator, "/start");
    assert!(is_started(), "{after}: it is not started");
    act(cluster, operator, "/stop");
    assert!(!is_started(), "{after}: it is not stopped");
    let log = cluster.aggregator.process.log();
    assert!(!log.iter().any(|line| line.contains("panicked")), "{after}: {log:#?}");
}

/// Returns the number of files and connections that the aggregator has open.
fn open_files(cluster: &TestCluster) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", cluster.aggregator.process.pid())).unwrap().count()
}

/// Waits until the aggregator has closed its ended connections, so that about `before` files are open.
fn wait_for_closed_connections(cluster: &TestCluster, before: usize) {
    wait_for("the aggregator to close its connections", || {
        (open_files(cluster) <= before + 10).then_some(())
    });
}

/// Raises the limit of open files for the many connections, here and in the aggregator,
/// which inherits the limit.
fn allow_many_files() {
    const ENOUGH: u64 = 3_000;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < ENOUGH) {
        let current = Some(maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH)));
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }
}

/// Opens a connection and sends these bytes, whatever the other end does with them.
fn send(address: SocketAddr, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    // A server that refuses need not read to the end.
    let _ = stream.write_all(bytes.as_ref());
    stream
}
