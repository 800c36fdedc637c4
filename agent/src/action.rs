//! Starts and stops: one at a time works on a component, and each goes on if its caller goes away.

use std::path::PathBuf;

use futures::Stream;
use rta_shared::config::{Engine, HostComponent, HostConfig, StartRule};
use rta_shared::control::{ActionEvent, ActionKind, Done, Requester};
use rta_shared::explain::ExplainedPart;
use rta_shared::name::Name;
use rta_shared::text::{did_you_mean, printable};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status};

use crate::eyes::Eyes;
use crate::refusal::Refusal;
use crate::scan::Scanner;
use crate::state_folder::Memory;
use crate::systemd::{self, Act};
use crate::worker::Worker;
use crate::{start, stop};

/// Performs actions. One at a time works on a component; each goes on if its caller goes away.
#[derive(Clone)]
pub(crate) struct Actions {
    pub(crate) worker: Worker,
    pub(crate) memory: Memory,
}

/// What is told of an action: how far it is, and last how it ended.
pub(crate) type Told = Result<ActionEvent, Status>;

impl Actions {
    /// Begins to start, stop or restart the component of this name or alias; what is told of it ends with its
    /// end. It goes on if the caller goes away.
    ///
    /// # Errors
    /// A sentence; the codes are those that `proto/rta/v1/agent.proto` lists.
    pub(crate) async fn perform(
        &self,
        kind: ActionKind,
        name: &str,
        by: Requester,
    ) -> Result<impl Stream<Item = Told> + use<>, Status> {
        let config = self.worker.config();
        let component = find(&config, name)?;
        let told = |refusal: Refusal| refusal.told(kind, &component.name, &config.host);
        let held = self
            .worker
            .begin(&component.name, kind, by.clone())
            .await
            .map_err(Refusal::from)
            .map_err(told)?;
        held.map_err(|hold| told(Refusal::new(Code::Aborted, hold.to_string())))?;
        if by != Requester::autostart() {
            self.memory.hear(&component.name, kind, &by);
        }
        let (events, stream) = mpsc::unbounded_channel();
        let (worker, component, host) = (self.worker.clone(), component.clone(), config.host.clone());
        let memory = self.memory.clone();
        // In a task of its own: it goes on, and frees the component in the end, if the caller goes away.
        tokio::spawn(async move {
            let name = component.name.clone();
            let outcome = Self::act(worker, kind, component, events.clone()).await;
            // An operator who is told of it may count on it.
            memory.settled().await;
            let outcome = outcome.map(ActionEvent::Done).map_err(|refusal| refusal.told(kind, &name, &host));
            // The caller may have gone.
            let _ = events.send(outcome);
        });
        Ok(UnboundedReceiverStream::new(stream))
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

    /// The log of the component of this name or alias, with the host's name and the component's.
    ///
    /// # Errors
    /// A sentence: no such component, or the configuration names no log for it.
    pub(crate) fn log_of(&self, name: &str) -> Result<(Name, Name, PathBuf), Status> {
        let config = self.worker.config();
        let component = find(&config, name)?;
        let (host, name) = (config.host.clone(), component.name.clone());
        match &component.log {
            Some(path) => Ok((host, name, path.clone())),
            None => Err(Status::failed_precondition(format!(
                "{name} on {host}: the configuration names no log for it; add log = \"/path\" to the component"
            ))),
        }
    }

    async fn act(
        worker: Worker,
        kind: ActionKind,
        component: HostComponent,
        events: mpsc::UnboundedSender<Told>,
    ) -> Result<Done, Refusal> {
        // In yet another task, so that the component is freed even if the action panics.
        let eyes = Eyes::new(worker.clone(), component.clone());
        let name = component.name.clone();
        let systemd = worker.systemd().clone();
        let work = tokio::spawn(async move {
            if let Some((rule, unit)) = unit(&component) {
                let act = Act {
                    systemd: &systemd,
                    component: &component,
                    rule,
                    unit,
                    eyes: &eyes,
                    events: &events,
                };
                return match kind {
                    ActionKind::Start => systemd::start(&act).await,
                    ActionKind::Stop => systemd::stop(&act).await,
                    ActionKind::Restart => systemd::restart(&act).await,
                };
            }
            match kind {
                ActionKind::Start => start::start(&component, &eyes).await,
                ActionKind::Stop => stop::stop(&component, &eyes).await,
                ActionKind::Restart => {
                    stop::stop(&component, &eyes).await?;
                    start::start(&component, &eyes).await
                }
            }
        });
        let outcome = match work.await {
            Ok(outcome) => outcome,
            Err(error) => Err(Refusal::new(Code::Internal, format!("the agent failed: {error}"))),
        };
        worker.look_at_units();
        worker.end(&name).await;
        match &outcome {
            Ok(done) => tracing::info!(component = %name, action = %kind, %done, "done"),
            Err(refusal) => {
                tracing::warn!(component = %name, action = %kind, reason = refusal.reason, "not done");
            }
        }
        outcome
    }
}

/// The unit that systemd starts for the component, and the rule that says so; `None`: the agent starts it.
fn unit(component: &HostComponent) -> Option<(&StartRule, &str)> {
    let rule = component.start.as_ref()?;
    match &rule.engine {
        Engine::Systemd(unit) => Some((rule, unit)),
        Engine::Command(_) => None,
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
