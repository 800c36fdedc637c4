//! Times from a change to those who follow the platform: an open page, and a stream of overviews.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rta_shared::proto::v1;
use rta_tests::{AggregatorClient, FakeAgents};
use tokio::runtime::Runtime;
use tokio_stream::StreamExt as _;

use crate::scenario::COMPONENTS;

/// Number of hosts that change in turn. Each changes again only after all others.
const CHANGING: usize = 40;
/// Time after the last change in which it has to be seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Latencies of the changes that were seen, and the number of the others.
pub(crate) struct Latencies {
    pub(crate) seen: Vec<Duration>,
    pub(crate) lost: usize,
}

/// Alternates between stopping and starting the last component of some hosts, so that each change differs from
/// the state before it.
pub(crate) struct Changer<'a> {
    agents: &'a FakeAgents,
    hosts: usize,
    count: usize,
}

impl<'a> Changer<'a> {
    pub(crate) fn new(agents: &'a FakeAgents, hosts: usize) -> Self {
        Self { agents, hosts: hosts.min(CHANGING), count: 0 }
    }

    /// Makes one change. Returns the position of its host and the new state.
    pub(crate) fn change(&mut self) -> (usize, v1::State) {
        let (round, host) = (self.count / self.hosts, self.count % self.hosts);
        self.count += 1;
        let state = if round % 2 == 0 { v1::State::Stopped } else { v1::State::Running };
        self.agents.set_state(host, COMPONENTS - 1, state);
        (host, state)
    }

    /// Makes changes at a constant rate for a time. Returns their number.
    pub(crate) fn run(&mut self, a_second: u32, duration: Duration) -> usize {
        let (began, before) = (Instant::now(), self.count);
        while began.elapsed() < duration {
            let made = u32::try_from(self.count - before).expect("there are few changes");
            let due = began + Duration::from_secs(1) * made / a_second;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.change();
        }
        self.count - before
    }

    /// Lets everything run again.
    pub(crate) fn restore(&self) {
        (0..self.hosts).for_each(|host| self.agents.set_state(host, COMPONENTS - 1, v1::State::Running));
    }
}

/// Opens the overview page, makes changes at a rate, and measures the time until an update of the page names
/// the host that changed.
pub(crate) fn page_latencies(
    web: SocketAddr,
    changer: &mut Changer<'_>,
    a_second: u32,
    duration: Duration,
) -> Latencies {
    let updates = follow_page(web);
    updates.recv_timeout(PATIENCE).expect("the page is sent");
    // Figures of what is used go on changing.
    let settled = Instant::now() + Duration::from_secs(2);
    while updates.recv_timeout(settled.saturating_duration_since(Instant::now())).is_ok() {}
    let mut open: HashMap<String, Instant> = HashMap::new();
    let (mut seen, mut lost) = (Vec::new(), 0);
    let began = Instant::now();
    let mut made = 0;
    loop {
        let due = began + Duration::from_secs(1) * made / a_second;
        let is_over = began.elapsed() >= duration;
        let until = if is_over { began + duration + PATIENCE } else { due };
        let left = until.saturating_duration_since(Instant::now());
        match updates.recv_timeout(left) {
            Ok((at, text)) => open.retain(|host, changed| {
                let is_named = text.contains(host.as_str());
                if is_named {
                    seen.push(at.saturating_duration_since(*changed));
                }
                !is_named
            }),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        // The page goes on changing, so that updates alone do not end the wait.
        if is_over && (open.is_empty() || left.is_zero()) {
            break;
        }
        if !is_over && Instant::now() >= due {
            let now = Instant::now();
            let (host, _) = changer.change();
            // A change that is followed by another of the same host before it is seen was too late.
            lost += usize::from(open.insert(FakeAgents::host_name(host), now).is_some());
            made += 1;
        }
    }
    lost += open.len();
    Latencies { seen, lost }
}

/// Opens the page. Returns the text of each of its updates, with the time of its arrival.
fn follow_page(web: SocketAddr) -> Receiver<(Instant, String)> {
    let (sender, receiver) = channel();
    let mut stream = TcpStream::connect(web).expect("the page can be asked for");
    write!(stream, "GET /live HTTP/1.1\r\nHost: {web}\r\n\r\n").expect("a request can be sent");
    std::thread::spawn(move || {
        let mut event = String::new();
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            event.push_str(&String::from_utf8_lossy(&line));
            // An event ends with an empty line.
            if line.is_empty() || line == b"\r" {
                let is_patch = event.contains("event: patch");
                let event = std::mem::take(&mut event);
                if is_patch && sender.send((Instant::now(), event)).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

/// Overview, as far as it shows what changed: the rest is not decoded, which would cost more than the
/// aggregator.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OverviewMessage {
    #[prost(message, optional, tag = "1")]
    overview: Option<SlimOverview>,
    #[prost(message, optional, tag = "2")]
    delta: Option<SlimDelta>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SlimDelta {
    #[prost(message, repeated, tag = "2")]
    environments: Vec<SlimEnvironmentDelta>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SlimEnvironmentDelta {
    #[prost(message, repeated, tag = "3")]
    hosts: Vec<SlimHostDelta>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SlimHostDelta {
    #[prost(message, optional, tag = "2")]
    host: Option<SlimHost>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SlimOverview {
    #[prost(message, repeated, tag = "2")]
    environments: Vec<SlimEnvironment>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SlimEnvironment {
    #[prost(message, repeated, tag = "3")]
    hosts: Vec<SlimHost>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SlimHost {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "4")]
    reachable: bool,
    #[prost(message, repeated, tag = "7")]
    instances: Vec<SlimInstance>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SlimInstance {
    #[prost(int32, optional, tag = "2")]
    state: Option<i32>,
}

impl OverviewMessage {
    fn hosts(&self) -> impl Iterator<Item = &SlimHost> {
        self.overview.iter().flat_map(|overview| &overview.environments).flat_map(|one| &one.hosts)
    }

    /// Returns the number of hosts that cannot be reached.
    pub(crate) fn unreachable(&self) -> usize {
        self.hosts().filter(|host| !host.reachable).count()
    }

    /// Returns the hosts that a delta has.
    fn changed_hosts(&self) -> impl Iterator<Item = &SlimHost> {
        let environments = self.delta.iter().flat_map(|delta| &delta.environments);
        environments.flat_map(|one| &one.hosts).filter_map(|changed| changed.host.as_ref())
    }

    fn shows(&self, host: &str, state: v1::State) -> bool {
        let mut hosts = self.hosts().chain(self.changed_hosts());
        let found = hosts.find(|one| one.name == host).and_then(|host| host.instances.last());
        found.is_some_and(|instance| instance.state == Some(state.into()))
    }
}

/// Follows the overviews of `WatchOverview` until `is_it` holds of one. Returns the time of its arrival.
pub(crate) fn wait_for_overview(
    runtime: &Runtime,
    stream: &mut tonic::Streaming<OverviewMessage>,
    is_it: impl Fn(&OverviewMessage) -> bool,
) -> Instant {
    runtime.block_on(async {
        loop {
            let message = stream.next().await.expect("overviews go on").expect("they are valid");
            let at = Instant::now();
            if is_it(&message) {
                return at;
            }
        }
    })
}

/// Opens the stream of whole overviews, or of `deltas`.
pub(crate) fn follow_overviews(
    runtime: &Runtime,
    address: SocketAddr,
    deltas: bool,
) -> tonic::Streaming<OverviewMessage> {
    runtime.block_on(async {
        let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
            .expect("it is an address")
            .connect()
            .await
            .expect("the aggregator can be reached");
        let mut call = tonic::client::Grpc::new(channel).max_decoding_message_size(256 << 20);
        call.ready().await.expect("the aggregator can be called");
        let path =
            tonic::codegen::http::uri::PathAndQuery::from_static("/rta.v1.AggregatorService/WatchOverview");
        let codec = tonic_prost::ProstCodec::<v1::WatchOverviewRequest, OverviewMessage>::default();
        let request = tonic::Request::new(v1::WatchOverviewRequest { deltas, host_times: deltas });
        call.server_streaming(request, path, codec).await.expect("overviews are sent").into_inner()
    })
}

/// Makes changes one after the other, and measures the time until an overview shows each.
pub(crate) fn watch_latencies(
    runtime: &Runtime,
    address: SocketAddr,
    changer: &mut Changer<'_>,
    rounds: usize,
) -> Vec<Duration> {
    let mut stream = follow_overviews(runtime, address, true);
    wait_for_overview(runtime, &mut stream, |_| true);
    let round = |_| {
        let began = Instant::now();
        let (host, state) = changer.change();
        let name = FakeAgents::host_name(host);
        let at = wait_for_overview(runtime, &mut stream, |message| message.shows(&name, state));
        std::thread::sleep(Duration::from_millis(100));
        at.saturating_duration_since(began)
    };
    (0..rounds).map(round).collect()
}

/// Asks for a refresh of all hosts, and returns the time until the answer.
pub(crate) fn refresh_time(runtime: &Runtime, mut client: AggregatorClient) -> Duration {
    let began = Instant::now();
    runtime.block_on(client.refresh(v1::RefreshRequest::default())).expect("a refresh is answered");
    began.elapsed()
}
