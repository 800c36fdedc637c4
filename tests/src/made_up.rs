//! Agents that exist by their reports alone, for the benches of large platforms.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use rta_shared::proto::v1;
use rta_shared::proto::v1::watch_report_response::Event;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_stream::wrappers::{IntervalStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

/// As real agents do.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Agents of made-up hosts, in this process. They end when this is dropped.
#[derive(Debug)]
pub struct MadeUpHosts {
    agents: Vec<MadeUpAgent>,
    _runtime: Runtime,
}

#[derive(Debug)]
struct MadeUpAgent {
    address: SocketAddr,
    report: watch::Sender<v1::Report>,
}

impl MadeUpHosts {
    /// So many hosts with so many components each, all of them running.
    ///
    /// # Panics
    /// Where no sockets can be had.
    pub fn new(hosts: usize, components: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let agents = (0..hosts).map(|at| {
            let (report, reports) = watch::channel(report(at, components));
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("there is a free port");
            let address = listener.local_addr().expect("it has an address");
            let server = Server::builder().add_service(Reporting(reports));
            runtime.spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
            MadeUpAgent { address, report }
        });
        Self { agents: agents.collect(), _runtime: runtime }
    }

    /// The configuration of their platform: each component but the first needs the one before it.
    pub fn toml(&self) -> String {
        let mut toml = String::new();
        let names: Vec<String> =
            self.agents[0].report.borrow().components.iter().map(|one| one.component.clone()).collect();
        for (at, name) in names.iter().enumerate() {
            let needs = at.checked_sub(1).map(|before| format!("\"{}\"", names[before])).unwrap_or_default();
            let _ = writeln!(
                toml,
                "[[component]]\nname = \"{name}\"\ncriteria = [{{ regex = '{name}' }}]\ndepends_on = [{needs}]"
            );
        }
        let _ =
            writeln!(toml, "[[role]]\nname = \"r\"\ncomponents = {names:?}\n[[environment]]\nname = \"E\"");
        for (at, agent) in self.agents.iter().enumerate() {
            let name = host(at);
            let _ = writeln!(
                toml,
                "[[environment.host]]\nname = \"{name}\"\nrole = \"r\"\nagent = \"http://{}\"",
                agent.address
            );
        }
        toml
    }

    /// From now on a component of a host is said to be so.
    ///
    /// # Panics
    /// Where there is no such.
    pub fn set(&self, host: usize, component: usize, state: v1::State) {
        self.agents[host].report.send_modify(|report| {
            let seen = &mut report.components[component];
            seen.set_state(state);
            let runs = state == v1::State::Running;
            seen.processes = if runs { vec![process(component)] } else { Vec::new() };
            seen.parts = vec![part(component, runs)];
            report.seen_at = Some(SystemTime::now().into());
        });
    }
}

/// The name of a made-up host.
fn host(at: usize) -> String {
    format!("h{at:04}")
}

fn pid(component: usize) -> u32 {
    1000 + u32::try_from(component).expect("there are few components")
}

fn process(component: usize) -> v1::Process {
    v1::Process { pid: pid(component), ..v1::Process::default() }
}

fn part(component: usize, runs: bool) -> v1::PartReport {
    let pids = if runs { vec![pid(component)] } else { Vec::new() };
    let count = Some(v1::PartCount { min: 1, max: Some(1) });
    v1::PartReport { count, running: u32::from(runs), pids, ..v1::PartReport::default() }
}

fn report(at: usize, components: usize) -> v1::Report {
    let component = |at: usize| v1::ComponentReport {
        component: format!("component {at}"),
        state: v1::State::Running.into(),
        processes: vec![process(at)],
        parts: vec![part(at, true)],
        ..v1::ComponentReport::default()
    };
    v1::Report {
        host: host(at),
        boot_id: host(at),
        scanned_at: Some(SystemTime::now().into()),
        seen_at: Some(SystemTime::now().into()),
        processes_seen: 300,
        components: (0..components).map(component).collect(),
        agent_version: "0".to_owned(),
        ..v1::Report::default()
    }
}

/// The part of an agent's service that says how its host is; it knows no other call.
#[derive(Clone, Debug)]
struct Reporting(watch::Receiver<v1::Report>);

impl NamedService for Reporting {
    const NAME: &'static str = "rta.v1.AgentService";
}

type Events = Pin<Box<dyn Stream<Item = Result<v1::WatchReportResponse, Status>> + Send>>;

impl ServerStreamingService<v1::WatchReportRequest> for Reporting {
    type Response = v1::WatchReportResponse;
    type ResponseStream = Events;
    type Future = std::future::Ready<Result<Response<Events>, Status>>;

    fn call(&mut self, _: Request<v1::WatchReportRequest>) -> Self::Future {
        let reports = WatchStream::new(self.0.clone()).map(Event::Report);
        let beats = IntervalStream::new(tokio::time::interval(HEARTBEAT)).map(|_| {
            let now = Some(SystemTime::now().into());
            Event::Heartbeat(v1::Heartbeat { scanned_at: now, seen_at: now, ..v1::Heartbeat::default() })
        });
        let events = reports.merge(beats).map(|event| Ok(v1::WatchReportResponse { event: Some(event) }));
        std::future::ready(Ok(Response::new(Box::pin(events))))
    }
}

impl tonic::codegen::Service<http::Request<Body>> for Reporting {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let reporting = self.clone();
        Box::pin(async move {
            if request.uri().path() != "/rta.v1.AgentService/WatchReport" {
                return Ok(Status::unimplemented("").into_http());
            }
            Ok(Grpc::new(ProstCodec::default()).server_streaming(reporting, request).await)
        })
    }
}
