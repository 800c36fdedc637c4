//! What the page and the gRPC service can ask of the aggregator.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rta_shared::config::Platform;
use rta_shared::control::Done;
use rta_shared::explain::ExplainedProcess;
use rta_shared::overview::{InstanceId, Overview};
use rta_shared::report::ActionKind;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::fleet::Agent;
use crate::hub::{Inbox, Message, hub};
use crate::knowledge::News;
use crate::target::{Found, OperationError, Target, resolve};

/// What an agent may take beyond the configured times: launching, scanning, answering.
const MARGIN: Duration = Duration::from_secs(20);

/// A handle on the running aggregator; clones share it.
#[derive(Clone)]
pub struct Operations {
    platform: Arc<Platform>,
    agents: Arc<[Agent]>,
    inbox: Inbox,
    overview: watch::Receiver<Arc<Overview>>,
}

impl Operations {
    /// Follows every agent of `platform` until `shutdown`.
    ///
    /// # Errors
    /// An agent's address that is none; a checked configuration has no such.
    pub fn start(platform: Platform, shutdown: &CancellationToken) -> anyhow::Result<Self> {
        let platform = Arc::new(platform);
        let agents: Arc<[Agent]> = platform.hosts().map(Agent::new).collect::<Result<Vec<_>, _>>()?.into();
        let (inbox, overview, hub) = hub(Arc::clone(&platform));
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(hub));
        for (at, agent) in agents.iter().cloned().enumerate() {
            let inbox = inbox.clone();
            let follow = async move {
                // The hub ends only with everything else: a message that finds it gone is lost with it.
                agent.follow(async |news| drop(inbox.send(Message::News(at, news)).await)).await;
            };
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(follow));
        }
        Ok(Self { platform, agents, inbox, overview })
    }

    /// The overview as it stands.
    pub fn overview(&self) -> Arc<Overview> {
        Arc::clone(&self.overview.borrow())
    }

    /// The overview as it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Overview>> {
        self.overview.clone()
    }

    /// Every host has been heard of, or is known not to answer.
    pub fn is_ready(&self) -> bool {
        let overview = self.overview();
        let mut hosts = overview.environments.iter().flat_map(|environment| &environment.hosts);
        hosts.all(|host| host.reachable || host.error.is_some())
    }

    /// Makes every agent scan now; returns within 5 seconds.
    pub async fn refresh(&self) -> Arc<Overview> {
        join_all((0..self.agents.len()).map(|at| self.refresh_host(at))).await;
        self.flushed().await
    }

    async fn refresh_host(&self, at: usize) {
        let Some(agent) = self.agents.get(at) else { return };
        let news = match agent.report().await {
            Ok(report) => News::Report(Box::new(report)),
            Err(reason) => News::Lost(reason),
        };
        // The hub ends only at shutdown.
        let _ = self.inbox.send(Message::News(at, news)).await;
    }

    /// The overview in which everything told so far is contained.
    async fn flushed(&self) -> Arc<Overview> {
        let (done, published) = oneshot::channel();
        if self.inbox.send(Message::Flush(done)).await.is_ok() {
            // An error says that the hub ended; what it published last is all there is.
            let _ = published.await;
        }
        self.overview()
    }

    /// Starts or stops one instance and waits until it is done; the overview then shows the result.
    ///
    /// # Errors
    /// An unknown or ambiguous target, an agent that does not answer, and the agent's own refusals.
    pub async fn control(
        &self,
        kind: ActionKind,
        target: &Target,
    ) -> Result<(InstanceId, Done), OperationError> {
        let found = resolve(&self.platform, target)?;
        let id = found.id();
        let agent = self.agent(&found)?;
        tracing::info!(instance = %id, ?kind, "asking the agent");
        let outcome = agent.control(kind, &found.component.name, patience(kind, &found)).await;
        match &outcome {
            Ok(done) => tracing::info!(instance = %id, ?kind, %done, "the agent answered"),
            Err(error) => tracing::warn!(instance = %id, ?kind, %error, "the agent did not do it"),
        }
        self.refresh_host(found.host_at).await;
        self.flushed().await;
        Ok((id, outcome?))
    }

    /// Why an instance is or is not matched: the processes that come nearest, the nearest first.
    ///
    /// # Errors
    /// An unknown or ambiguous target, an agent that does not answer, and the agent's own refusals.
    pub async fn explain(
        &self,
        target: &Target,
    ) -> Result<(InstanceId, Vec<ExplainedProcess>), OperationError> {
        let found = resolve(&self.platform, target)?;
        let agent = self.agent(&found)?;
        Ok((found.id(), agent.explain(&found.component.name).await?))
    }

    fn agent(&self, found: &Found<'_>) -> Result<&Agent, OperationError> {
        self.agents.get(found.host_at).ok_or_else(|| {
            OperationError::new(tonic::Code::Internal, format!("host {} has no agent", found.host.name))
        })
    }
}

/// How long the agent may take by the configuration.
fn patience(kind: ActionKind, found: &Found<'_>) -> Duration {
    let start = found.component.start.as_ref();
    match kind {
        ActionKind::Start => start.map(|start| start.timeout + start.settle).unwrap_or_default() + MARGIN,
        ActionKind::Stop => found.component.stop.timeout + MARGIN,
    }
}

#[cfg(test)]
impl Operations {
    /// Operations that show `overview` for ever, with no agent behind them.
    pub(crate) fn showing(overview: Overview) -> Self {
        let (inbox, _) = tokio::sync::mpsc::channel(1);
        let (_, overview) = watch::channel(Arc::new(overview));
        Self { platform: Arc::default(), agents: Arc::new([]), inbox, overview }
    }
}
