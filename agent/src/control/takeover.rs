//! Takes over the actions that were running when the earlier agent ended, before anything else is done: until
//! such an action has ended, its component stays reserved.

use rta_shared::action::ActionLock;
use rta_shared::config::HostComponent;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::action::{ACTION, Actions, Work};
use super::launch_record::{BegunAction, monotonic_ms};
use super::take_up::{TakeUp, take_up};

impl Actions {
    /// Reserves the components with interrupted actions of an earlier agent, and continues these in separate
    /// tasks. Must be called before requests are accepted.
    pub(crate) async fn take_up(&self) {
        let config = self.worker.config();
        for (name, record) in self.launches.all() {
            let Some(action) = record.action.clone() else { continue };
            let Some(component) = config.components.iter().find(|known| known.name == name) else {
                tracing::warn!(component = %name, "an action was under way on what is not configured any more");
                self.launches.action_ended(&name);
                continue;
            };
            let by_command = component.start.as_ref().is_none_or(|rule| rule.engine.unit().is_none());
            let (kind, since) = (action.kind, action.since);
            match take_up(&record, &action, by_command, monotonic_ms()) {
                TakeUp::Over(reason) => {
                    tracing::info!(component = %name, action = %kind, %since, reason, "not taken up");
                    self.launches.action_ended(&name);
                }
                TakeUp::Adopt(launch) => {
                    tracing::info!(component = %name, action = %kind, %since, pid = launch.leader.pid, "taken up");
                    self.go_on(component.clone(), action, Work::Adopt(launch)).await;
                }
                TakeUp::Resume => {
                    tracing::info!(component = %name, action = %kind, %since, "taken up");
                    self.go_on(component.clone(), action, Work::Resume(record.stop_command)).await;
                }
            }
        }
    }

    async fn go_on(&self, component: HostComponent, action: BegunAction, work: Work) {
        let BegunAction { kind, by, since, .. } = action;
        let hold = ActionLock { kind, by, since };
        // No other action can hold the component yet; if the worker is gone, the agent is about to end.
        if !matches!(self.worker.reserve(&component.name, hold).await, Ok(Ok(()))) {
            return;
        }
        let yielding = CancellationToken::new();
        if matches!(work, Work::Adopt(_)) {
            self.may_yield(&component.name, &yielding);
        }
        let actions = self.clone();
        // The events have no receiver.
        let (events, _) = mpsc::unbounded_channel();
        let guard = self.tasks.guard(ACTION).may_end();
        tokio::spawn(async move {
            let _guard = guard;
            // The result is logged and reported.
            let _ = actions.act(kind, component, events, yielding, work).await;
        });
    }
}
