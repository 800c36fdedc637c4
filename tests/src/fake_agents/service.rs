//! gRPC service of a simulated agent; only the calls that the tests need.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rta_shared::proto::v1;
use rta_shared::proto::v1::watch_report_response::Event;
use tokio::sync::watch;
use tokio_stream::wrappers::{IntervalStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::{HostClock, set_component_state};

/// Heartbeat interval of real agents.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Simulated agent with its report, which starts and stops change at once.
#[derive(Clone, Debug)]
pub(super) struct FakeAgentService {
    report: watch::Sender<v1::Report>,
    actions: Arc<AtomicUsize>,
    clock: HostClock,
}

impl FakeAgentService {
    pub(super) fn new(
        report: watch::Sender<v1::Report>,
        actions: Arc<AtomicUsize>,
        clock: HostClock,
    ) -> Self {
        Self { report, actions, clock }
    }

    /// Sets the named component's state, and returns the result that a real agent would send.
    fn act(&self, component: &str, state: v1::State, outcome: v1::ActionOutcome) -> v1::ActionResult {
        self.actions.fetch_add(1, Ordering::SeqCst);
        let at = self.report.borrow().components.iter().position(|one| one.component == component);
        set_component_state(&self.report, at.expect("the host carries the component"), state);
        v1::ActionResult {
            outcome: outcome.into(),
            took: Some(Duration::default().try_into().expect("it is short")),
            ..Default::default()
        }
    }
}

impl NamedService for FakeAgentService {
    const NAME: &'static str = "rta.v1.AgentService";
}

type EventStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type StreamResponse<T> = Ready<Result<Response<EventStream<T>>, Status>>;

fn only<T: Send + 'static>(message: T) -> StreamResponse<T> {
    ready(Ok(Response::new(Box::pin(tokio_stream::once(Ok(message))))))
}

impl ServerStreamingService<v1::WatchReportRequest> for FakeAgentService {
    type Response = v1::WatchReportResponse;
    type ResponseStream = EventStream<Self::Response>;
    type Future = StreamResponse<Self::Response>;

    fn call(&mut self, _: Request<v1::WatchReportRequest>) -> Self::Future {
        let reports = WatchStream::new(self.report.subscribe()).map(Event::Report);
        let clock = self.clock;
        let beats = IntervalStream::new(tokio::time::interval(HEARTBEAT)).map(move |_| {
            let now = Some(clock.now().into());
            let (scanned_at, seen_at, sent_at) = (now, now, now);
            Event::Heartbeat(v1::Heartbeat { scanned_at, seen_at, sent_at, ..v1::Heartbeat::default() })
        });
        let events = reports.merge(beats).map(|event| Ok(v1::WatchReportResponse { event: Some(event) }));
        ready(Ok(Response::new(Box::pin(events))))
    }
}

impl UnaryService<v1::GetReportRequest> for FakeAgentService {
    type Response = v1::GetReportResponse;
    type Future = Ready<Result<Response<Self::Response>, Status>>;

    fn call(&mut self, _: Request<v1::GetReportRequest>) -> Self::Future {
        let report = Some(self.report.borrow().clone());
        ready(Ok(Response::new(v1::GetReportResponse { report })))
    }
}

impl ServerStreamingService<v1::AgentServiceActRequest> for FakeAgentService {
    type Response = v1::AgentServiceActResponse;
    type ResponseStream = EventStream<Self::Response>;
    type Future = StreamResponse<Self::Response>;

    fn call(&mut self, request: Request<v1::AgentServiceActRequest>) -> Self::Future {
        let request = request.into_inner();
        let (state, outcome) = match request.kind() {
            v1::ActionKind::Start => (v1::State::Running, v1::ActionOutcome::Started),
            v1::ActionKind::Stop => (v1::State::Stopped, v1::ActionOutcome::Stopped),
            v1::ActionKind::Restart => (v1::State::Running, v1::ActionOutcome::Restarted),
            v1::ActionKind::Unspecified => return ready(Err(Status::invalid_argument("unknown kind"))),
        };
        let result = self.act(&request.component, state, outcome);
        only(v1::AgentServiceActResponse {
            event: Some(v1::agent_service_act_response::Event::Result(result)),
        })
    }
}

impl tonic::codegen::Service<http::Request<Body>> for FakeAgentService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let agent = self.clone();
        Box::pin(async move {
            let method = request.uri().path().strip_prefix("/rta.v1.AgentService/").unwrap_or_default();
            Ok(match method {
                "WatchReport" => {
                    let codec = ProstCodec::<_, v1::WatchReportRequest>::default();
                    Grpc::new(codec).server_streaming(agent, request).await
                }
                "GetReport" => {
                    Grpc::new(ProstCodec::<_, v1::GetReportRequest>::default()).unary(agent, request).await
                }
                "Act" => {
                    let codec = ProstCodec::<_, v1::AgentServiceActRequest>::default();
                    Grpc::new(codec).server_streaming(agent, request).await
                }
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}
