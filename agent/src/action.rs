//! Starts and stops: one at a time works on a component, and each goes on if its caller goes away.

use jiff::Timestamp;
use rta_shared::config::{HostComponent, HostConfig};
use rta_shared::control::Done;
use rta_shared::explain::ExplainedPart;
use rta_shared::report::ActionKind;
use rta_shared::text::{did_you_mean, printable};
use tonic::{Code, Status};

use crate::eyes::Eyes;
use crate::refusal::{Refusal, Verb};
use crate::scan::Scanner;
use crate::worker::Worker;
use crate::{start, stop};

/// Performs actions. One at a time works on a component; each goes on if its caller goes away.
#[derive(Clone)]
pub(crate) struct Actions {
    pub(crate) worker: Worker,
}

impl Actions {
    /// Starts or stops the component of this name or alias, and waits until that is done.
    ///
    /// # Errors
    /// A sentence; the codes are those that `proto/rta/v1/agent.proto` lists.
    pub(crate) async fn perform(&self, kind: ActionKind, name: &str) -> Result<Done, Status> {
        let config = self.worker.config();
        let component = find(&config, name)?;
        // In a task of its own: it goes on, and frees the component in the end, if the caller goes away.
        let action = tokio::spawn(Self::reserved(self.worker.clone(), kind, component.clone()));
        let outcome = match action.await {
            Ok(outcome) => outcome,
            Err(error) => Err(Refusal::new(Code::Internal, format!("the agent failed: {error}"))),
        };
        outcome.map_err(|refusal| refusal.told(kind, &component.name, &config.host))
    }

    /// The processes that come nearest to the criteria of the component of this name or alias.
    ///
    /// # Errors
    /// A sentence: no such component, or the processes cannot be seen.
    pub(crate) async fn explain(&self, name: &str) -> Result<Vec<ExplainedPart>, Status> {
        let config = self.worker.config();
        let component = find(&config, name)?.clone();
        let mut scanner = Scanner::new(HostConfig::clone(&config));
        // With a scanner of its own, so that it holds up no scan.
        let explained = tokio::task::spawn_blocking(move || scanner.explain(&component)).await;
        let explained = explained.map_err(|error| Status::internal(format!("the agent failed: {error}")))?;
        explained.map_err(|reason| Status::unavailable(format!("host {}: {reason}", config.host)))
    }

    /// Acts while the component is reserved for it.
    async fn reserved(worker: Worker, kind: ActionKind, component: HostComponent) -> Result<Done, Refusal> {
        if let Err((held, since)) = worker.begin(&component.name, kind).await? {
            let reason = format!("a {} of it is under way, since {}", Verb(held), clock(since));
            return Err(Refusal::new(Code::Aborted, reason));
        }
        Self::act(worker, kind, component).await
    }

    async fn act(worker: Worker, kind: ActionKind, component: HostComponent) -> Result<Done, Refusal> {
        // In yet another task, so that the component is freed even if the action panics.
        let eyes = Eyes::new(worker.clone(), component.clone());
        let name = component.name.clone();
        let work = tokio::spawn(async move {
            match kind {
                ActionKind::Start => start::start(&component, &eyes).await,
                ActionKind::Stop => stop::stop(&component, &eyes).await,
            }
        });
        let outcome = match work.await {
            Ok(outcome) => outcome,
            Err(error) => Err(Refusal::new(Code::Internal, format!("the agent failed: {error}"))),
        };
        worker.end(&name).await;
        match &outcome {
            Ok(done) => tracing::info!(component = %name, action = %Verb(kind), %done, "done"),
            Err(refusal) => {
                tracing::warn!(component = %name, action = %Verb(kind), reason = refusal.reason, "not done");
            }
        }
        outcome
    }
}

/// The component of this name or alias.
fn find<'c>(config: &'c HostConfig, name: &str) -> Result<&'c HostComponent, Status> {
    config.find(name).ok_or_else(|| {
        let hint = did_you_mean(name, config.components.iter().map(|known| known.name.as_str()));
        let (host, name) = (&config.host, printable(name));
        Status::not_found(format!("host {host} does not carry a component \"{name}\"{hint}"))
    })
}

/// The time of day in UTC, which is what logs have.
fn clock(time: Timestamp) -> String {
    time.strftime("%H:%M:%S UTC").to_string()
}
