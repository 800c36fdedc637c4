//! Scripted aggregator for tests.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::Stream;
use jiff::Timestamp;
use rta_shared::action::{ActionKind, Requester};
use rta_shared::overview::{
    EnvironmentOverview, Health, HostOverview, InstanceId, InstanceOverview, Overview,
};
use rta_shared::overview_delta::{DeltaSupport, OverviewSender};
use rta_shared::plan::{Plan, PlanEnd, PlanEvent, PlanStart, Step, StepChange, StepState};
use rta_shared::proto::v1;
use rta_shared::proto::v1::aggregator_service_server::{AggregatorService, AggregatorServiceServer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status};

use crate::client::AggregatorClient;

/// Events of a plan's stream, before it ends or breaks off.
pub(crate) type PlanEventList = Vec<PlanEvent>;

/// Scripted answers, and the recorded requests.
#[derive(Default)]
pub(crate) struct AggregatorScript {
    pub(crate) plan: Option<Plan>,
    /// Answer in place of [`AggregatorScript::plan`].
    pub(crate) plan_refused: Option<Status>,
    /// Answer to Act.
    pub(crate) plan_events: PlanEventList,
    /// Final event, sent when the plan is cancelled. If set, the stream of [`AggregatorScript::plan_events`]
    /// stays open until then.
    pub(crate) when_cancelled: Option<PlanEvent>,
    /// Error that ends the stream after [`AggregatorScript::plan_events`].
    pub(crate) final_error: Option<Status>,
    /// Answers to WatchPlan, one for each call; NOT_FOUND when none is left.
    pub(crate) watch_answers: VecDeque<PlanEventList>,
    pub(crate) options: Vec<v1::PlanOptions>,
    pub(crate) requests: Vec<v1::PlanSelection>,
    pub(crate) cancelled: Vec<u64>,
    pub(crate) maintenance: Vec<v1::SetMaintenanceRequest>,
    pub(crate) planned: Vec<v1::PlannedMaintenance>,
    pub(crate) events: Vec<v1::Event>,
    pub(crate) event_queries: Vec<v1::ListEventsRequest>,
    /// Answers to WatchEvents, one for each call, each of which then ends; FAILED_PRECONDITION when none is
    /// left.
    pub(crate) event_streams: VecDeque<Vec<v1::watch_events_response::Item>>,
    pub(crate) event_watches: Vec<v1::WatchEventsRequest>,
    pub(crate) incidents: Vec<v1::Incident>,
    pub(crate) incident_queries: Vec<v1::ListIncidentsRequest>,
    pub(crate) notify_status: v1::GetNotifyStatusResponse,
    pub(crate) dry_run: v1::DryRunNotificationsResponse,
    pub(crate) overview: Option<Overview>,
    /// Answer to WatchOverview, which then ends with an error of the aggregator.
    pub(crate) overviews: Vec<Overview>,
}

/// Running scripted aggregator.
#[derive(Clone)]
pub(crate) struct FakeAggregator {
    script: Arc<Mutex<AggregatorScript>>,
    /// Senders of the streams that stay open until their plan is cancelled.
    open: Arc<Mutex<Vec<EventSender>>>,
}

impl FakeAggregator {
    /// Serves `script` on a free port; returns the server and a client of it.
    pub(crate) async fn serve(script: AggregatorScript) -> (Self, AggregatorClient) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = AggregatorClient::new(&listener.local_addr().unwrap().to_string()).unwrap();
        let fake = Self { script: Arc::new(Mutex::new(script)), open: Arc::default() };
        let server = tonic::transport::Server::builder()
            .add_service(AggregatorServiceServer::new(fake.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        (fake, client)
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, AggregatorScript> {
        self.script.lock().unwrap()
    }

    fn open_stream(
        &self,
        selection: Option<v1::PlanSelection>,
        options: Option<v1::PlanOptions>,
    ) -> EventStream<v1::PlanEvent> {
        let mut script = self.script();
        script.requests.extend(selection);
        script.options.extend(options);
        let (sender, receiver) = mpsc::channel(100);
        for event in &script.plan_events {
            sender.try_send(Ok(event.into())).unwrap();
        }
        if let Some(status) = &script.final_error {
            sender.try_send(Err(status.clone())).unwrap();
        }
        if script.when_cancelled.is_some() {
            self.open.lock().unwrap().push(sender);
        }
        Box::pin(ReceiverStream::new(receiver))
    }
}

type EventSender = mpsc::Sender<Result<v1::PlanEvent, Status>>;
type EventStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn map_events<T: 'static>(
    plans: EventStream<v1::PlanEvent>,
    wrap: impl Fn(v1::PlanEvent) -> T + Send + 'static,
) -> Response<EventStream<T>> {
    use futures::StreamExt as _;
    Response::new(Box::pin(plans.map(move |event| event.map(&wrap))))
}

#[tonic::async_trait]
impl AggregatorService for FakeAggregator {
    async fn get_overview(
        &self,
        _: Request<v1::GetOverviewRequest>,
    ) -> Result<Response<v1::GetOverviewResponse>, Status> {
        let script = self.script();
        let overview = script.overview.as_ref().ok_or_else(|| Status::unimplemented(""))?;
        Ok(Response::new(v1::GetOverviewResponse { overview: Some(overview.into()) }))
    }

    type WatchOverviewStream = EventStream<v1::WatchOverviewResponse>;

    async fn watch_overview(
        &self,
        _: Request<v1::WatchOverviewRequest>,
    ) -> Result<Response<Self::WatchOverviewStream>, Status> {
        let overviews = std::mem::take(&mut self.script().overviews);
        let mut sender = OverviewSender::new(DeltaSupport::HostsAndTimes);
        let prepared = overviews.iter().map(|overview| Ok(sender.next(overview).into()));
        let end = [Err(Status::failed_precondition("enough"))];
        let prepared: Vec<_> = prepared.chain(end).collect();
        Ok(Response::new(Box::pin(futures::stream::iter(prepared))))
    }

    async fn what_if(&self, _: Request<v1::WhatIfRequest>) -> Result<Response<v1::WhatIfResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    type WatchHostsStream = EventStream<v1::WatchHostsResponse>;

    async fn watch_hosts(
        &self,
        _: Request<v1::WatchHostsRequest>,
    ) -> Result<Response<Self::WatchHostsStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn refresh(&self, _: Request<v1::RefreshRequest>) -> Result<Response<v1::RefreshResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn plan(&self, request: Request<v1::PlanRequest>) -> Result<Response<v1::PlanResponse>, Status> {
        let mut script = self.script();
        script.requests.extend(request.into_inner().selection);
        if let Some(status) = &script.plan_refused {
            return Err(status.clone());
        }
        let plan = script.plan.as_ref().ok_or_else(|| Status::not_found("component \"x\" is not known"))?;
        Ok(Response::new(v1::PlanResponse { plan: Some(plan.into()) }))
    }

    type ActStream = EventStream<v1::AggregatorServiceActResponse>;

    async fn act(
        &self,
        request: Request<v1::AggregatorServiceActRequest>,
    ) -> Result<Response<Self::ActStream>, Status> {
        let request = request.into_inner();
        let plans = self.open_stream(request.selection, request.options);
        Ok(map_events(plans, |event| v1::AggregatorServiceActResponse { event: Some(event) }))
    }

    type WatchPlanStream = EventStream<v1::WatchPlanResponse>;

    async fn watch_plan(
        &self,
        _: Request<v1::WatchPlanRequest>,
    ) -> Result<Response<Self::WatchPlanStream>, Status> {
        let prepared = self.script().watch_answers.pop_front();
        let prepared = prepared.ok_or_else(|| Status::not_found("plan 7 is not known"))?;
        let events: Vec<_> = prepared.iter().map(|event| Ok(event.into())).collect();
        let plans: EventStream<v1::PlanEvent> = Box::pin(futures::stream::iter(events));
        Ok(map_events(plans, |event| v1::WatchPlanResponse { event: Some(event) }))
    }

    type ReadLogStream = EventStream<v1::AggregatorServiceReadLogResponse>;

    async fn read_log(
        &self,
        _: Request<v1::AggregatorServiceReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn cancel_plan(
        &self,
        request: Request<v1::CancelPlanRequest>,
    ) -> Result<Response<v1::CancelPlanResponse>, Status> {
        let mut script = self.script();
        script.cancelled.push(request.into_inner().plan_id);
        let end = script.when_cancelled.take();
        for sender in self.open.lock().unwrap().drain(..) {
            sender.try_send(Ok(end.as_ref().unwrap().into())).unwrap();
        }
        Ok(Response::new(v1::CancelPlanResponse { skipped: 1 }))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let mut script = self.script();
        script.event_queries.push(request.into_inner());
        Ok(Response::new(v1::ListEventsResponse { events: script.events.clone() }))
    }

    type WatchEventsStream = EventStream<v1::WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let mut script = self.script();
        script.event_watches.push(request.into_inner());
        let items = script.event_streams.pop_front();
        let items = items.ok_or_else(|| Status::failed_precondition("that is all"))?;
        let messages: Vec<_> =
            items.into_iter().map(|item| Ok(v1::WatchEventsResponse { item: Some(item) })).collect();
        Ok(Response::new(Box::pin(futures::stream::iter(messages))))
    }

    async fn list_incidents(
        &self,
        request: Request<v1::ListIncidentsRequest>,
    ) -> Result<Response<v1::ListIncidentsResponse>, Status> {
        let mut script = self.script();
        script.incident_queries.push(request.into_inner());
        Ok(Response::new(v1::ListIncidentsResponse { incidents: script.incidents.clone() }))
    }

    async fn get_incident(
        &self,
        request: Request<v1::GetIncidentRequest>,
    ) -> Result<Response<v1::GetIncidentResponse>, Status> {
        let id = request.into_inner().id;
        let incident = self.script().incidents.iter().find(|incident| incident.id == id).cloned();
        let incident = incident.ok_or_else(|| Status::not_found(format!("incident {id} is not known")))?;
        Ok(Response::new(v1::GetIncidentResponse { incident: Some(incident), ..Default::default() }))
    }

    async fn set_maintenance(
        &self,
        request: Request<v1::SetMaintenanceRequest>,
    ) -> Result<Response<v1::SetMaintenanceResponse>, Status> {
        self.script().maintenance.push(request.into_inner());
        Ok(Response::new(v1::SetMaintenanceResponse::default()))
    }

    async fn plan_maintenance(
        &self,
        request: Request<v1::PlanMaintenanceRequest>,
    ) -> Result<Response<v1::PlanMaintenanceResponse>, Status> {
        use v1::{plan_maintenance_request::Begins, planned_maintenance};
        let request = request.into_inner();
        let planned = v1::PlannedMaintenance {
            id: 1,
            environment: request.environment,
            host: request.host,
            component: request.component,
            all: request.all,
            begins: request.begins.map(|begins| match begins {
                Begins::At(at) => planned_maintenance::Begins::At(at),
                Begins::Every(rule) => planned_maintenance::Begins::Every(rule),
            }),
            length: request.length,
            time_zone: request.time_zone,
            reason: request.reason,
            created_at: Some(Default::default()),
            ..Default::default()
        };
        self.script().planned.push(planned.clone());
        Ok(Response::new(v1::PlanMaintenanceResponse { planned: Some(planned) }))
    }

    async fn list_planned_maintenance(
        &self,
        _: Request<v1::ListPlannedMaintenanceRequest>,
    ) -> Result<Response<v1::ListPlannedMaintenanceResponse>, Status> {
        let planned = self.script().planned.clone();
        Ok(Response::new(v1::ListPlannedMaintenanceResponse { planned }))
    }

    async fn cancel_planned_maintenance(
        &self,
        _: Request<v1::CancelPlannedMaintenanceRequest>,
    ) -> Result<Response<v1::CancelPlannedMaintenanceResponse>, Status> {
        let planned = self.script().planned.pop();
        Ok(Response::new(v1::CancelPlannedMaintenanceResponse { planned }))
    }

    async fn get_notes(
        &self,
        _: Request<v1::GetNotesRequest>,
    ) -> Result<Response<v1::GetNotesResponse>, Status> {
        Ok(Response::new(v1::GetNotesResponse { instance: Some(v1::InstanceId::default()), notes: None }))
    }

    async fn reload_config(
        &self,
        _: Request<v1::ReloadConfigRequest>,
    ) -> Result<Response<v1::ReloadConfigResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn test_notification(
        &self,
        request: Request<v1::TestNotificationRequest>,
    ) -> Result<Response<v1::TestNotificationResponse>, Status> {
        match request.into_inner().channel.as_str() {
            "ops" => Ok(Response::new(v1::TestNotificationResponse {})),
            channel => Err(Status::not_found(format!("there is no channel \"{channel}\""))),
        }
    }

    async fn get_notify_status(
        &self,
        _: Request<v1::GetNotifyStatusRequest>,
    ) -> Result<Response<v1::GetNotifyStatusResponse>, Status> {
        Ok(Response::new(self.script().notify_status.clone()))
    }

    async fn dry_run_notifications(
        &self,
        _: Request<v1::DryRunNotificationsRequest>,
    ) -> Result<Response<v1::DryRunNotificationsResponse>, Status> {
        Ok(Response::new(self.script().dry_run.clone()))
    }

    async fn explain(
        &self,
        _: Request<v1::AggregatorServiceExplainRequest>,
    ) -> Result<Response<v1::AggregatorServiceExplainResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Returns a plan that starts `E/h/zoo`, which is not named, and `E/h/kafka`, which needs it.
pub(crate) fn sample_plan() -> Plan {
    let step = |component: &str, named, after: &[usize], why: &str| Step {
        instance: InstanceId { environment: "E".into(), host: "h".into(), component: component.into() },
        action: ActionKind::Start,
        named,
        after: after.to_vec(),
        why: why.to_owned(),
        irreversible: String::new(),
        batch: 0,
        gate: None,
    };
    Plan {
        kind: ActionKind::Start,
        steps: vec![step("zoo", false, &[], "kafka needs it"), step("kafka", true, &[0], "")],
    }
}

/// Returns the first event of [`sample_plan`], with number 7.
pub(crate) fn plan_started() -> PlanEvent {
    let at = Timestamp::UNIX_EPOCH;
    PlanEvent::Begun(PlanStart { id: 7, plan: sample_plan(), at, by: Requester::default(), unrecorded: None })
}

pub(crate) fn step_changed(step: usize, state: StepState, text: &str) -> PlanEvent {
    let at = Timestamp::UNIX_EPOCH;
    PlanEvent::Step(StepChange { step, at, state, progress: None, text: text.to_owned() })
}

/// Returns the last event, with the numbers of done, failed, skipped and interrupted steps.
pub(crate) fn plan_ended([done, failed, skipped, interrupted]: [usize; 4], cancelled: bool) -> PlanEvent {
    let at = Timestamp::UNIX_EPOCH;
    PlanEvent::Ended(PlanEnd { at, done, failed, skipped, interrupted, cancelled })
}

/// Returns an overview of the host `DEV/h` with these components.
pub(crate) fn sample_overview(healths: &[(&str, Health)]) -> Overview {
    let instance = |(component, health): &(&str, Health)| InstanceOverview {
        reason: if *health == Health::Up { String::new() } else { "because".to_owned() },
        ..InstanceOverview::new(*component, *health)
    };
    overview_of(healths.iter().map(instance).collect())
}

/// Returns an overview of the host `DEV/h` with these instances.
pub(crate) fn overview_of(instances: Vec<InstanceOverview>) -> Overview {
    let health = instances.iter().map(|instance| instance.health).max().unwrap_or(Health::Up);
    let host = HostOverview {
        name: "h".into(),
        role: None,
        health,
        reachable: true,
        scanned_at: None,
        error: None,
        instances: instances.into_iter().map(Into::into).collect(),
        agent: None,
        usage: None,
        maintenance: None,
        impairments: vec![],
    };
    let environment = EnvironmentOverview { name: "DEV".into(), health, hosts: vec![host.into()] };
    Overview {
        generated_at: Timestamp::UNIX_EPOCH,
        environments: vec![environment.into()],
        config_digest: String::new(),
        config_error: None,
        impairments: vec![],
        aliases: vec![],
        leaders: Vec::new(),
    }
}
