//! gRPC service of a simulated agent; only the calls that the tests need.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rta_shared::proto::v1;
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::streams::watch_report;
use super::{AgentBehaviour, HostClock, set_component_state};

/// Simulated agent with its report, which starts and stops change.
#[derive(Clone, Debug)]
pub(super) struct FakeAgentService {
    pub(super) report: watch::Sender<v1::Report>,
    pub(super) behaviour: watch::Receiver<AgentBehaviour>,
    /// Number of actions requested from all agents.
    pub(super) actions: Arc<AtomicUsize>,
    pub(super) action_time: watch::Receiver<Duration>,
    pub(super) clock: HostClock,
}

impl FakeAgentService {
    /// Takes the time of an action, sets the named component's state, and returns the result that a real agent
    /// would send.
    async fn act(self, component: String, state: v1::State, outcome: v1::ActionOutcome) -> v1::ActionResult {
        let time = *self.action_time.borrow();
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        self.actions.fetch_add(1, Ordering::SeqCst);
        let at = self.report.borrow().components.iter().position(|one| one.component == component);
        set_component_state(&self.report, at.expect("the host carries the component"), state);
        v1::ActionResult {
            outcome: outcome.into(),
            took: Some(time.try_into().expect("it is short")),
            ..Default::default()
        }
    }

    /// Waits as long as its behaviour lets a request wait.
    ///
    /// # Errors
    /// Returns UNAVAILABLE if the agent is dead.
    async fn delay_answer(&self) -> Result<(), Status> {
        let behaviour = *self.behaviour.borrow();
        match behaviour {
            AgentBehaviour::Hung => {
                let mut behaviour = self.behaviour.clone();
                // The sender lives as long as the agents.
                let _ = behaviour.wait_for(|now| *now != AgentBehaviour::Hung).await;
            }
            AgentBehaviour::Slow(delay) => tokio::time::sleep(delay).await,
            AgentBehaviour::Dead => return Err(Status::unavailable("the agent is dead")),
            AgentBehaviour::Healthy | AgentBehaviour::Flapping | AgentBehaviour::Garbage => {}
        }
        Ok(())
    }
}

impl NamedService for FakeAgentService {
    const NAME: &'static str = "rta.v1.AgentService";
}

type EventStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type BoxedFuture<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

impl ServerStreamingService<v1::WatchReportRequest> for FakeAgentService {
    type Response = v1::WatchReportResponse;
    type ResponseStream = EventStream<Self::Response>;
    type Future = BoxedFuture<Self::ResponseStream>;

    fn call(&mut self, _: Request<v1::WatchReportRequest>) -> Self::Future {
        let agent = self.clone();
        Box::pin(async move {
            agent.delay_answer().await?;
            let events: EventStream<_> =
                Box::pin(watch_report(agent.report.subscribe(), agent.behaviour.clone(), agent.clock));
            Ok(Response::new(events))
        })
    }
}

impl UnaryService<v1::GetReportRequest> for FakeAgentService {
    type Response = v1::GetReportResponse;
    type Future = BoxedFuture<Self::Response>;

    fn call(&mut self, _: Request<v1::GetReportRequest>) -> Self::Future {
        let agent = self.clone();
        Box::pin(async move {
            agent.delay_answer().await?;
            let report = Some(agent.report.borrow().clone());
            Ok(Response::new(v1::GetReportResponse { report }))
        })
    }
}

impl ServerStreamingService<v1::AgentServiceActRequest> for FakeAgentService {
    type Response = v1::AgentServiceActResponse;
    type ResponseStream = EventStream<Self::Response>;
    type Future = BoxedFuture<Self::ResponseStream>;

    fn call(&mut self, request: Request<v1::AgentServiceActRequest>) -> Self::Future {
        let agent = self.clone();
        let request = request.into_inner();
        Box::pin(async move {
            agent.delay_answer().await?;
            let (state, outcome) = match request.kind() {
                v1::ActionKind::Start => (v1::State::Running, v1::ActionOutcome::Started),
                v1::ActionKind::Stop => (v1::State::Stopped, v1::ActionOutcome::Stopped),
                v1::ActionKind::Restart => (v1::State::Running, v1::ActionOutcome::Restarted),
                v1::ActionKind::Unspecified => return Err(Status::invalid_argument("unknown kind")),
            };
            let result = agent.act(request.component, state, outcome).await;
            let message = v1::AgentServiceActResponse {
                event: Some(v1::agent_service_act_response::Event::Result(result)),
            };
            let events: EventStream<_> = Box::pin(tokio_stream::once(Ok(message)));
            Ok(Response::new(events))
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
