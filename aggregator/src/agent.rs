//! One host's agent, as the aggregator asks and follows it.

use std::convert::Infallible;
use std::error::Error as _;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::Timestamp;
use rta_shared::config::Host;
use rta_shared::control::{ActionEvent, ActionKind, Done, Progress, Requester};
use rta_shared::explain::ExplainedPart;
use rta_shared::inspection::InspectedProcess;
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::proto::v1::agent_service_client::AgentServiceClient;
use rta_shared::proto::v1::watch_report_response::Event;
use rta_shared::proto::{ProtocolError, v1};
use rta_shared::reload::Reload;
use rta_shared::report::Report;
use rta_shared::text::{printable, printable_lines};
use rta_shared::tls::trouble::trouble;
use rta_shared::tls::{Asking, Target, connect};
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, Streaming};

use crate::agent_id::AgentId;
use crate::knowledge::News;
use crate::maintenance::AllMaintenance;
use crate::target::OperationError;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);
/// An agent speaks at least every 2 seconds; one that is silent for longer than this is lost. Together with the
/// time until the page is told, a lost host is unknown within 5 seconds.
const SILENCE: Duration = Duration::from_secs(3);
/// How long one fresh scan may take.
const SCAN: Duration = Duration::from_secs(4);
/// How long an agent may take to read its configuration anew.
const RELOAD: Duration = Duration::from_secs(10);
/// A status is a header, and that of a refused configuration has a line for each problem.
const LARGEST_STATUS: u32 = 256 * 1024;
/// HTTP/2 pings find a connection that a cut network left dangling, so that the next call makes a new one.
const PING: Duration = Duration::from_secs(2);
/// The waits between attempts to reach a lost agent: up to a second, so that it is back soon after it answers.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

const NO_CERTIFICATE: &str =
    "it is asked by TLS, and rta-aggregator was started without --tls-cert, --tls-key and --tls-ca";

/// How long an agent may take to note what is in maintenance, and how soon it is told again where it has not.
const MAINTENANCE: Duration = Duration::from_secs(3);

/// One host's agent.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    id: AgentId,
    host: Name,
    address: String,
    client: AgentServiceClient<Channel>,
}

impl Agent {
    /// The agent of `host`. No connection is made before the first call. One at an https:// address is asked by
    /// `asking`, and has to prove that it is the host or what its address says.
    ///
    /// # Errors
    /// An address that is none; a checked configuration has no such.
    pub(crate) fn new(host: &Host, asking: Option<&Asking>) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(host.agent.clone())?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PING)
            .http2_max_header_list_size(LARGEST_STATUS);
        let target = Target::new(&host.agent, &[host.name.folded()]);
        let channel = match (target.filter(|_| host.agent.starts_with("https://")), asking) {
            (None, _) => endpoint.connect_lazy(),
            (Some(target), Some(asking)) => asking.channel(&endpoint, target),
            (Some(_), None) => connect::no_channel(&endpoint, NO_CERTIFICATE),
        };
        Ok(Self {
            id: AgentId::fresh(),
            host: host.name.clone(),
            address: host.agent.clone(),
            client: AgentServiceClient::new(channel),
        })
    }

    pub(crate) fn id(&self) -> AgentId {
        self.id
    }

    pub(crate) fn host(&self) -> &Name {
        &self.host
    }

    /// Whether this is the agent that a configuration gives to `host`.
    pub(crate) fn is_of(&self, host: &Host) -> bool {
        self.host == host.name && self.address == host.agent
    }

    /// Follows the agent for ever, telling `tell` what it hears, and the agent of its host's `maintenance`. Never
    /// two sentences for one silence.
    pub(crate) async fn follow<F: Future<Output = ()>>(
        &self,
        tell: impl Fn(News) -> F,
        maintenance: &watch::Receiver<AllMaintenance>,
    ) {
        let waits = ExponentialBuilder::default()
            .with_min_delay(FIRST_WAIT)
            .with_max_delay(LONGEST_WAIT)
            .with_jitter()
            .without_max_times();
        let mut wait = waits.build();
        loop {
            let mut heard = false;
            let reason = self.listen(&mut heard, &tell, maintenance).await;
            tracing::debug!(host = %self.host, agent = self.address, reason, "agent lost");
            tell(News::Lost(reason)).await;
            if heard {
                wait = waits.build();
            }
            tokio::time::sleep(wait.next().unwrap_or(LONGEST_WAIT)).await;
        }
    }

    /// Passes on what one stream says, until it ends; why it did.
    async fn listen<F: Future<Output = ()>>(
        &self,
        heard: &mut bool,
        tell: impl Fn(News) -> F,
        maintenance: &watch::Receiver<AllMaintenance>,
    ) -> String {
        let silent = || {
            let seconds = SILENCE.as_secs();
            format!(
                "the agent at {} has been silent for {seconds} s: it hangs, or the network is cut",
                self.address
            )
        };
        let mut client = self.client.clone();
        let opening = client.watch_report(v1::WatchReportRequest {});
        let mut stream = match tokio::time::timeout(SILENCE, opening).await {
            Err(_) => return silent(),
            Ok(Err(status)) => return self.sentence(&status),
            Ok(Ok(response)) => response.into_inner(),
        };
        let reading = async {
            loop {
                let event = match tokio::time::timeout(SILENCE, stream.message()).await {
                    Err(_) => return silent(),
                    Ok(Err(status)) => return self.sentence(&status),
                    Ok(Ok(None)) => return format!("the agent at {} ended", self.address),
                    Ok(Ok(Some(message))) => message.event,
                };
                let news = match event {
                    Some(Event::Report(report)) => match self.checked(report) {
                        Ok(report) => News::Report(Box::new(report)),
                        Err(reason) => return reason,
                    },
                    Some(Event::Heartbeat(heartbeat)) => match heartbeat.try_into() {
                        Ok(scan) => News::Heartbeat(scan),
                        Err(error) => return format!("the agent at {}: {error}", self.address),
                    },
                    Some(Event::Usage(usage)) => match usage.try_into() {
                        Ok(usage) => News::Usage(usage),
                        Err(error) => return format!("the agent at {}: {error}", self.address),
                    },
                    // An event of a later version: not understood, but a sign of life.
                    None => continue,
                };
                *heard = true;
                tell(news).await;
            }
        };
        tokio::select! {
            reason = reading => reason,
            never = self.tell_maintenance(maintenance.clone()) => match never {},
        }
    }

    /// Tells the agent what of its host is in maintenance: at once, since it may remember what is over, and
    /// whenever that changes; again where it could not be told.
    async fn tell_maintenance(&self, mut maintenance: watch::Receiver<AllMaintenance>) -> Infallible {
        let mut told: Option<Vec<Maintenance>> = None;
        let mut complained = String::new();
        loop {
            let own = maintenance.borrow_and_update().of(&self.host);
            if let Some(own) = own.filter(|own| told.as_ref() != Some(own)) {
                match self.set_maintenance(&own, Timestamp::now()).await {
                    Ok(()) => told = Some(own),
                    Err(reason) => {
                        if complained != reason {
                            tracing::warn!(host = %self.host, reason, "the agent was not told of maintenance");
                            complained = reason;
                        }
                        tokio::time::sleep(MAINTENANCE).await;
                        continue;
                    }
                }
            }
            if maintenance.changed().await.is_err() {
                // Everything is about to end.
                return std::future::pending().await;
            }
        }
    }

    /// Replaces what the agent knows of maintenance on its host, at the moment `now`. One of a version that knows
    /// of none is left alone.
    async fn set_maintenance(&self, own: &[Maintenance], now: Timestamp) -> Result<(), String> {
        let maintenance = own.iter().filter_map(|one| v1::AgentMaintenance::at(one, now));
        let request = v1::AgentServiceSetMaintenanceRequest { maintenance: maintenance.collect() };
        let mut client = self.client.clone();
        match tokio::time::timeout(MAINTENANCE, client.set_maintenance(request)).await {
            Err(_) => Err(format!(
                "the agent at {} did not answer within {} s",
                self.address,
                MAINTENANCE.as_secs()
            )),
            Ok(Err(status)) if status.code() == Code::Unimplemented => {
                tracing::debug!(host = %self.host, "the agent is of a version that knows no maintenance");
                Ok(())
            }
            Ok(Err(status)) => Err(self.sentence(&status)),
            Ok(Ok(_)) => Ok(()),
        }
    }

    /// A fresh scan's report, or a sentence that says why there is none.
    pub(crate) async fn report(&self) -> Result<Report, String> {
        let mut client = self.client.clone();
        match tokio::time::timeout(SCAN, client.get_report(v1::GetReportRequest {})).await {
            Err(_) => {
                Err(format!("the agent at {} took longer than {} s to scan", self.address, SCAN.as_secs()))
            }
            Ok(Err(status)) => Err(self.sentence(&status)),
            Ok(Ok(response)) => {
                let report = response.into_inner().report;
                self.checked(
                    report
                        .ok_or_else(|| format!("the agent at {} answered without a report", self.address))?,
                )
            }
        }
    }

    /// Starts, stops or restarts a component of this host, waiting no longer than `patience`, and tells `tell`
    /// how far that is.
    ///
    /// # Errors
    /// The agent's own refusals, and an agent that does not answer.
    pub(crate) async fn control(
        &self,
        kind: ActionKind,
        component: &Name,
        by: &Requester,
        patience: Duration,
        tell: impl Fn(Progress),
    ) -> Result<Done, OperationError> {
        let (component, by) = (component.as_str().to_owned(), Some(by.into()));
        let mut client = self.client.clone();
        let call = async {
            match kind {
                ActionKind::Start => {
                    let request = v1::AgentServiceStartRequest { component, by };
                    self.heard(client.start(request).await, tell).await
                }
                ActionKind::Stop => {
                    let request = v1::AgentServiceStopRequest { component, by };
                    self.heard(client.stop(request).await, tell).await
                }
                ActionKind::Restart => {
                    let request = v1::AgentServiceRestartRequest { component, by };
                    self.heard(client.restart(request).await, tell).await
                }
            }
        };
        tokio::time::timeout(patience, call).await.unwrap_or_else(|_| {
            Err(OperationError::new(
                Code::DeadlineExceeded,
                format!(
                    "the agent on {} has not said within {} s how it ended; look at the status",
                    self.host,
                    patience.as_secs()
                ),
            ))
        })
    }

    /// Listens to an action until its end.
    async fn heard<T>(
        &self,
        opened: Result<Response<Streaming<T>>, Status>,
        tell: impl Fn(Progress),
    ) -> Result<Done, OperationError>
    where
        ActionEvent: TryFrom<T, Error = ProtocolError>,
    {
        let told = |status: Status| OperationError::new(status.code(), self.sentence(&status));
        let mut events = opened.map_err(told)?.into_inner();
        while let Some(event) = events.message().await.map_err(told)? {
            match ActionEvent::try_from(event) {
                Ok(ActionEvent::Progress(progress)) => tell(progress),
                Ok(ActionEvent::Done(done)) => return Ok(done),
                Err(error) => {
                    let message = format!("the agent on {}: {error}", self.host);
                    return Err(OperationError::new(Code::Internal, message));
                }
            }
        }
        let message =
            format!("the agent on {} ended before it said how it went; look at the status", self.host);
        Err(OperationError::new(Code::Unavailable, message))
    }

    /// The processes that come nearest to a component's criteria.
    ///
    /// # Errors
    /// The agent's own refusals, and an agent that does not answer.
    pub(crate) async fn explain(&self, component: &Name) -> Result<Vec<ExplainedPart>, OperationError> {
        let mut client = self.client.clone();
        let request = v1::AgentServiceExplainRequest { component: component.as_str().to_owned() };
        let parts = self.looked(client.explain(request)).await?.parts;
        Ok(parts.into_iter().map(Into::into).collect())
    }

    /// What a look at the host's processes comes to.
    async fn looked<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, OperationError> {
        match tokio::time::timeout(SCAN, call).await {
            Err(_) => Err(OperationError::new(
                Code::DeadlineExceeded,
                format!("the agent at {} took longer than {} s to look", self.address, SCAN.as_secs()),
            )),
            Ok(Err(status)) => Err(OperationError::new(status.code(), self.sentence(&status))),
            Ok(Ok(response)) => Ok(response.into_inner()),
        }
    }

    /// The processes that match a component, with their command lines.
    ///
    /// # Errors
    /// The agent's own refusals, and an agent that does not answer.
    pub(crate) async fn inspect(&self, component: &Name) -> Result<Vec<InspectedProcess>, OperationError> {
        let mut client = self.client.clone();
        let request = v1::AgentServiceInspectRequest { component: component.as_str().to_owned() };
        let processes = self.looked(client.inspect(request)).await?.processes;
        Ok(processes.into_iter().map(Into::into).collect())
    }

    /// The last `lines` of a component's log, then with `follow` what is written.
    ///
    /// # Errors
    /// The agent's own refusals, and an agent that does not answer.
    pub(crate) async fn read_log(
        &self,
        component: &Name,
        lines: u32,
        follow: bool,
    ) -> Result<Streaming<v1::AgentServiceReadLogResponse>, OperationError> {
        let mut client = self.client.clone();
        let request = v1::AgentServiceReadLogRequest { component: component.to_string(), lines, follow };
        match tokio::time::timeout(SCAN, client.read_log(request)).await {
            Err(_) => Err(OperationError::new(
                Code::DeadlineExceeded,
                format!("the agent at {} has not opened the log within {} s", self.address, SCAN.as_secs()),
            )),
            Ok(Err(status)) => Err(self.told(&status)),
            Ok(Ok(response)) => Ok(response.into_inner()),
        }
    }

    /// A failed call as an error of the operation.
    pub(crate) fn told(&self, status: &Status) -> OperationError {
        OperationError::new(status.code(), self.sentence(status))
    }

    /// Has the agent read its own configuration anew.
    pub(crate) async fn reload_config(&self) -> Reload {
        let mut client = self.client.clone();
        let call = client.reload_config(v1::AgentServiceReloadConfigRequest {});
        let refused = |error: String| Reload { error: Some(error), ..Reload::default() };
        match tokio::time::timeout(RELOAD, call).await {
            Err(_) => refused(format!(
                "the agent at {} has not said within {} s how its reload ended; look at the status",
                self.address,
                RELOAD.as_secs()
            )),
            Ok(Ok(response)) => response.into_inner().into(),
            Ok(Err(status)) => refused(match (status.code(), status.message()) {
                (Code::Unimplemented, "") => format!(
                    "the agent at {} is of a version that cannot reload; restart rta-agent on {}",
                    self.address, self.host
                ),
                // Every problem has its line.
                (Code::FailedPrecondition, problems) => printable_lines(problems),
                _ => self.sentence(&status),
            }),
        }
    }

    /// A report that can be understood and is of the right host.
    fn checked(&self, report: v1::Report) -> Result<Report, String> {
        let report =
            Report::try_from(report).map_err(|error| format!("the agent at {}: {error}", self.address))?;
        if report.host != self.host {
            return Err(format!(
                "the agent at {} is that of host {}, not of {}; correct the agent's address in the configuration",
                self.address,
                printable(report.host.as_str()),
                self.host
            ));
        }
        Ok(report)
    }

    /// What a failed call means to a person.
    fn sentence(&self, status: &Status) -> String {
        // A status that has a source did not come from the agent: the call never got there, or was cut.
        // A failed action's has the log's last lines below its sentence.
        let Some(mut source) = status.source() else { return printable_lines(status.message()) };
        if let Some(reason) = trouble(source) {
            return format!(
                "no trust between the aggregator and the agent at {}: {}; look at their certificates with rta pki show",
                self.address,
                printable(&reason)
            );
        }
        while let Some(deeper) = source.source() {
            source = deeper;
        }
        format!(
            "no connection to the agent at {}: {source}; is rta-agent running on {}?",
            self.address, self.host
        )
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;
    use tonic::service::Routes;
    use tonic::transport::Server;
    use tonic::transport::server::TcpIncoming;

    use std::sync::Arc;

    use super::*;

    /// What the reload of an agent comes to which answers it with this status; `None`: it does not know the call.
    async fn reload_answered_by(status: Option<Status>) -> Reload {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Host {
            name: "h".into(),
            environment: "E".into(),
            role: None,
            components: vec![],
            agent: format!("http://{}", listener.local_addr().unwrap()),
            ip: vec![],
            variables: std::collections::BTreeMap::new(),
        };
        let routes = match status.map(Arc::new) {
            Some(status) => Routes::from(Router::new().route(
                "/rta.v1.AgentService/ReloadConfig",
                post(async move || Status::clone(&status).into_http::<axum::body::Body>()),
            )),
            None => Routes::default(),
        };
        let ended = CancellationToken::new();
        let server = Server::builder()
            .add_routes(routes)
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), ended.clone().cancelled_owned());
        let server = tokio::spawn(server);
        let reload = Agent::new(&host, None).unwrap().reload_config().await;
        ended.cancel();
        server.await.unwrap().unwrap();
        reload
    }

    #[tokio::test]
    async fn a_refused_reload_comes_with_every_problem_however_many() {
        let problem =
            "/etc/rta/platform/dev.toml:12:3: component \"kafka server\": criteria: key is not known";
        let problems = vec![problem; 1_000].join("\n");
        let reload = reload_answered_by(Some(Status::failed_precondition(&problems))).await;
        assert_eq!(reload.error, Some(problems));
        let steering = reload_answered_by(Some(Status::failed_precondition("a\u{1b}[31m\nb"))).await;
        assert_eq!(steering.error.as_deref(), Some("a\\u{1b}[31m\nb"));
    }

    #[tokio::test]
    async fn an_agent_that_cannot_reload_is_told_with_the_reason() {
        let demo = reload_answered_by(Some(Status::unimplemented("this agent has no folder"))).await;
        assert_eq!(demo.error.as_deref(), Some("this agent has no folder"));
        let error = reload_answered_by(None).await.error.unwrap();
        assert!(error.ends_with("is of a version that cannot reload; restart rta-agent on h"), "{error}");
    }
}
