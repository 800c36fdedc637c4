//! Background reader of an agent's reports, or of an aggregator's overviews of one host.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rta_shared::proto::v1;
use rta_shared::proto::v1::agent_service_client::AgentServiceClient;
use rta_shared::proto::v1::aggregator_service_client::AggregatorServiceClient;
use rta_shared::proto::v1::watch_report_response::Event;
use tokio::runtime::Runtime;

/// Report or overview.
#[derive(Clone, Debug)]
pub struct ObservedReport {
    /// Time of its arrival.
    pub at: Instant,
    /// Components by name; empty if the host is not reachable.
    pub components: BTreeMap<String, ObservedComponent>,
    /// Agent's mode of watching its host.
    pub watch: v1::Watch,
}

/// Reported state of one component.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedComponent {
    /// State.
    pub state: v1::State,
    /// Processes.
    pub processes: Vec<v1::Process>,
}

impl ObservedComponent {
    /// Returns the PIDs of its processes.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|process| process.pid).collect()
    }
}

/// Stream of reports or overviews, read in the background until this is dropped.
#[derive(Debug)]
pub struct ReportStream {
    received: mpsc::Receiver<ObservedReport>,
    last: Option<ObservedReport>,
    _runtime: Runtime,
}

impl ReportStream {
    /// Follows an agent's reports.
    ///
    /// # Panics
    /// Panics if the agent cannot be reached.
    pub fn from_agent(address: SocketAddr) -> Self {
        Self::new(async move |sink| {
            let mut client = AgentServiceClient::connect(format!("http://{address}")).await?;
            let mut stream = client.watch_report(v1::WatchReportRequest::default()).await?.into_inner();
            while let Some(message) = stream.message().await? {
                let at = Instant::now();
                let Some(Event::Report(report)) = message.event else { continue };
                let components = report.components.into_iter().map(|component| {
                    let state = component.state();
                    (component.component, ObservedComponent { state, processes: component.processes })
                });
                let components = components.collect();
                sink.send(ObservedReport { at, components, watch: report.watch.unwrap_or_default() })?;
            }
            Ok(())
        })
    }

    /// Follows an aggregator's overviews of its only host.
    ///
    /// # Panics
    /// Panics if the aggregator cannot be reached.
    pub fn from_aggregator(address: SocketAddr) -> Self {
        Self::new(async move |sink| {
            let mut client = AggregatorServiceClient::connect(format!("http://{address}")).await?;
            let mut stream = client.watch_overview(v1::WatchOverviewRequest::default()).await?.into_inner();
            while let Some(message) = stream.message().await? {
                let at = Instant::now();
                let hosts = message.overview.into_iter().flat_map(|overview| overview.environments);
                let Some(host) = hosts.flat_map(|environment| environment.hosts).next() else { continue };
                let components = host.instances.into_iter().filter(|_| host.reachable).map(|instance| {
                    let state = instance.state();
                    (instance.component, ObservedComponent { state, processes: instance.processes })
                });
                let components = components.collect();
                let watch = host.agent.and_then(|agent| agent.watch).unwrap_or_default();
                sink.send(ObservedReport { at, components, watch })?;
            }
            Ok(())
        })
    }

    fn new<F>(follow: impl FnOnce(mpsc::Sender<ObservedReport>) -> F) -> Self
    where
        F: Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let (sink, sightings) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        // The channel ends with the stream, so waiting readers notice.
        runtime.spawn(follow(sink));
        Self { received: sightings, last: None, _runtime: runtime }
    }

    /// Returns everything that arrived since the last call.
    pub fn take_new(&mut self) -> Vec<ObservedReport> {
        let arrived: Vec<ObservedReport> = self.received.try_iter().collect();
        self.last = arrived.last().or(self.last.as_ref()).cloned();
        arrived
    }

    /// Returns the last arrival; `None` before the first.
    pub fn last(&mut self) -> Option<&ObservedReport> {
        self.take_new();
        self.last.as_ref()
    }

    /// Waits until a component is in a wanted state. Returns the time of that arrival, or
    /// `None` after the time limit.
    pub fn wait_for_component(
        &mut self,
        component: &str,
        timeout: Duration,
        is_it: impl Fn(&ObservedComponent) -> bool,
    ) -> Option<Instant> {
        let holds = |sighting: &ObservedReport| sighting.components.get(component).is_some_and(&is_it);
        if let Some(last) = self.last.as_ref().filter(|last| holds(last)) {
            return Some(last.at);
        }
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let sighting = self.received.recv_timeout(left).ok()?;
            let (at, found) = (sighting.at, holds(&sighting));
            self.last = Some(sighting);
            if found {
                return Some(at);
            }
        }
    }
}
