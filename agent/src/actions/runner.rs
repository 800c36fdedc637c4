//! Runs actions (start, stop, restart): one at a time per component; each continues if its caller
//! disconnects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;
use jiff::Timestamp;
use rta_shared::action::{ActionEvent, ActionKind, ActionLock, ActionOutcome, ActionResult, Requester};
use rta_shared::config::{HostComponent, HostConfig};
use rta_shared::explain::ExplainedPart;
use rta_shared::inspection::InspectedProcess;
use rta_shared::lifecycle::tasks::OwnedTasks;
use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use rta_shared::proto::v1;
use rta_shared::selector::{NameIndex, Purpose, Selector, SelectorErrorKind};
use rta_shared::timing::ActionTimes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use super::action_feed::{ActionEventResult, ActionFeed, ActionLookup, FollowableActions};
use super::action_record::{LaunchedSession, RecordedAction, monotonic_ms};
use super::action_records::ActionRecords;
use super::component_view::ComponentView;
use super::context::ActionContext;
use super::engine::{adopt_start, perform_action};
use super::error::{ActionError, ActionErrorKind, run_blocking_step};
use super::progress::ProgressSender;
use super::resume::resume_action;
use crate::desired_state::DesiredStateStore;
use crate::host::cgroup::{ComponentCgroup, ComponentCgroups};
use crate::host::command_lines::inspect_processes;
use crate::host::scanner::Scanner;
use crate::logs::LogSource;
use crate::prerequisites::RemotePrerequisites;
use crate::request_target::AgentIdentity;
use crate::run_history::FailedStart;
use crate::state::AgentState;

/// Time limit for an automatic start to yield to an operator's stop.
const YIELD_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval between two attempts to reserve the component in the meantime.
const RESERVE_INTERVAL: Duration = Duration::from_millis(20);
/// Name of the action tasks in panic messages.
pub(super) const ACTION_TASK: &str = "an action";

/// Maximum length of the ID of a request, in bytes.
pub(crate) const MAX_REQUEST_ID: usize = 64;

/// Origin of an action.
pub(crate) enum ActionOrigin {
    /// The agent itself.
    Agent,
    /// A client.
    Request {
        /// Agent that the request is meant for; a request without target is refused.
        target: Option<v1::RequestTarget>,
        /// ID by which the action can be followed again; empty: it cannot.
        request_id: String,
    },
}

/// Performs actions, one at a time per component. Each continues if its caller disconnects.
#[derive(Clone)]
pub(crate) struct ActionRunner {
    pub(crate) state: AgentState,
    pub(crate) desired_state: DesiredStateStore,
    pub(crate) prerequisites: RemotePrerequisites,
    cgroups: ComponentCgroups,
    pub(super) records: ActionRecords,
    preemptible: PreemptibleStarts,
    followable: FollowableActions,
    pub(super) tasks: OwnedTasks,
    shutdown: CancellationToken,
}

/// Kind of work that an action does.
pub(super) enum ActionWork {
    /// The whole action, on behalf of a requester.
    Perform(Requester),
    /// Waits for a launch of an earlier agent.
    Adopt(LaunchedSession),
    /// Repeats an action that an earlier agent did not finish, after its stop command, which may still run.
    Resume(Option<ProcessId>),
}

impl ActionRunner {
    /// Creates the action runner for the components of `state`. Operators' decisions are stored in
    /// `desired_state`, actions and launches in `records`; started processes get a control group of `cgroups`.
    /// Each action is one of `tasks`: a panic ends the agent, since otherwise the component would stay
    /// reserved. Actions that `shutdown` interrupts are left to the next agent.
    pub(crate) fn new(
        state: AgentState,
        desired_state: DesiredStateStore,
        cgroups: ComponentCgroups,
        records: ActionRecords,
        tasks: OwnedTasks,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            state,
            desired_state,
            prerequisites: RemotePrerequisites::new(),
            cgroups,
            records,
            preemptible: PreemptibleStarts::default(),
            followable: FollowableActions::default(),
            tasks,
            shutdown,
        }
    }

    /// Begins to start, stop or restart the component of this name or alias. The stream of events ends with
    /// the action; the action continues if the caller disconnects.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if the action cannot begin; `proto/rta/v1/agent.proto` lists the
    /// codes.
    pub(crate) async fn perform(
        &self,
        kind: ActionKind,
        name: &str,
        by: Requester,
        origin: ActionOrigin,
    ) -> Result<impl Stream<Item = ActionEventResult> + use<>, Status> {
        let config = self.state.config();
        if let ActionOrigin::Request { target, request_id } = &origin {
            if request_id.len() > MAX_REQUEST_ID {
                let message = format!("the ID of a request has at most {MAX_REQUEST_ID} bytes");
                return Err(Status::invalid_argument(message));
            }
            // The target is checked against the same configuration that the component is then taken from.
            let (host, boot_id, config_digest) = (&config.host, self.state.boot_id(), &config.digest);
            AgentIdentity { host, boot_id, config_digest }.admit_action(target.as_ref())?;
        }
        let component = find_component(&config, name)?.clone();
        let (begun, is_begun) = oneshot::channel();
        let events = ActionFeed::default();
        let stream = events.follow();
        if let ActionOrigin::Request { request_id, .. } = &origin
            && !self.followable.begin(request_id, &events)
        {
            return Err(Status::aborted("its caller has given this request up; nothing was done"));
        }
        let (actions, host) = (self.clone(), config.host.clone());
        // Runs in its own task from the beginning, so that it continues, and finally releases the component,
        // if the caller disconnects.
        let guard = self.tasks.guard(ACTION_TASK).may_end();
        tokio::spawn(async move {
            let _guard = guard;
            let name = component.name.clone();
            let to_error = |error: ActionError| error.into_status(kind, &name, &host);
            let reserved = actions.reserve(&name, kind, &by).await;
            let yielding = match reserved {
                Ok(yielding) => yielding,
                // The caller may have gone, here and below.
                Err(error) => {
                    let refusal = to_error(error);
                    events.send(Err(refusal.clone()));
                    return drop(begun.send(Err(refusal)));
                }
            };
            let _ = begun.send(Ok(()));
            let work = ActionWork::Perform(by.clone());
            let outcome = actions.run_reserved(kind, component, events.clone(), yielding, work).await;
            // The operator learns whether the decision is stored durably.
            let kept = actions.desired_state.wait_until_written().await;
            let add_warning = |done: ActionResult| match kept {
                Err(reason) if by != Requester::autostart() => ActionResult {
                    warning: Some(format!(
                        "it was not stored, and a restart of rta-agent loses it: {reason}"
                    )),
                    ..done
                },
                _ => done,
            };
            events.send(outcome.map(add_warning).map(ActionEvent::Done).map_err(to_error));
        });
        is_begun.await.unwrap_or_else(|_| Err(Status::internal("the agent failed")))?;
        Ok(stream)
    }

    /// Finds the action that a client requested with this ID from the run `agent_run_id` of the agent, and returns
    /// its events from the first one on.
    pub(crate) fn follow(
        &self,
        request_id: &str,
        agent_run_id: &str,
    ) -> ActionLookup<impl Stream<Item = ActionEventResult> + use<>> {
        let is_of_this_run = !agent_run_id.is_empty() && agent_run_id == self.state.agent_run_id();
        match self.followable.find(request_id) {
            // An earlier run may have begun it.
            ActionLookup::NotBegun if !is_of_this_run => ActionLookup::Unknown,
            found => found.map(|feed| feed.follow()),
        }
    }

    /// Reserves a component. Returns the token that is cancelled when the action must yield. An operator's
    /// stop does not wait for automatic starts of the agent: such a start yields.
    async fn reserve(
        &self,
        component: &Name,
        kind: ActionKind,
        by: &Requester,
    ) -> Result<CancellationToken, ActionError> {
        let is_own = *by == Requester::autostart();
        let deadline = Instant::now() + YIELD_TIMEOUT;
        let mut is_decision_recorded = is_own;
        loop {
            let lock = ActionLock { kind, by: by.clone(), since: Timestamp::now() };
            let Err(lock) = self.state.reserve(component, lock).await? else { break };
            let attempt = self.preemptible.with(|preemptible| preemptible.get(component).cloned());
            let may_yield = lock.by == Requester::autostart() || attempt.is_some();
            let yields = may_yield && !is_own && kind.stops();
            if !yields || Instant::now() >= deadline {
                return Err(ActionError::new(ActionErrorKind::Conflict, lock.to_string()));
            }
            if !is_decision_recorded {
                // The agent must not begin another attempt in the meantime.
                self.desired_state.record_decision(component, kind, by);
                is_decision_recorded = true;
            }
            if let Some(attempt) = attempt {
                attempt.cancel();
            }
            tokio::time::sleep(RESERVE_INTERVAL).await;
        }
        if !is_decision_recorded {
            self.desired_state.record_decision(component, kind, by);
        }
        let yielding = CancellationToken::new();
        if is_own {
            self.register_preemptible(component, &yielding);
        }
        Ok(yielding)
    }

    /// Registers `yielding`, which an operator's stop or restart of the component cancels.
    pub(super) fn register_preemptible(&self, component: &Name, yielding: &CancellationToken) {
        self.preemptible.with(|preemptible| drop(preemptible.insert(component.clone(), yielding.clone())));
    }

    /// Returns the processes that currently match the component of this name or alias, with their command
    /// lines.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if there is no such component, or if the processes cannot be read.
    pub(crate) async fn inspect(&self, name: &str) -> Result<Vec<InspectedProcess>, Status> {
        let config = self.state.config();
        let component = find_component(&config, name)?.clone();
        let to_error = |error: ActionError| {
            Status::new(error.kind.into(), format!("host {}: {}", config.host, error.reason))
        };
        let seen = ComponentView::new(self.state.clone(), component.clone())
            .quick_check()
            .await
            .map_err(to_error)?;
        let unseen = |reason: String| ActionError::new(ActionErrorKind::Unavailable, reason);
        run_blocking_step(move || inspect_processes(&component, &seen.processes).map_err(unseen))
            .await
            .map_err(to_error)
    }

    /// Returns the processes that come nearest to the criteria of the component of this name or alias.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if there is no such component, or if the processes cannot be read.
    pub(crate) async fn explain(&self, name: &str) -> Result<Vec<ExplainedPart>, Status> {
        let config = self.state.config();
        let component = find_component(&config, name)?.clone();
        // Uses its own scanner, so that it delays no scan of the watcher.
        let own = HostConfig::clone(&config);
        let explained = tokio::task::spawn_blocking(move || Scanner::new(own).explain(&component)).await;
        let explained = explained.map_err(|error| Status::internal(format!("the agent failed: {error}")))?;
        explained.map_err(|reason| Status::unavailable(format!("host {}: {reason}", config.host)))
    }

    /// Returns host name, component name and log of the component of this name or alias.
    ///
    /// # Errors
    /// Returns an error, with a sentence, if there is no such component, or if no log is configured for it.
    pub(crate) fn component_log(&self, name: &str) -> Result<(Name, Name, LogSource), Status> {
        let config = self.state.config();
        let component = find_component(&config, name)?;
        let (host, name) = (config.host.clone(), component.name.clone());
        match LogSource::from_component(component) {
            Some(log) => Ok((host, name, log)),
            None => Err(Status::failed_precondition(format!(
                "{name} on {host}: the configuration names no log for it; add log = \"/path\" to the component"
            ))),
        }
    }

    /// Records the beginning of an action for the next agent.
    ///
    /// # Errors
    /// Returns an error if a start or restart cannot be recorded; a stop is carried out nevertheless.
    async fn record_begin(
        &self,
        component: &Name,
        kind: ActionKind,
        by: &Requester,
        limit: Duration,
    ) -> Result<(), ActionError> {
        let (since_ms, limit_ms) = (monotonic_ms(), u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        let (by, since, until_ms) = (by.clone(), Timestamp::now(), since_ms.saturating_add(limit_ms));
        let recorded = self
            .records
            .record_action(component, RecordedAction { kind, by, since, since_ms, until_ms })
            .await;
        // A stop is performed even if the next agent could not know of it.
        if kind.starts() { recorded } else { Ok(()) }
    }

    /// Performs an action on a component that is reserved for it, and releases the component.
    pub(super) async fn run_reserved(
        &self,
        kind: ActionKind,
        component: HostComponent,
        events: ActionFeed,
        yielding: CancellationToken,
        work: ActionWork,
    ) -> Result<ActionResult, ActionError> {
        let name = component.name.clone();
        let mut limit = ActionTimes::from(&component).limit(kind);
        if let ActionWork::Resume(Some(_)) = work {
            // The stop command of the earlier agent is waited for before the action is repeated.
            limit += component.stop.timeout;
        }
        let has_probe = component.probe.is_some();
        let recorded_cgroup = match &work {
            ActionWork::Adopt(launch) => launch.control_group.clone().map(ComponentCgroup::from_path),
            ActionWork::Perform(_) | ActionWork::Resume(_) => None,
        };
        let context = ActionContext {
            view: ComponentView::new(self.state.clone(), component.clone()),
            progress: ProgressSender::new(events),
            cgroup: recorded_cgroup.or_else(|| self.cgroups.for_component(&name)),
            records: self.records.clone(),
            systemd: self.state.systemd().clone(),
            tasks: self.tasks.clone(),
            component,
        };
        let launches = kind.starts();
        if launches {
            // The next agent must not take a component that is coming up for stopped, and start a second one.
            self.desired_state.add_pending_start(&name, self.state.boot_id());
            // If it cannot be stored the component is started nevertheless, and the failure is reported.
            let _ = self.desired_state.wait_until_written().await;
        }
        let recorded = match &work {
            ActionWork::Perform(by) => self.record_begin(&name, kind, by, limit).await,
            // Already recorded by the earlier agent, with the time at which it began.
            ActionWork::Adopt(_) | ActionWork::Resume(_) => Ok(()),
        };
        let performing = async move {
            recorded?;
            match work {
                ActionWork::Perform(_) => perform_action(&context, kind).await,
                ActionWork::Adopt(launch) => adopt_start(&context, &launch).await,
                ActionWork::Resume(stop_command) => resume_action(&context, kind, stop_command).await,
            }
        };
        let outcome = tokio::select! {
            outcome = with_time_limit(limit, performing) => outcome,
            () = yielding.cancelled() => {
                Err(ActionError::new(ActionErrorKind::Conflict, "it was given up, since an operator has asked for a stop"))
            }
        };
        // An action that the agent's shutdown interrupts is continued by the next agent.
        let is_interrupted = outcome.is_err() && self.shutdown.is_cancelled();
        if !is_interrupted {
            self.records.remove_action(&name);
            if launches {
                self.desired_state.remove_pending_start(&name);
            }
        }
        self.state.refresh_units();
        self.preemptible.with(|preemptible| drop(preemptible.remove(&name)));
        // A start is complete when the probe has passed, so the state actor need not probe again first.
        let passed =
            match &outcome {
                Ok(ActionResult {
                    outcome: ActionOutcome::Started | ActionOutcome::Restarted, pids, ..
                }) if has_probe => pids.clone(),
                Ok(_) | Err(_) => Vec::new(),
            };
        let failed = match &outcome {
            // A start that was ended by an operator's stop, or by the agent's shutdown, has not failed.
            Err(error) if launches && !is_interrupted && !yielding.is_cancelled() => {
                Some(FailedStart::new(&error.reason, &error.log))
            }
            Ok(_) | Err(_) => None,
        };
        self.state.release(&name, passed, failed).await;
        match &outcome {
            Ok(done) => tracing::info!(component = %name, action = %kind, %done, "action succeeded"),
            Err(error) => {
                tracing::warn!(component = %name, action = %kind, reason = error.reason, "action failed");
            }
        }
        outcome
    }
}

/// Running starts that yield to an operator's stop, each with its cancellation token; clones share them.
#[derive(Clone, Debug, Default)]
struct PreemptibleStarts(Arc<Mutex<HashMap<Name, CancellationToken>>>);

impl PreemptibleStarts {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Name, CancellationToken>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns the component that a caller names.
///
/// # Errors
/// Returns an error if the name is malformed, or this host does not carry such a component.
fn find_component<'c>(config: &'c HostConfig, name: &str) -> Result<&'c HostComponent, Status> {
    let selector = Selector { component: name.to_owned(), ..Selector::default() };
    let index = NameIndex::from(config);
    let selection = selector.resolve(&index, Purpose::Acting).map_err(|error| match error.kind {
        SelectorErrorKind::Malformed => Status::invalid_argument(error.message),
        SelectorErrorKind::Unknown | SelectorErrorKind::Absent | SelectorErrorKind::Several => {
            Status::not_found(format!("host {}: {error}", config.host))
        }
    })?;
    let found = selection.component.and_then(|name| config.find(name.as_str()));
    found.ok_or_else(|| Status::invalid_argument("name a component"))
}

/// Runs `work` in a separate task with a time limit, so that panics and hangs end with an error.
async fn with_time_limit<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = Result<T, ActionError>> + Send + 'static,
) -> Result<T, ActionError> {
    let mut work = AbortOnDropHandle::new(tokio::spawn(work));
    match tokio::time::timeout(limit, &mut work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Err(ActionError::internal(error)),
        Err(_) => {
            work.abort();
            let reason = format!(
                "it timed out after {} s, longer than its times allow: /proc or a disk of this host hangs; \
                 processes that it started may still run",
                limit.as_secs()
            );
            Err(ActionError::new(ActionErrorKind::TimedOut, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn overlong_name_is_refused_and_unknown_name_is_echoed_in_short() {
        let config = HostConfig {
            environment: "E".into(),
            host: "h".into(),
            components: vec![],
            digest: String::new(),
        };
        let refused = find_component(&config, &"k".repeat(1_000_000)).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.message(), "a name has at most 255 bytes, this one has 1000000");
        let unknown = find_component(&config, &"k".repeat(255)).unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
        assert!(unknown.message().contains("kkk…\"") && unknown.message().len() < 200, "{unknown}");
    }

    #[tokio::test(start_paused = true)]
    async fn action_times_out_and_survives_panic() {
        let limit = Duration::from_secs(90);
        let hangs =
            with_time_limit(limit, std::future::pending::<Result<(), ActionError>>()).await.unwrap_err();
        assert_eq!(hangs.kind, ActionErrorKind::TimedOut);
        assert!(hangs.reason.starts_with("it timed out after 90 s"), "{}", hangs.reason);
        let panics: Result<(), ActionError> = with_time_limit(limit, async { panic!("no way") }).await;
        let panics = panics.unwrap_err();
        assert_eq!(panics.kind, ActionErrorKind::Internal);
        assert!(panics.reason.contains("panicked"), "{}", panics.reason);
        assert!(with_time_limit(limit, async { Ok(7) }).await.is_ok_and(|seven| seven == 7));
    }
}
