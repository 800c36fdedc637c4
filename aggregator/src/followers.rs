//! The tasks that follow a platform's agents.

use std::collections::{HashMap, HashSet};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agent_id::AgentId;
use crate::fleet::Fleet;
use crate::hub::{Inbox, Message};
use crate::maintenance::AllMaintenance;

/// One task for each agent of a fleet.
#[derive(Debug)]
pub(crate) struct Followers {
    inbox: Inbox,
    maintenance: watch::Receiver<AllMaintenance>,
    /// Each with what ends it.
    tasks: HashMap<AgentId, (CancellationToken, JoinHandle<Option<()>>)>,
}

impl Followers {
    /// Nobody is followed yet; what will be heard goes to `inbox`, and every agent is told of its `maintenance`.
    pub(crate) fn new(inbox: Inbox, maintenance: watch::Receiver<AllMaintenance>) -> Self {
        Self { inbox, maintenance, tasks: HashMap::new() }
    }

    /// Follows the agents of `fleet` and no others; those that are followed go on undisturbed. The hub must
    /// have been told of the fleet before: it drops news of agents that it does not know.
    pub(crate) async fn follow(&mut self, fleet: &Fleet) {
        let wanted: HashSet<AgentId> = fleet.ids().collect();
        self.end(|id| !wanted.contains(id)).await;
        for agent in &fleet.agents {
            self.tasks.entry(agent.id()).or_insert_with(|| {
                let cancelled = CancellationToken::new();
                let (agent, inbox) = (agent.clone(), self.inbox.clone());
                let maintenance = self.maintenance.clone();
                let follow = async move {
                    // The hub ends only with everything else: a message that finds it gone is lost with it.
                    let tell = async |news| drop(inbox.send(Message::News(agent.id(), news)).await);
                    agent.follow(tell, &maintenance).await;
                };
                let task = cancelled.clone().run_until_cancelled_owned(follow);
                (cancelled, tokio::spawn(task))
            });
        }
    }

    /// Ends the tasks of the agents for which `is_gone` holds, and waits until they have ended.
    pub(crate) async fn end(&mut self, is_gone: impl Fn(&AgentId) -> bool) {
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

#[cfg(test)]
mod tests {
    use rta_shared::config::{Platform, Source, load_sources};

    use super::*;

    fn platform(hosts: &str) -> Platform {
        let text = format!(
            "[[component]]\nname = \"c\"\ncriteria = [{{ regex = 'c' }}]\n[[environment]]\nname = \"E\"\nhost = [{hosts}]\n"
        );
        load_sources(&[Source { name: "x.toml".to_owned(), text }]).unwrap()
    }

    fn host(name: &str, port: u16) -> String {
        format!("{{ name = \"{name}\", components = [\"c\"], agent = \"http://127.0.0.1:{port}\" }}, ")
    }

    #[tokio::test]
    async fn followers_come_and_go_with_the_fleet_and_none_is_left() {
        let (inbox, mut messages) = tokio::sync::mpsc::channel(8);
        let (_, maintenance) = watch::channel(AllMaintenance::default());
        let mut followers = Followers::new(inbox, maintenance);
        let before = Fleet::new(platform(&(host("a", 1) + &host("b", 2))), &[], None).unwrap();
        followers.follow(&before).await;
        let after = Fleet::new(platform(&(host("b", 2) + &host("c", 3))), &before.agents, None).unwrap();
        followers.follow(&after).await;
        let followed: HashSet<AgentId> = followers.tasks.keys().copied().collect();
        assert_eq!(followed, after.ids().collect());
        followers.end(|_| true).await;
        drop(followers);
        // Every task has dropped its way to the hub.
        while messages.recv().await.is_some() {}
    }
}
