//! Hostile clients: every attack is refused, and normal operation continues.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod grpc;
mod web;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use rta_tests::{ServerProcess, TestConfig, TestUsers, WebClient, WebSession, wait_for};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Form of the buttons of `app`.
const FORM: &str = "environment=TEST&host=h&component=app";

/// Host with `app`, its agent, and an aggregator with user accounts and public viewing.
struct World {
    site: TestConfig,
    _agent: ServerProcess,
    aggregator: ServerProcess,
    web: WebClient,
    grpc: SocketAddr,
    people: TestUsers,
}

impl World {
    fn new() -> Self {
        Self::with(|_| Vec::new())
    }

    /// Starts the programs, with more arguments for the aggregator.
    fn with(more: impl FnOnce(&TestConfig) -> Vec<String>) -> Self {
        allow_many_files();
        let site = TestConfig::new();
        site.write("components.toml", &site.component_toml("app", "", ""));
        let [(agent, _)] = site.start_agents(["h"], &[], "host.toml", |[agent]| {
            format!(
                "[[environment]]\nname = \"TEST\"\nhost = [{{ name = \"h\", components = [\"app\"], agent = \"http://{agent}\" }}]\n"
            )
        });
        let people = TestUsers::new(&site, "open");
        let (config, users) = (site.folder().display().to_string(), people.file.display().to_string());
        let free = "127.0.0.1:0";
        let own = ["--config", &config, "--users", &users, "--web", free, "--grpc", free];
        let arguments = own.map(str::to_owned).into_iter().chain(more(&site));
        let mut aggregator = ServerProcess::start("rta-aggregator", arguments);
        let (web, grpc) = (WebClient(aggregator.address("web")), aggregator.address("grpc"));
        Self { site, _agent: agent, aggregator, web, grpc, people }
    }

    /// Performs an action through the page as an operator, and waits for its completion.
    fn run_action(&self, operator: &WebSession, path: &str) {
        let WebSession { cookie, csrf } = operator;
        let (origin, form) = (format!("http://{}", self.web.0), format!("{FORM}&csrf={csrf}"));
        let begun = self.web.request("POST", path, &[("Cookie", cookie), ("Origin", &origin)], &form);
        assert_eq!(begun.code, 303, "{begun:?}");
        let plan = begun.header("location").unwrap();
        wait_for("the plan to end", || self.web.get(plan).body.contains(">1 step done<").then_some(()));
    }

    /// Asserts that nothing was started, that the page responds, and that an operator can start and stop.
    fn assert_untouched(&self, operator: &WebSession, after: &str) {
        assert_eq!(self.site.find_process("app"), None, "{after}: it was started");
        wait_for(&format!("the page to say after {after} that it is down"), || {
            let page = self.web.get("/");
            assert_eq!(page.code, 200, "{after}: {page:?}");
            page.body.contains("<h1>1 down</h1>").then_some(())
        });
        self.run_action(operator, "/start");
        assert!(self.site.find_process("app").is_some(), "{after}: it is not started");
        self.run_action(operator, "/stop");
        assert_eq!(self.site.find_process("app"), None, "{after}: it is not stopped");
        let log = self.aggregator.log();
        assert!(!log.iter().any(|line| line.contains("panicked")), "{after}: {log:#?}");
    }

    /// Returns the number of files and connections that the aggregator has open.
    fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.aggregator.pid())).unwrap().count()
    }

    /// Waits until the aggregator has closed its ended connections, so that about `before` files are open.
    fn wait_for_closed_connections(&self, before: usize) {
        wait_for("the aggregator to close its connections", || {
            (self.open_files() <= before + 10).then_some(())
        });
    }
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
