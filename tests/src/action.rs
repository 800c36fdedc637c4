//! Starting, stopping and restarting by an agent, as its callers do.

use std::net::SocketAddr;

use rta_shared::control::{ActionEvent, ActionKind, Done, Phase, Progress, Requester};
use rta_shared::proto::v1;
use rta_shared::proto::v1::agent_service_client::AgentServiceClient;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// A connection to an agent.
pub type AgentClient = AgentServiceClient<Channel>;

/// What an agent told of an action.
#[derive(Debug)]
pub struct Acted {
    /// How far it got.
    pub progress: Vec<Progress>,
    /// How it ended.
    pub end: Result<Done, Status>,
}

impl Acted {
    /// What was reached, in order.
    pub fn phases(&self) -> Vec<Phase> {
        self.progress.iter().map(|progress| progress.phase).collect()
    }
}

/// Connects to an agent.
///
/// # Panics
/// Where it cannot be reached.
pub async fn connect(address: SocketAddr) -> AgentClient {
    AgentClient::connect(format!("http://{address}")).await.expect("the agent can be reached")
}

/// What a request to an agent is for, as its report describes it.
///
/// # Panics
/// Where it does not report.
pub async fn target(client: &mut AgentClient) -> Option<v1::RequestTarget> {
    let response = client.watch_report(v1::WatchReportRequest {}).await.expect("the agent reports");
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
            return Some(v1::RequestTarget { host, boot_id, config_digest });
        }
    }
}

/// Has an agent do something to a component for `ann`, and reads what it tells to the end.
///
/// # Panics
/// Where it tells what cannot be understood, or nothing at the end.
pub async fn act(client: &mut AgentClient, kind: ActionKind, component: &str) -> Acted {
    let component = component.to_owned();
    let by = Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() };
    let by = Some((&by).into());
    let target = target(client).await;
    match kind {
        ActionKind::Start => {
            let request = v1::AgentServiceStartRequest { component, by, target };
            heard(client.start(request).await).await
        }
        ActionKind::Stop => {
            let request = v1::AgentServiceStopRequest { component, by, target };
            heard(client.stop(request).await).await
        }
        ActionKind::Restart => {
            let request = v1::AgentServiceRestartRequest { component, by, target };
            heard(client.restart(request).await).await
        }
    }
}

async fn heard<T: TryInto<ActionEvent>>(response: Result<tonic::Response<Streaming<T>>, Status>) -> Acted {
    let mut progress = Vec::new();
    let mut events = match response {
        Ok(response) => response.into_inner(),
        Err(status) => return Acted { progress, end: Err(status) },
    };
    loop {
        let event = match events.message().await {
            Ok(event) => event.expect("an action has an end"),
            Err(status) => return Acted { progress, end: Err(status) },
        };
        match event.try_into().ok().expect("what an agent tells can be understood") {
            ActionEvent::Progress(step) => progress.push(step),
            ActionEvent::Done(done) => {
                let more = events.message().await.expect("the stream ends well");
                assert!(more.is_none(), "the end is the last");
                return Acted { progress, end: Ok(done) };
            }
        }
    }
}
