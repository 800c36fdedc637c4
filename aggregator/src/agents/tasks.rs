//! Tasks that follow the platform's agents.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agent_id::AgentId;
use crate::agents::{client::AgentClient, stream::AgentNotices};
use crate::state::actor::{StateInbox, StateMessage};
use crate::state::host_state::AgentUpdate;

/// Delay between a panic of a task and its restart.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Tasks that follow agents, one for each agent.
#[derive(Debug)]
pub(crate) struct AgentTasks {
    inbox: StateInbox,
    notices: AgentNotices,
    /// Each task with the token that ends it.
    tasks: HashMap<AgentId, (CancellationToken, JoinHandle<()>)>,
}

impl AgentTasks {
    /// Creates a set without tasks. Updates go to `inbox`; every agent receives the parts of `notices` for
    /// its host.
    pub(crate) fn new(inbox: StateInbox, notices: AgentNotices) -> Self {
        Self { inbox, notices, tasks: HashMap::new() }
    }

    /// Follows exactly these agents; tasks of agents that remain continue undisturbed. The state actor must
    /// have received their platform before, since it drops updates of unknown agents.
    pub(crate) async fn follow_agents(&mut self, agents: &[AgentClient]) {
        let wanted: HashSet<AgentId> = agents.iter().map(AgentClient::id).collect();
        self.stop_tasks(|id| !wanted.contains(id)).await;
        for agent in agents {
            self.tasks.entry(agent.id()).or_insert_with(|| {
                let cancelled = CancellationToken::new();
                let (agent, inbox) = (agent.clone(), self.inbox.clone());
                let notices = self.notices.clone();
                let follow = {
                    let (agent, inbox) = (agent.clone(), inbox.clone());
                    move || {
                        let (agent, inbox, notices) = (agent.clone(), inbox.clone(), notices.clone());
                        async move {
                            // The state actor ends only at shutdown; messages after that may be lost.
                            let tell = async |update| {
                                drop(inbox.send(StateMessage::AgentUpdate(agent.id(), update)).await)
                            };
                            agent.follow_reports(tell, &notices).await;
                        }
                    }
                };
                let lost =
                    async move |update| drop(inbox.send(StateMessage::AgentUpdate(agent.id(), update)).await);
                let task = restart_on_panic(follow, lost, cancelled.clone());
                (cancelled, tokio::spawn(task))
            });
        }
    }

    /// Ends the tasks of the agents for which `is_gone` holds, and waits until they have ended.
    pub(crate) async fn stop_tasks(&mut self, is_gone: impl Fn(&AgentId) -> bool) {
        let gone: Vec<_> = self.tasks.extract_if(|id, _| is_gone(id)).map(|(_, task)| task).collect();
        for (cancelled, _) in &gone {
            cancelled.cancel();
        }
        for (_, task) in gone {
            if let Err(error) = task.await {
                tracing::error!(%error, "a follower failed");
            }
        }
    }
}

/// Runs `follow_reports` until `end`, and again after each panic. A panic makes the host unknown, so that its last
/// report does not stay on display. No update is sent after `end`.
async fn restart_on_panic<F: Future<Output = ()> + Send + 'static>(
    follow: impl Fn() -> F,
    lost: impl AsyncFn(AgentUpdate),
    end: CancellationToken,
) {
    loop {
        // Runs in a task of its own, so that its panic is caught. It is awaited, so that it is not in the middle of
        // telling something when others begin.
        // Boxed, because each layer around a future adds its size once more, and there is a task for each host.
        match tokio::spawn(end.clone().run_until_cancelled_owned(Box::pin(follow()))).await {
            Ok(_) => return,
            Err(error) => {
                tracing::error!(%error, "the task that follows an agent panicked and is started again");
                let reason =
                    "the aggregator failed to follow this host's agent and tries again; its log says why";
                let told = async {
                    lost(AgentUpdate::Lost(reason.to_owned())).await;
                    tokio::time::sleep(RESTART_DELAY).await;
                };
                end.run_until_cancelled(told).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::watch;

    use super::*;
    use crate::inventory::Inventory;
    use crate::pauses::PauseWatch;
    use crate::sample_platform::platform_of_hosts;
    use crate::state::maintenance::MaintenanceSnapshot;
    use crate::state::prerequisites::PrerequisitesByHost;

    #[tokio::test(start_paused = true)]
    async fn panic_of_a_follower_makes_the_host_unknown_and_it_begins_again() {
        let begun = AtomicUsize::new(0);
        let follow = || {
            let is_first = begun.fetch_add(1, Ordering::Relaxed) == 0;
            async move { assert!(!is_first, "a report that nobody expected") }
        };
        let lost = Mutex::new(Vec::new());
        let end = CancellationToken::new();
        restart_on_panic(follow, async |update| lost.lock().unwrap().push(update), end).await;
        assert_eq!(begun.into_inner(), 2);
        let lost = lost.into_inner().unwrap();
        assert!(matches!(lost.as_slice(), [AgentUpdate::Lost(_)]), "{lost:?}");
    }

    #[tokio::test]
    async fn followers_come_and_go_with_the_fleet_and_none_is_left() {
        let (inbox, mut messages) = tokio::sync::mpsc::channel(8);
        let (_, maintenance) = watch::channel(MaintenanceSnapshot::default());
        let (_, prerequisites) = watch::channel(PrerequisitesByHost::default());
        let mut agent_tasks = AgentTasks::new(
            inbox,
            AgentNotices { maintenance, prerequisites, pauses: PauseWatch::default() },
        );
        let before = Inventory::new(platform_of_hosts(&[("a", 1), ("b", 2)]), &[], None).unwrap();
        agent_tasks.follow_agents(&before.agents).await;
        let after = Inventory::new(platform_of_hosts(&[("b", 2), ("c", 3)]), &before.agents, None).unwrap();
        agent_tasks.follow_agents(&after.agents).await;
        let followed: HashSet<AgentId> = agent_tasks.tasks.keys().copied().collect();
        assert_eq!(followed, after.agent_ids().collect());
        agent_tasks.stop_tasks(|_| true).await;
        drop(agent_tasks);
        // Every task has dropped its sender.
        while messages.recv().await.is_some() {}
    }
}
