//! What the page and the gRPC service can ask of the aggregator.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rta_shared::control::{ActionKind, Done, Progress, Requester};
use rta_shared::explain::ExplainedPart;
use rta_shared::overview::{InstanceId, Overview};
use rta_shared::reload::PlatformReload;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::agent::Agent;
use crate::fleet::{Fleet, Followers};
use crate::hub::{Inbox, Message, flush, hub};
use crate::keeper::{Configuration, Keeper, REQUESTS, Request, Source};
use crate::knowledge::News;
use crate::target::{Found, OperationError, Target, resolve};

/// What an agent may take beyond the configured times: launching, scanning, answering.
const MARGIN: Duration = Duration::from_secs(20);

/// A handle on the running aggregator; clones share it.
#[derive(Clone)]
pub struct Operations {
    fleet: watch::Receiver<Arc<Fleet>>,
    inbox: Inbox,
    overview: watch::Receiver<Arc<Overview>>,
    /// `None` where the configuration stands in no folder.
    reloads: Option<mpsc::Sender<Request>>,
}

impl Operations {
    /// Operations on the platform of `configuration`, and the task that follows its agents until `shutdown`.
    ///
    /// # Errors
    /// An agent's address that is none; a checked configuration has no such.
    pub fn start(
        configuration: Configuration,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let (platform, source, reloads) = match configuration {
            Configuration::Fixed(platform) => (platform, None, None),
            Configuration::Folder { platform, folder, asked } => {
                let (reloads, requests) = mpsc::channel(REQUESTS);
                (platform, Some(Source { folder, asked, requests }), Some(reloads))
            }
        };
        let fleet = Arc::new(Fleet::new(platform, &[])?);
        let (inbox, overview, hub) = hub(Arc::clone(&fleet));
        let (publisher, fleet) = watch::channel(fleet);
        let keeper =
            Keeper { fleet: publisher, followers: Followers::new(inbox.clone()), inbox: inbox.clone() };
        let hub = shutdown.clone().run_until_cancelled_owned(hub);
        let keeper = keeper.run(source, shutdown.clone());
        let task = async move {
            tokio::join!(hub, keeper);
        };
        Ok((Self { fleet, inbox, overview, reloads }, task))
    }

    /// The platform and its agents as they are now, for one operation from its beginning to its end.
    pub(crate) fn fleet(&self) -> Arc<Fleet> {
        Arc::clone(&self.fleet.borrow())
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
        let fleet = self.fleet();
        join_all(fleet.agents.iter().map(|agent| self.refresh_host(agent))).await;
        self.flushed().await
    }

    async fn refresh_host(&self, agent: &Agent) {
        let news = match agent.report().await {
            Ok(report) => News::Scanned(Box::new(report)),
            Err(reason) => News::Lost(reason),
        };
        // The hub ends only at shutdown.
        let _ = self.inbox.send(Message::News(agent.id(), news)).await;
    }

    /// The overview in which everything told so far is contained.
    async fn flushed(&self) -> Arc<Overview> {
        flush(&self.inbox).await;
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
        by: &Requester,
        tell: impl Fn(Progress),
    ) -> Result<(InstanceId, Done), OperationError> {
        let fleet = self.fleet();
        let found = resolve(&fleet.platform, target)?;
        let id = found.id();
        let agent = agent(&fleet, &found)?;
        tracing::info!(instance = %id, ?kind, "asking the agent");
        let outcome = agent.control(kind, &found.component.name, by, patience(kind, &found), tell).await;
        match &outcome {
            Ok(done) => tracing::info!(instance = %id, ?kind, %done, "the agent answered"),
            Err(error) => tracing::warn!(instance = %id, ?kind, %error, "the agent did not do it"),
        }
        self.refresh_host(agent).await;
        self.flushed().await;
        Ok((id, outcome?))
    }

    /// Why an instance is or is not matched: the processes that come nearest, the nearest first.
    ///
    /// # Errors
    /// An unknown or ambiguous target, an agent that does not answer, and the agent's own refusals.
    pub async fn explain(&self, target: &Target) -> Result<(InstanceId, Vec<ExplainedPart>), OperationError> {
        let fleet = self.fleet();
        let found = resolve(&fleet.platform, target)?;
        let agent = agent(&fleet, &found)?;
        Ok((found.id(), agent.explain(&found.component.name).await?))
    }

    /// Reads the configuration anew, here and then on every host, and waits until that is done. It goes on if
    /// the caller goes away.
    ///
    /// # Errors
    /// A configuration that stands in no folder.
    pub async fn reload(&self) -> Result<PlatformReload, OperationError> {
        let Some(reloads) = &self.reloads else {
            return Err(OperationError::new(
                Code::Unimplemented,
                "this aggregator has no configuration folder that it could read anew; it plays the demo",
            ));
        };
        let ended = || OperationError::new(Code::Unavailable, "the aggregator is shutting down");
        let (request, done) = oneshot::channel();
        reloads.send(request).await.map_err(|_| ended())?;
        done.await.map_err(|_| ended())
    }
}

/// The agent of an instance's host.
pub(crate) fn agent<'f>(fleet: &'f Fleet, found: &Found<'_>) -> Result<&'f Agent, OperationError> {
    fleet
        .agents
        .get(found.host_at)
        .ok_or_else(|| OperationError::new(Code::Internal, format!("host {} has no agent", found.host.name)))
}

/// How long the agent may take by the configuration.
fn patience(kind: ActionKind, found: &Found<'_>) -> Duration {
    let start = found.component.start.as_ref();
    let start = start.map(|start| start.timeout + start.settle).unwrap_or_default();
    let stop = found.component.stop.timeout;
    MARGIN
        + match kind {
            ActionKind::Start => start,
            ActionKind::Stop => stop,
            ActionKind::Restart => stop + start,
        }
}

#[cfg(test)]
impl Operations {
    /// Operations that show `overview` for ever, with no agent behind them.
    pub(crate) fn showing(overview: Overview) -> Self {
        let (inbox, _) = mpsc::channel(1);
        let (_, overview) = watch::channel(Arc::new(overview));
        let (_, fleet) = watch::channel(Arc::default());
        Self { fleet, inbox, overview, reloads: None }
    }
}
