//! Actions (start, stop, restart) requested directly from an agent.

use std::net::SocketAddr;

use rta_shared::action::{ActionEvent, ActionKind, ActionPhase, ActionProgress, ActionResult, Requester};
use rta_shared::proto::v1;
use rta_shared::proto::v1::agent_service_client::AgentServiceClient;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// Client of an agent.
pub type AgentClient = AgentServiceClient<Channel>;

/// Recorded events of an action.
#[derive(Debug)]
pub struct ActionRun {
    /// Progress events, in order.
    pub progress: Vec<ActionProgress>,
    /// Result.
    pub result: Result<ActionResult, Status>,
}

impl ActionRun {
    /// Returns the phases that were reached, in order.
    pub fn phases(&self) -> Vec<ActionPhase> {
        self.progress.iter().map(|progress| progress.phase).collect()
    }
}

/// Connects to an agent.
///
/// # Panics
/// Panics if the agent cannot be reached.
pub async fn connect_agent(address: SocketAddr) -> AgentClient {
    AgentClient::connect(format!("http://{address}")).await.expect("the agent can be reached")
}

/// Returns the target for requests to an agent, as its report describes it.
///
/// # Panics
/// Panics if the agent does not report.
pub async fn request_target(client: &mut AgentClient) -> Option<v1::RequestTarget> {
    let response = client.watch_report(v1::WatchReportRequest::default()).await.expect("the agent reports");
    let mut events = response.into_inner();
    loop {
        let event = events.message().await.expect("the agent reports").expect("the reports go on").event;
        if let Some(v1::watch_report_response::Event::Report(v1::Report {
            host,
            boot_id,
            config_digest,
            ..
        })) = event
        {
            return Some(v1::RequestTarget { host, boot_id, config_digest, ..Default::default() });
        }
    }
}

/// Requests an action on a component for user `ann`, and reads its events to the end.
///
/// # Panics
/// Panics if an event is invalid or the stream ends without a result.
pub async fn run_action(client: &mut AgentClient, kind: ActionKind, component: &str) -> ActionRun {
    let by = Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() };
    let request = v1::AgentServiceActRequest {
        kind: v1::ActionKind::from(kind).into(),
        component: component.to_owned(),
        by: Some((&by).into()),
        target: request_target(client).await,
        request_id: String::new(),
    };
    read_events(client.act(request).await).await
}

async fn read_events(
    response: Result<tonic::Response<Streaming<v1::AgentServiceActResponse>>, Status>,
) -> ActionRun {
    let mut progress = Vec::new();
    let mut events = match response {
        Ok(response) => response.into_inner(),
        Err(status) => return ActionRun { progress, result: Err(status) },
    };
    loop {
        let event = match events.message().await {
            Ok(event) => event.expect("an action has an end"),
            Err(status) => return ActionRun { progress, result: Err(status) },
        };
        match ActionEvent::try_from(event).expect("what an agent tells can be understood") {
            ActionEvent::Progress(step) => progress.push(step),
            ActionEvent::Done(done) => {
                let more = events.message().await.expect("the stream ends well");
                assert!(more.is_none(), "the end is the last");
                return ActionRun { progress, result: Ok(done) };
            }
        }
    }
}
