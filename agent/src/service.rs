//! gRPC service of one host's agent.

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use rta_shared::connection::ConnectedPeer;
use rta_shared::proto::v1::agent_service_server::AgentService;
use rta_shared::proto::v1::watch_report_response::Event;
use rta_shared::proto::{requested_action_kind, to_wire_time, v1};
use rta_shared::report::Report;
use rta_shared::sanitize::printable;
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Request, Response, Status};

use crate::actions::action_feed::ActionLookup;
use crate::actions::runner::{ActionOrigin, ActionRunner, MAX_REQUEST_ID};
use crate::authorization::requester;
use crate::leader_epoch;
use crate::logs::{LogBatch, LogError, LogReaders};
use crate::maintenance::windows_from_proto;
use crate::prerequisites;
use crate::reload::ConfigReloader;
use crate::request_target::AgentIdentity;

/// Implementation of the agent service in `proto/rta/v1/agent.proto`.
pub(crate) struct AgentGrpcService {
    pub(crate) actions: ActionRunner,
    pub(crate) logs: LogReaders,
    /// `None`: there is no folder to reload.
    pub(crate) reloader: Option<ConfigReloader>,
    /// True if the agent starts and stops nothing.
    pub(crate) is_read_only: bool,
    /// Ends the streams when it is cancelled.
    pub(crate) shutdown: CancellationToken,
}

/// Response of a streaming call.
type AgentResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl AgentGrpcService {
    /// Admits a request other than an action if it is for this host; see [`AgentIdentity::admit`].
    fn admit(&self, target: Option<&v1::RequestTarget>) -> Result<(), Status> {
        let worker = &self.actions.state;
        let config = worker.config();
        AgentIdentity { host: &config.host, boot_id: worker.boot_id(), config_digest: &config.digest }
            .admit(target)
    }

    /// Admits a request of the aggregator that leads; see [`leader_epoch::admit`].
    async fn admit_leader(&self, target: Option<&v1::RequestTarget>) -> Result<(), Status> {
        let (environment, epoch) =
            target.map_or(("", 0), |target| (target.environment.as_str(), target.epoch));
        let host = &self.actions.state.config().host;
        leader_epoch::admit(&self.actions.desired_state, environment, epoch, host).await
    }

    /// Refuses a request if this agent is read-only.
    fn refuse_read_only(&self) -> Result<(), Status> {
        let host = &self.actions.state.config().host;
        match self.is_read_only {
            false => Ok(()),
            true => Err(Status::failed_precondition(format!(
                "this agent of {host} was started with --read-only and does nothing; ask the other one, or restart it \
                 without --read-only"
            ))),
        }
    }
}

/// Logs a request together with its caller.
fn log_call(what: &str, extensions: &Extensions) {
    let caller = extensions.get::<ConnectedPeer>().map(ToString::to_string);
    tracing::info!(caller, "{what}");
}

#[tonic::async_trait]
impl AgentService for AgentGrpcService {
    async fn get_report(
        &self,
        _: Request<v1::GetReportRequest>,
    ) -> Result<Response<v1::GetReportResponse>, Status> {
        let report = self.actions.state.scan_report().await;
        let report = report.map_err(|_| Status::unavailable("the agent is shutting down"))?;
        let sent_at = Some(to_wire_time(Timestamp::now()));
        let report = v1::Report { sent_at, ..report.as_ref().into() };
        Ok(Response::new(v1::GetReportResponse { report: Some(report) }))
    }

    type WatchReportStream = AgentResponseStream<v1::WatchReportResponse>;

    async fn watch_report(
        &self,
        request: Request<v1::WatchReportRequest>,
    ) -> Result<Response<Self::WatchReportStream>, Status> {
        let v1::WatchReportRequest { epoch, environment } = request.into_inner();
        if epoch != 0 {
            let host = &self.actions.state.config().host;
            leader_epoch::admit(&self.actions.desired_state, &environment, epoch, host).await?;
        }
        let mut sent: Option<Arc<Report>> = None;
        let reports = WatchStream::new(self.actions.state.reports()).filter_map(std::future::ready);
        let reports = reports.map(move |report| {
            let sent_at = Some(to_wire_time(Timestamp::now()));
            let event = match &sent {
                Some(sent) if sent.equals_except_times(&report) => {
                    Event::Heartbeat(v1::Heartbeat { sent_at, ..(&report.scan).into() })
                }
                _ => Event::Report(v1::Report { sent_at, ..report.as_ref().into() }),
            };
            sent = Some(report);
            event
        });
        let usage = WatchStream::new(self.actions.state.usage()).filter_map(std::future::ready);
        let usage = usage.map(|usage| Event::Usage(usage.as_ref().into()));
        let events = futures::stream::select(reports, usage)
            .map(|event| Ok(v1::WatchReportResponse { event: Some(event) }))
            .take_until(self.shutdown.clone().cancelled_owned());
        Ok(Response::new(Box::pin(events)))
    }

    type ActStream = AgentResponseStream<v1::AgentServiceActResponse>;

    async fn act(
        &self,
        request: Request<v1::AgentServiceActRequest>,
    ) -> Result<Response<Self::ActStream>, Status> {
        let (_, extensions, v1::AgentServiceActRequest { kind, component, by, target, request_id }) =
            request.into_parts();
        let kind = requested_action_kind(kind)?;
        let by = requester(&extensions, by);
        self.refuse_read_only()?;
        // An aggregator with another host's address must not raise the epoch of this one.
        self.admit(target.as_ref())?;
        self.admit_leader(target.as_ref()).await?;
        tracing::info!(action = %kind, component = %printable(&component), by = %by, "action requested");
        let events =
            self.actions.perform(kind, &component, by, ActionOrigin::Request { target, request_id }).await?;
        let messages = events.map(|event| event.map(|event| (&event).into()));
        Ok(Response::new(Box::pin(messages.take_until(self.shutdown.clone().cancelled_owned()))))
    }

    type WatchActionStream = AgentResponseStream<v1::AgentServiceActResponse>;

    async fn watch_action(
        &self,
        request: Request<v1::WatchActionRequest>,
    ) -> Result<Response<Self::WatchActionStream>, Status> {
        log_call("an action is followed again", request.extensions());
        let v1::WatchActionRequest { request_id, target, agent_run_id } = request.into_inner();
        self.admit(target.as_ref())?;
        if request_id.is_empty() || request_id.len() > MAX_REQUEST_ID {
            let message = format!("name the ID of a request, of at most {MAX_REQUEST_ID} bytes");
            return Err(Status::invalid_argument(message));
        }
        let events = match self.actions.follow(&request_id, &agent_run_id) {
            ActionLookup::Begun(events) => events,
            ActionLookup::NotBegun => {
                let message = "this agent has not begun an action of this ID, and will not";
                return Err(Status::not_found(message));
            }
            ActionLookup::Unknown => {
                let message =
                    "this agent cannot say whether an action of this ID has begun; from now on it will not";
                return Err(Status::aborted(message));
            }
        };
        let messages = events.map(|event| event.map(|event| (&event).into()));
        Ok(Response::new(Box::pin(messages.take_until(self.shutdown.clone().cancelled_owned()))))
    }

    async fn set_maintenance(
        &self,
        request: Request<v1::AgentServiceSetMaintenanceRequest>,
    ) -> Result<Response<v1::AgentServiceSetMaintenanceResponse>, Status> {
        log_call("maintenance is set", request.extensions());
        let memory = &self.actions.desired_state;
        let request = request.into_inner();
        self.admit(request.target.as_ref())?;
        self.refuse_read_only()?;
        self.admit_leader(request.target.as_ref()).await?;
        memory.set_maintenance(windows_from_proto(request, Timestamp::now())?);
        // The aggregator stores it too; a failure of this agent is reported.
        let _ = memory.wait_until_written().await;
        Ok(Response::new(v1::AgentServiceSetMaintenanceResponse {}))
    }

    async fn set_prerequisites(
        &self,
        request: Request<v1::AgentServiceSetPrerequisitesRequest>,
    ) -> Result<Response<v1::AgentServiceSetPrerequisitesResponse>, Status> {
        let request = request.into_inner();
        self.admit(request.target.as_ref())?;
        self.admit_leader(request.target.as_ref()).await?;
        let to_error = prerequisites::prerequisites_from_proto(request)?;
        self.actions.prerequisites.replace(to_error, Instant::now());
        Ok(Response::new(v1::AgentServiceSetPrerequisitesResponse {}))
    }

    type ReadLogStream = AgentResponseStream<v1::AgentServiceReadLogResponse>;

    async fn read_log(
        &self,
        request: Request<v1::AgentServiceReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        let v1::AgentServiceReadLogRequest { component, lines, follow, target } = request.into_inner();
        self.admit(target.as_ref())?;
        let (host, component, log) = self.actions.component_log(&component)?;
        let lines = usize::try_from(lines).unwrap_or(usize::MAX);
        let pieces = self.logs.read(log, lines, follow).await.map_err(|error| match error {
            LogError::Busy => Status::resource_exhausted(format!(
                "host {host}: too many logs are read at the same time; end one and try again"
            )),
            LogError::Unreadable(reason) => {
                Status::failed_precondition(format!("{component} on {host}: {reason}"))
            }
        })?;
        let pieces = pieces.map(move |piece| match piece {
            Ok(LogBatch { lines, notice }) => {
                Ok(v1::AgentServiceReadLogResponse { lines, notice: notice.unwrap_or_default() })
            }
            Err(reason) => Err(Status::failed_precondition(format!("{component} on {host}: {reason}"))),
        });
        Ok(Response::new(Box::pin(pieces.take_until(self.shutdown.clone().cancelled_owned()))))
    }

    async fn reload_config(
        &self,
        request: Request<v1::AgentServiceReloadConfigRequest>,
    ) -> Result<Response<v1::AgentServiceReloadConfigResponse>, Status> {
        log_call("a reload is asked for", request.extensions());
        let target = request.into_inner().target;
        self.admit(target.as_ref())?;
        self.admit_leader(target.as_ref()).await?;
        let reloader = self.reloader.as_ref();
        let reloader =
            reloader.ok_or_else(|| Status::unimplemented("this agent has no configuration folder"))?;
        let changes = reloader.reload().await?;
        let config_digest = self.actions.state.config().digest.clone();
        Ok(Response::new(v1::AgentServiceReloadConfigResponse { config_digest, changes }))
    }

    async fn inspect(
        &self,
        request: Request<v1::AgentServiceInspectRequest>,
    ) -> Result<Response<v1::AgentServiceInspectResponse>, Status> {
        let v1::AgentServiceInspectRequest { component, target } = request.into_inner();
        self.admit(target.as_ref())?;
        let processes = self.actions.inspect(&component).await?;
        let processes = processes.into_iter().map(Into::into).collect();
        Ok(Response::new(v1::AgentServiceInspectResponse { processes }))
    }

    async fn explain(
        &self,
        request: Request<v1::AgentServiceExplainRequest>,
    ) -> Result<Response<v1::AgentServiceExplainResponse>, Status> {
        let v1::AgentServiceExplainRequest { component, target } = request.into_inner();
        self.admit(target.as_ref())?;
        let parts = self.actions.explain(&component).await?;
        let parts = parts.into_iter().map(Into::into).collect();
        Ok(Response::new(v1::AgentServiceExplainResponse { parts }))
    }
}
