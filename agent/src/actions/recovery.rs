//! Takes over the actions that were running when the earlier agent ended, before anything else is done: until
//! such an action has ended, its component stays reserved.

use rta_shared::action::ActionLock;
use rta_shared::config::HostComponent;
use tokio_util::sync::CancellationToken;

use super::action_feed::ActionFeed;
use super::action_record::{RecordedAction, monotonic_ms};
use super::recovery_decision::{RecoveryDecision, decide_recovery};
use super::runner::{ACTION_TASK, ActionRunner, ActionWork};

impl ActionRunner {
    /// Reserves the components with interrupted actions of an earlier agent, and continues these in separate
    /// tasks. Must be called before requests are accepted.
    pub(crate) async fn recover_actions(&self) {
        let config = self.state.config();
        for (name, record) in self.records.all() {
            let Some(action) = record.action.clone() else { continue };
            let Some(component) = config.components.iter().find(|known| known.name == name) else {
                tracing::warn!(component = %name, "interrupted action of a component that is no longer configured");
                self.records.remove_action(&name);
                continue;
            };
            let by_command = component.start.as_ref().is_none_or(|rule| rule.engine.unit().is_none());
            let (kind, since) = (action.kind, action.since);
            match decide_recovery(&record, &action, by_command, monotonic_ms()) {
                RecoveryDecision::Discard(reason) => {
                    tracing::info!(component = %name, action = %kind, %since, reason, "interrupted action discarded");
                    self.records.remove_action(&name);
                    if by_command && record.launch.is_none_or(|launch| !launch.is_unfinished) {
                        // Nothing comes up, so an automatic start need not wait for it.
                        self.desired_state.remove_pending_start(&name);
                    }
                }
                RecoveryDecision::Adopt(launch) => {
                    tracing::info!(component = %name, action = %kind, %since, pid = launch.leader.pid, "interrupted action resumed");
                    self.continue_action(component.clone(), action, ActionWork::Adopt(launch)).await;
                }
                RecoveryDecision::Resume => {
                    tracing::info!(component = %name, action = %kind, %since, "interrupted action resumed");
                    self.continue_action(component.clone(), action, ActionWork::Resume(record.stop_command))
                        .await;
                }
            }
        }
    }

    async fn continue_action(&self, component: HostComponent, action: RecordedAction, work: ActionWork) {
        let RecordedAction { kind, by, since, .. } = action;
        let lock = ActionLock { kind, by, since };
        // No other action can hold the component yet; if the state actor is gone, the agent is about to end.
        if !matches!(self.state.reserve(&component.name, lock).await, Ok(Ok(()))) {
            return;
        }
        let yielding = CancellationToken::new();
        if matches!(work, ActionWork::Adopt(_)) {
            self.register_preemptible(&component.name, &yielding);
        }
        let actions = self.clone();
        // Nobody follows the events.
        let events = ActionFeed::default();
        let guard = self.tasks.guard(ACTION_TASK).may_end();
        tokio::spawn(async move {
            let _guard = guard;
            // The result is logged and reported.
            let _ = actions.run_reserved(kind, component, events, yielding, work).await;
        });
    }
}
