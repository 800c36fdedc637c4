//! Configuration manager: reads the configuration on request, and replaces the fleet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use rta_shared::config::{Platform, load_folder, platform_changes};
use rta_shared::event::{Event, EventKind};
use rta_shared::format::counted;
use rta_shared::reload::{HostReload, PlatformReload, ReloadResult};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::fleet::Fleet;
use crate::followers::Followers;
use crate::hub::{Inbox, Message, flush};
use crate::knowledge::News;
use crate::record::Recorder;

/// Configuration of the aggregator, and its source.
#[derive(Debug)]
pub enum Configuration {
    /// Constant configuration without a folder.
    Fixed(Platform),
    /// Configuration in a folder.
    Folder {
        /// Configuration as last read.
        platform: Platform,
        /// Folder to read it from again.
        folder: PathBuf,
        /// Signal that requests a reload (SIGHUP). The agents do not reload then.
        asked: Signal,
    },
}

/// Receiver of the result of a requested reload.
pub(crate) type Request = oneshot::Sender<PlatformReload>;

/// Capacity of the queue for reload requests; further callers wait.
pub(crate) const REQUESTS: usize = 16;

/// Source of newer configurations and of reload requests.
pub(crate) struct Source {
    pub(crate) folder: PathBuf,
    pub(crate) asked: Signal,
    pub(crate) requests: mpsc::Receiver<Request>,
}

/// Owner of the fleet and its agent tasks.
pub(crate) struct Keeper {
    pub(crate) fleet: watch::Sender<Arc<Fleet>>,
    pub(crate) followers: Followers,
    pub(crate) inbox: Inbox,
    pub(crate) recorder: Recorder,
}

impl Keeper {
    /// Follows the fleet and handles reloads one after the other, until `shutdown`.
    pub(crate) async fn run(mut self, source: Option<Source>, shutdown: CancellationToken) {
        let fleet = self.current();
        self.followers.follow(&fleet).await;
        match source {
            Some(source) => self.reload_when_asked(source, &shutdown).await,
            None => shutdown.cancelled().await,
        }
        self.followers.end(|_| true).await;
    }

    async fn reload_when_asked(&mut self, source: Source, shutdown: &CancellationToken) {
        let Source { folder, mut asked, mut requests } = source;
        loop {
            let request = tokio::select! {
                () = shutdown.cancelled() => return,
                Some(()) = asked.recv() => None,
                Some(request) = requests.recv() => Some(request),
            };
            let Some(loaded) = shutdown.run_until_cancelled(load(&folder)).await else { return };
            let aggregator = self.take(loaded).await;
            let Some(request) = request else { continue };
            let Some(hosts) = shutdown.run_until_cancelled(self.reload_agents()).await else { return };
            // The receiver may be gone.
            let _ = request.send(PlatformReload { aggregator, hosts });
        }
    }

    /// Applies the loaded configuration, or keeps the old one if it is invalid.
    async fn take(&mut self, loaded: Result<Platform, String>) -> ReloadResult {
        let old = self.current();
        let fleet = loaded.and_then(|platform| {
            old.replaced_by(platform).map_err(|error| format!("an agent's address is none: {error}"))
        });
        let reload = match fleet {
            Err(problems) => {
                for problem in problems.lines() {
                    tracing::warn!(problem, "the new configuration is refused, the old one goes on");
                }
                self.record(&old.platform.digest, "refused", refusal(&problems));
                self.tell(Message::Refused(problems.clone())).await;
                ReloadResult {
                    digest: old.platform.digest.clone(),
                    changes: Vec::new(),
                    error: Some(problems),
                }
            }
            Ok(fleet) => {
                let changes = platform_changes(&old.platform, &fleet.platform);
                let digest = fleet.platform.digest.clone();
                tracing::info!(digest, changes = changes.len(), "configuration loaded");
                for change in &changes {
                    tracing::info!(change, "configuration changed");
                }
                self.record(&old.platform.digest, &digest, acceptance(&changes));
                let fleet = Arc::new(fleet);
                // The state actor first, since it drops updates of unknown agents; then the tasks that send
                // updates.
                self.tell(Message::Replace(Arc::clone(&fleet))).await;
                self.fleet.send_replace(Arc::clone(&fleet));
                self.followers.follow(&fleet).await;
                ReloadResult { digest, changes, error: None }
            }
        };
        flush(&self.inbox).await;
        reload
    }

    /// Reloads every agent's own configuration, all at once, and fetches new reports, so that the overview
    /// shows them.
    async fn reload_agents(&self) -> Vec<HostReload> {
        let fleet = self.current();
        let reloads = fleet.platform.hosts().zip(&fleet.agents).map(async |(host, agent)| {
            let outcome = agent.reload_config().await;
            if outcome.error.is_none()
                && let Ok((report, receipt)) = agent.report().await
            {
                self.tell(Message::News(agent.id(), News::Scanned(Box::new(report), receipt))).await;
            }
            HostReload { environment: host.environment.clone(), host: host.name.clone(), outcome }
        });
        let hosts = join_all(reloads).await;
        flush(&self.inbox).await;
        hosts
    }

    fn current(&self) -> Arc<Fleet> {
        Arc::clone(&self.fleet.borrow())
    }

    fn record(&self, from: &str, to: &str, text: String) {
        self.recorder.record(Event {
            id: 0,
            at: Timestamp::now(),
            kind: EventKind::Config,
            environment: None,
            host: None,
            component: None,
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
            text,
            by: None,
            plan: None,
        });
    }

    async fn tell(&self, message: Message) {
        // The state actor ends only at shutdown.
        let _ = self.inbox.send(message).await;
    }
}

/// Returns the sentence for a refused configuration, with its first problem.
fn refusal(problems: &str) -> String {
    let first = problems.lines().next().unwrap_or_default();
    match problems.lines().count().saturating_sub(1) {
        0 => format!("a new configuration was refused: {first}"),
        more => format!("a new configuration was refused: {first} (and {})", counted(more, "more problem")),
    }
}

/// Returns the sentence for an accepted configuration, with its changes, one a line.
fn acceptance(changes: &[String]) -> String {
    match changes {
        [] => "the configuration was read anew, nothing changed".to_owned(),
        changes => format!("a new configuration was taken:\n{}", changes.join("\n")),
    }
}

/// Loads the configuration in `folder`; the error contains every problem, one a line.
async fn load(folder: &Path) -> Result<Platform, String> {
    let folder = folder.to_owned();
    match tokio::task::spawn_blocking(move || load_folder(&folder)).await {
        Ok(loaded) => loaded.map_err(|error| error.to_string()),
        Err(error) => Err(format!("the configuration could not be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Source as Text, load_sources};
    use rta_shared::impairment::ImpairmentList;
    use rta_shared::lifecycle::tasks::Heartbeat;
    use rta_shared::overview::Overview;

    use super::*;
    use crate::agent::Notices;
    use crate::hub::hub;

    fn platform(hosts: &[&str]) -> Platform {
        let hosts: String = hosts
            .iter()
            .map(|host| format!("[[environment.host]]\nname = \"{host}\"\ncomponents = [\"c\"]\nagent = \"http://127.0.0.{}:1\"\n", host.as_bytes()[0]))
            .collect();
        let text = format!(
            "[[component]]\nname = \"c\"\ncriteria = [{{ regex = 'c' }}]\n[[environment]]\nname = \"E\"\n{hosts}"
        );
        load_sources(&[Text { name: "x.toml".to_owned(), text }]).unwrap()
    }

    fn names(overview: &Overview) -> Vec<String> {
        overview.instances().map(|located| located.id().to_string()).collect()
    }

    #[tokio::test]
    async fn a_wrong_configuration_changes_nothing_and_a_right_one_everything_at_once() {
        let fleet = Arc::new(Fleet::new(platform(&["a", "b"]), &[], None).unwrap());
        let (inbox, published, hub) =
            hub(Arc::clone(&fleet), Recorder::default(), ImpairmentList::default(), Heartbeat::default());
        let overview = published.overview;
        let hub = tokio::spawn(hub);
        let (publisher, fleets) = watch::channel(Arc::clone(&fleet));
        let followers = Followers::new(
            inbox.clone(),
            Notices { maintenance: published.maintenance, prerequisites: published.prerequisites },
        );
        let mut keeper = Keeper { fleet: publisher, followers, inbox, recorder: Recorder::default() };

        let refused = keeper.take(Err("x.toml:1:1: one\nx.toml:2:1: two".to_owned())).await;
        assert_eq!(refused.error, overview.borrow().config_error);
        assert!(refused.error.is_some_and(|error| error.lines().count() == 2));
        assert_eq!(refused.digest, fleet.platform.digest);
        assert_eq!(names(&overview.borrow()), ["E/a/c", "E/b/c"]);
        assert_eq!(fleets.borrow().agents.len(), 2);

        let taken = keeper.take(Ok(platform(&["b", "d"]))).await;
        assert_eq!(taken.changes, ["environment \"E\": host d added", "environment \"E\": host a removed"]);
        assert_eq!(overview.borrow().config_error, None);
        assert_eq!(overview.borrow().config_digest, taken.digest);
        assert_eq!(names(&overview.borrow()), ["E/b/c", "E/d/c"]);
        let names: Vec<String> = fleets.borrow().platform.hosts().map(|host| host.name.to_string()).collect();
        assert_eq!(names, ["b", "d"]);
        assert_eq!(fleets.borrow().agents[0].id(), fleet.agents[1].id());

        keeper.followers.end(|_| true).await;
        drop(keeper);
        hub.await.unwrap();
    }
}
