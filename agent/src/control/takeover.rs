//! Takes over the actions that were under way when the agent before this one ended, before anything else is done:
//! until one has ended, nobody else acts on its component.

use rta_shared::config::HostComponent;
use rta_shared::control::Hold;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::action::{ACTION, Actions, Work};
use super::launch_record::{BegunAction, monotonic_ms};
use super::take_up::{TakeUp, take_up};

impl Actions {
    /// Reserves the components on which an earlier agent's actions were under way, and goes on with these in tasks
    /// of their own. To be called before anybody can ask for anything.
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
        let hold = Hold { kind, by, since };
        // Nobody else can hold it yet; where the worker is gone, the agent is about to end.
        if !matches!(self.worker.begin(&component.name, hold).await, Ok(Ok(()))) {
            return;
        }
        let yielding = CancellationToken::new();
        if matches!(work, Work::Adopt(_)) {
            self.may_yield(&component.name, &yielding);
        }
        let actions = self.clone();
        // Nobody listens.
        let (events, _) = mpsc::unbounded_channel();
        let guard = self.tasks.guard(ACTION).may_end();
        tokio::spawn(async move {
            let _guard = guard;
            // How it ends is logged and reported.
            let _ = actions.act(kind, component, events, yielding, work).await;
        });
    }
}
