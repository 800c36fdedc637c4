//! gRPC service of the aggregator.

pub(crate) mod call_limit;

use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures::{Stream, StreamExt as _};
use rta_shared::name::Name;
use rta_shared::overview_delta::{DeltaSupport, OverviewSender};
use rta_shared::plan::PlanEvent;
use rta_shared::proto::v1::aggregator_service_server::AggregatorService;
use rta_shared::proto::{requested_action_kind, v1};
use rta_shared::selector::Selector;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::api::Operations;
use crate::api::environment_leads::EnvironmentLeader;
use crate::api::event_watch::EventWatchRequest;
use crate::api::history::{EventFilter, MaintenanceRequest};
use crate::api::incidents::IncidentFilter;
use crate::api::logs::LogChunk;
use crate::auth::ActingCaller;
use crate::auth::grpc::AuthenticatedCaller;
use crate::operation_error::OperationError;
use crate::plans::run::PlanRun;
use crate::relay::wire::encode_changes;
use crate::store::LiveEvent;

/// [`Operations`] with the interface of `proto/rta/v1/aggregator.proto`.
pub(crate) struct AggregatorGrpc {
    pub(crate) operations: Operations,
    /// Ends the streams.
    pub(crate) shutdown: CancellationToken,
}

/// Answer of a streaming call.
type MessageStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl AggregatorGrpc {
    /// Streams a plan's events from its beginning to its end.
    fn stream_plan<T>(
        &self,
        plan_run: Arc<PlanRun>,
        message: impl Fn(v1::PlanEvent) -> T + Send + 'static,
    ) -> MessageStream<T> {
        let events = plan_run.stream_events().map(move |event: PlanEvent| Ok(message((&event).into())));
        Box::pin(events.take_until(self.shutdown.clone().cancelled_owned()))
    }
}

#[tonic::async_trait]
impl AggregatorService for AggregatorGrpc {
    async fn get_overview(
        &self,
        _: Request<v1::GetOverviewRequest>,
    ) -> Result<Response<v1::GetOverviewResponse>, Status> {
        let overview = self.operations.overview();
        Ok(Response::new(v1::GetOverviewResponse { overview: Some(overview.as_ref().into()) }))
    }

    type WatchOverviewStream = MessageStream<v1::WatchOverviewResponse>;

    async fn watch_overview(
        &self,
        request: Request<v1::WatchOverviewRequest>,
    ) -> Result<Response<Self::WatchOverviewStream>, Status> {
        let support = match request.into_inner() {
            v1::WatchOverviewRequest { deltas: false, .. } => DeltaSupport::None,
            v1::WatchOverviewRequest { host_times: false, .. } => DeltaSupport::Hosts,
            v1::WatchOverviewRequest { .. } => DeltaSupport::HostsAndTimes,
        };
        let mut sender = OverviewSender::new(support);
        let overviews = WatchStream::new(self.operations.watch_overview())
            .map(move |overview| Ok(sender.next(&overview).into()))
            .take_until(self.shutdown.clone().cancelled_owned());
        Ok(Response::new(Box::pin(overviews)))
    }

    type WatchHostsStream = MessageStream<v1::WatchHostsResponse>;

    async fn watch_hosts(
        &self,
        request: Request<v1::WatchHostsRequest>,
    ) -> Result<Response<Self::WatchHostsStream>, Status> {
        let environment = Name::from(request.into_inner().environment.as_str());
        let reader = self.operations.leading_operations(&environment)?.hosts.reader();
        let changes = futures::stream::unfold(reader, async |mut reader| {
            let changes = reader.next().await?;
            Some((encode_changes(changes, Instant::now()), reader))
        });
        let messages = changes.flat_map(|messages| futures::stream::iter(messages.into_iter().map(Ok)));
        let ended = format!("this aggregator does not lead {environment} any more");
        let end = futures::stream::iter([Err(Status::failed_precondition(ended))]);
        Ok(Response::new(Box::pin(messages.chain(end).take_until(self.shutdown.clone().cancelled_owned()))))
    }

    async fn refresh(
        &self,
        request: Request<v1::RefreshRequest>,
    ) -> Result<Response<v1::RefreshResponse>, Status> {
        let environment = request.into_inner().environment;
        let missing = |missing: Vec<(Name, Name)>| {
            let missing = missing.into_iter().map(|(environment, host)| v1::MissingHost {
                environment: environment.as_str().to_owned(),
                host: host.as_str().to_owned(),
            });
            missing.collect()
        };
        let response = if environment.is_empty() {
            let refreshed = self.operations.refresh().await;
            let overview = Some(refreshed.overview.as_ref().into());
            v1::RefreshResponse { overview, missing: missing(refreshed.missing), version: 0 }
        } else {
            let refreshed = self.operations.refresh_environment(&Name::from(environment.as_str())).await?;
            v1::RefreshResponse {
                overview: None,
                missing: missing(refreshed.missing),
                version: refreshed.version,
            }
        };
        Ok(Response::new(response))
    }

    async fn plan(&self, request: Request<v1::PlanRequest>) -> Result<Response<v1::PlanResponse>, Status> {
        let v1::PlanRequest { kind, selection } = request.into_inner();
        let kind = requested_action_kind(kind)?;
        let plan = self.operations.plan(kind, &selection.unwrap_or_default().try_into()?).await?;
        Ok(Response::new(v1::PlanResponse { plan: Some((&plan).into()) }))
    }

    async fn what_if(
        &self,
        request: Request<v1::WhatIfRequest>,
    ) -> Result<Response<v1::WhatIfResponse>, Status> {
        let answer = self.operations.what_if(request.into_inner().try_into()?).await?;
        Ok(Response::new((&answer).into()))
    }

    type ActStream = MessageStream<v1::AggregatorServiceActResponse>;

    async fn act(
        &self,
        request: Request<v1::AggregatorServiceActRequest>,
    ) -> Result<Response<Self::ActStream>, Status> {
        let caller = AuthenticatedCaller::from_extensions(request.extensions())?;
        let message = request.into_inner();
        let v1::AggregatorServiceActRequest { kind, selection, options } = message.clone();
        let kind = requested_action_kind(kind)?;
        let (options, user) = options.unwrap_or_default().parts();
        let by = caller.acting(&user);
        let selection = selection.unwrap_or_default().try_into()?;
        match self.operations.plan_leader(kind, &selection, &by).await? {
            EnvironmentLeader::Here(operations) => {
                let plan_run = operations.begin_plan_here(kind, &selection, options, by).await;
                let plan_run = plan_run.map_err(OperationError::from)?;
                let message = |event| v1::AggregatorServiceActResponse { event: Some(event) };
                Ok(Response::new(self.stream_plan(plan_run, message)))
            }
            EnvironmentLeader::There(route) => {
                let events = self.operations.stream_plan_at_leader(&route, message, &by.by).await?;
                // A leader that is lost ends the stream: the command asks again, and gets the rest from the
                // record.
                let is_lost =
                    |event: &Result<_, Status>| event.as_ref().is_err_and(|status| status.source().is_some());
                let events = events.take_while(move |event| std::future::ready(!is_lost(event)));
                let events =
                    events.map(move |event| event.map_err(|status| route.describe_failure(&status).into()));
                Ok(Response::new(Box::pin(events.take_until(self.shutdown.clone().cancelled_owned()))))
            }
        }
    }

    type WatchPlanStream = MessageStream<v1::WatchPlanResponse>;

    async fn watch_plan(
        &self,
        request: Request<v1::WatchPlanRequest>,
    ) -> Result<Response<Self::WatchPlanStream>, Status> {
        let plan_run = self.operations.find_plan(request.into_inner().plan_id).await?;
        Ok(Response::new(self.stream_plan(plan_run, |event| v1::WatchPlanResponse { event: Some(event) })))
    }

    type ReadLogStream = MessageStream<v1::AggregatorServiceReadLogResponse>;

    async fn read_log(
        &self,
        request: Request<v1::AggregatorServiceReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        let v1::AggregatorServiceReadLogRequest { component, environment, host, lines, follow } =
            request.into_inner();
        let selector = Selector { environment, host, component };
        let (id, pieces) = self.operations.read_log(&selector, lines, follow).await?;
        let first =
            v1::AggregatorServiceReadLogResponse { instance: Some((&id).into()), ..Default::default() };
        let pieces = pieces.map(|piece| {
            let LogChunk { lines, notice } = piece?;
            Ok(v1::AggregatorServiceReadLogResponse { instance: None, lines, notice })
        });
        let messages = futures::stream::iter([Ok(first)]).chain(pieces);
        Ok(Response::new(Box::pin(messages.take_until(self.shutdown.clone().cancelled_owned()))))
    }

    async fn cancel_plan(
        &self,
        request: Request<v1::CancelPlanRequest>,
    ) -> Result<Response<v1::CancelPlanResponse>, Status> {
        // The request states no name.
        let caller = AuthenticatedCaller::from_extensions(request.extensions())?.acting("");
        let skipped = self.operations.cancel_plan(request.into_inner().plan_id, caller).await?;
        Ok(Response::new(v1::CancelPlanResponse { skipped: u32::try_from(skipped).unwrap_or(u32::MAX) }))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let events = self.operations.list_events(&EventFilter::try_from(request.into_inner())?).await?;
        Ok(Response::new(v1::ListEventsResponse { events: events.iter().map(Into::into).collect() }))
    }

    type WatchEventsStream = MessageStream<v1::WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        use v1::watch_events_response::Item;
        let mut watch =
            self.operations.watch_events(&EventWatchRequest::try_from(request.into_inner())?).await?;
        let missed = (watch.missed > 0).then_some(Item::Missed(watch.missed));
        let recorded = std::mem::take(&mut watch.recorded);
        let recorded = recorded.into_iter().map(|event| Item::Event((&event).into()));
        let begin = missed.into_iter().chain(recorded).chain([Item::CaughtUp(watch.last_id)]);
        let later = watch.into_stream().map(|item| match item {
            LiveEvent::Event(event) => Item::Event(event.as_ref().into()),
            LiveEvent::Missed(missed) => Item::Missed(missed),
        });
        let items = futures::stream::iter(begin).chain(later);
        let messages = items.map(|item| Ok(v1::WatchEventsResponse { item: Some(item) }));
        Ok(Response::new(Box::pin(messages.take_until(self.shutdown.clone().cancelled_owned()))))
    }

    async fn list_incidents(
        &self,
        request: Request<v1::ListIncidentsRequest>,
    ) -> Result<Response<v1::ListIncidentsResponse>, Status> {
        let incidents =
            self.operations.list_incidents(&IncidentFilter::try_from(request.into_inner())?).await?;
        Ok(Response::new(v1::ListIncidentsResponse { incidents: incidents.iter().map(Into::into).collect() }))
    }

    async fn get_incident(
        &self,
        request: Request<v1::GetIncidentRequest>,
    ) -> Result<Response<v1::GetIncidentResponse>, Status> {
        let details = self.operations.incident(request.into_inner().id).await?;
        Ok(Response::new((&details).into()))
    }

    async fn set_maintenance(
        &self,
        request: Request<v1::SetMaintenanceRequest>,
    ) -> Result<Response<v1::SetMaintenanceResponse>, Status> {
        let by = AuthenticatedCaller::from_extensions(request.extensions())?.acting(&request.get_ref().user);
        let changed =
            self.operations.set_maintenance(MaintenanceRequest::try_from(request.into_inner())?, by).await?;
        Ok(Response::new(v1::SetMaintenanceResponse { changed: changed.iter().map(Into::into).collect() }))
    }

    async fn plan_maintenance(
        &self,
        request: Request<v1::PlanMaintenanceRequest>,
    ) -> Result<Response<v1::PlanMaintenanceResponse>, Status> {
        let by = AuthenticatedCaller::from_extensions(request.extensions())?.acting(&request.get_ref().user);
        let planned = self.operations.plan_maintenance(request.into_inner().try_into()?, by).await?;
        Ok(Response::new(v1::PlanMaintenanceResponse { planned: Some((&planned).into()) }))
    }

    async fn list_planned_maintenance(
        &self,
        _: Request<v1::ListPlannedMaintenanceRequest>,
    ) -> Result<Response<v1::ListPlannedMaintenanceResponse>, Status> {
        let planned = self.operations.planned_maintenance();
        let planned = planned.iter().map(Into::into).collect();
        Ok(Response::new(v1::ListPlannedMaintenanceResponse { planned }))
    }

    async fn cancel_planned_maintenance(
        &self,
        request: Request<v1::CancelPlannedMaintenanceRequest>,
    ) -> Result<Response<v1::CancelPlannedMaintenanceResponse>, Status> {
        let by = AuthenticatedCaller::from_extensions(request.extensions())?.acting(&request.get_ref().user);
        let planned = self.operations.cancel_planned_maintenance(request.into_inner().id, by).await?;
        Ok(Response::new(v1::CancelPlannedMaintenanceResponse { planned: Some((&planned).into()) }))
    }

    async fn get_notes(
        &self,
        request: Request<v1::GetNotesRequest>,
    ) -> Result<Response<v1::GetNotesResponse>, Status> {
        let v1::GetNotesRequest { component, environment, host } = request.into_inner();
        let definition =
            self.operations.instance_definition(&Selector { environment, host, component }).await?;
        Ok(Response::new(v1::GetNotesResponse {
            instance: Some((&definition.id).into()),
            notes: Some((&definition.notes).into()),
        }))
    }

    async fn reload_config(
        &self,
        request: Request<v1::ReloadConfigRequest>,
    ) -> Result<Response<v1::ReloadConfigResponse>, Status> {
        let by = AuthenticatedCaller::from_extensions(request.extensions())?.acting("");
        Ok(Response::new(self.operations.reload_config(by).await?.into()))
    }

    async fn test_notification(
        &self,
        request: Request<v1::TestNotificationRequest>,
    ) -> Result<Response<v1::TestNotificationResponse>, Status> {
        let by = AuthenticatedCaller::from_extensions(request.extensions())?.acting(&request.get_ref().user);
        self.operations.test_notification(request.into_inner().channel, by).await?;
        Ok(Response::new(v1::TestNotificationResponse {}))
    }

    async fn get_notify_status(
        &self,
        request: Request<v1::GetNotifyStatusRequest>,
    ) -> Result<Response<v1::GetNotifyStatusResponse>, Status> {
        let caller = reading_caller(&request);
        Ok(Response::new(self.operations.notify_status(&caller).await?))
    }

    async fn dry_run_notifications(
        &self,
        request: Request<v1::DryRunNotificationsRequest>,
    ) -> Result<Response<v1::DryRunNotificationsResponse>, Status> {
        let caller = reading_caller(&request);
        Ok(Response::new(self.operations.dry_run_notifications(request.into_inner(), &caller).await?))
    }

    async fn explain(
        &self,
        request: Request<v1::AggregatorServiceExplainRequest>,
    ) -> Result<Response<v1::AggregatorServiceExplainResponse>, Status> {
        let v1::AggregatorServiceExplainRequest { component, environment, host } = request.into_inner();
        let (id, parts) =
            self.operations.explain_instance(&Selector { environment, host, component }).await?;
        Ok(Response::new(v1::AggregatorServiceExplainResponse {
            instance: Some((&id).into()),
            parts: parts.into_iter().map(Into::into).collect(),
        }))
    }
}

/// Returns the caller of what everybody may read.
fn reading_caller<T>(request: &Request<T>) -> ActingCaller {
    let caller = AuthenticatedCaller::from_extensions(request.extensions()).ok();
    caller.map(|caller| caller.acting("")).unwrap_or_default()
}

impl From<OperationError> for Status {
    fn from(error: OperationError) -> Self {
        Self::new(error.code, error.message)
    }
}
