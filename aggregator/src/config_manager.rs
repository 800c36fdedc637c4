//! Configuration manager: reads the configuration on request, and replaces the inventory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::config::{DependencyPlace, Platform, load_folder, platform_changes};
use rta_shared::event::{Event, EventKind};
use rta_shared::format::counted;
use rta_shared::name::Name;
use rta_shared::reload::{HostReload, PlatformReload, ReloadResult};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::events::EventBus;
use crate::inventory::Inventory;
use crate::state::actor::{StateInbox, StateMessage, flush_state};
use crate::state::host_state::AgentUpdate;

/// Configuration of the aggregator, and its source.
#[derive(Debug)]
pub enum ConfigSource {
    /// Constant configuration without a folder.
    Fixed(Platform),
    /// Configuration in a folder.
    Folder {
        /// Configuration as last read.
        platform: Platform,
        /// Folder to read it from again.
        folder: PathBuf,
        /// Signal that requests a reload (SIGHUP). The agents do not reload then.
        reload_signal: Signal,
    },
    /// One environment of the configuration of this aggregator as a whole.
    Environment(EnvironmentSource),
}

/// One environment of the configuration of an aggregator as a whole.
#[derive(Debug)]
pub struct EnvironmentSource {
    /// The whole.
    pub(crate) inventory: watch::Receiver<Arc<Inventory>>,
    /// Name of the environment.
    pub(crate) environment: Name,
}

/// Requested reload.
#[derive(Debug)]
pub(crate) struct ReloadRequest {
    /// Requester.
    pub(crate) by: Requester,
    /// Receiver of the result.
    pub(crate) done: oneshot::Sender<PlatformReload>,
}

/// Capacity of the queue for reload requests; further callers wait.
pub(crate) const RELOAD_QUEUE: usize = 16;

/// Source of newer configurations and of reload requests.
pub(crate) struct ReloadTriggers {
    pub(crate) folder: PathBuf,
    pub(crate) reload_signal: Signal,
    /// `None`: the leader has reloaded, and the agents are not asked again.
    pub(crate) requests: mpsc::Receiver<Option<ReloadRequest>>,
}

/// Source of newer configurations.
pub(crate) enum ConfigUpdates {
    Folder(ReloadTriggers),
    /// Configuration of the aggregator as a whole, of which one environment is used.
    Environment(EnvironmentSource),
}

/// Returns the part of a platform that belongs to one environment. What its instances need of hosts of other
/// environments is left out: those are led apart from it.
pub(crate) fn environment_platform(platform: &Platform, environment: &Name) -> Platform {
    let environments = platform.environments.iter().filter(|one| one.name == *environment).cloned();
    let mut part = Platform {
        components: platform.components.clone(),
        roles: platform.roles.clone(),
        environments: environments.collect(),
        digest: platform.digest.clone(),
    };
    let hosts: HashSet<&Name> =
        part.environments.iter().flat_map(|one| &one.hosts).map(|host| &host.name).collect();
    for component in &mut part.components {
        component.depends_on.retain(|dependency| match &dependency.place {
            DependencyPlace::Host(host) => hosts.contains(host),
            DependencyPlace::Nearest | DependencyPlace::Same | DependencyPlace::Any => true,
        });
    }
    part
}

/// Origin of a reload.
#[derive(Debug)]
struct ReloadOrigin {
    /// Requester; a signal has none.
    by: Option<Requester>,
    /// False if the reload follows one that is recorded already.
    is_recorded: bool,
}

/// Owner of the inventory.
pub(crate) struct ConfigManager {
    pub(crate) inventory: watch::Sender<Arc<Inventory>>,
    pub(crate) inbox: StateInbox,
    pub(crate) events: EventBus,
}

impl ConfigManager {
    /// Handles reloads one after the other, until `shutdown`.
    pub(crate) async fn run(self, source: Option<ConfigUpdates>, shutdown: CancellationToken) {
        match source {
            Some(ConfigUpdates::Folder(source)) => self.handle_reloads(source, &shutdown).await,
            Some(ConfigUpdates::Environment(source)) => {
                shutdown.run_until_cancelled(self.follow_whole(source)).await;
            }
            None => shutdown.cancelled().await,
        }
    }

    async fn handle_reloads(&self, source: ReloadTriggers, shutdown: &CancellationToken) {
        let ReloadTriggers { folder, reload_signal: mut asked, mut requests } = source;
        loop {
            let (request, is_followed) = tokio::select! {
                () = shutdown.cancelled() => return,
                Some(()) = asked.recv() => (None, false),
                Some(request) = requests.recv() => {
                    let is_followed = request.is_none();
                    (request, is_followed)
                }
            };
            let Some(loaded) = shutdown.run_until_cancelled(load_config(&folder)).await else { return };
            let by = request.as_ref().map(|request| request.by.clone());
            let origin = ReloadOrigin { by, is_recorded: !is_followed };
            let aggregator = self.apply_config(loaded, origin).await;
            let Some(request) = request else { continue };
            let Some(hosts) = shutdown.run_until_cancelled(self.reload_agents()).await else { return };
            // The receiver may be gone.
            let _ = request.done.send(PlatformReload { aggregator, hosts });
        }
    }

    /// Uses each newer configuration of the aggregator as a whole.
    async fn follow_whole(&self, source: EnvironmentSource) {
        let EnvironmentSource { inventory: mut whole, environment } = source;
        // One may have been taken since the term began.
        whole.mark_changed();
        while whole.changed().await.is_ok() {
            let platform = Arc::clone(&whole.borrow_and_update().platform);
            if platform.digest != self.current_inventory().platform.digest {
                let origin = ReloadOrigin { by: None, is_recorded: false };
                self.apply_config(Ok(environment_platform(&platform, &environment)), origin).await;
            }
        }
        // The whole ends at the shutdown alone.
        std::future::pending::<()>().await;
    }

    /// Applies the loaded configuration, or keeps the old one if it is invalid. A signal has no requester.
    async fn apply_config(&self, loaded: Result<Platform, String>, origin: ReloadOrigin) -> ReloadResult {
        let ReloadOrigin { by, is_recorded } = origin;
        let old = self.current_inventory();
        let inventory = loaded.and_then(|platform| {
            old.with_platform(platform).map_err(|error| format!("an agent's address is none: {error}"))
        });
        let reload = match inventory {
            Err(problems) => {
                for problem in problems.lines() {
                    tracing::warn!(problem, "new configuration rejected; the previous one stays in use");
                }
                if is_recorded {
                    self.record_reload(&old.platform.digest, "refused", refusal_text(&problems), by);
                }
                self.send_to_state(StateMessage::ConfigRefused(problems.clone())).await;
                ReloadResult {
                    digest: old.platform.digest.clone(),
                    changes: Vec::new(),
                    error: Some(problems),
                }
            }
            Ok(inventory) => {
                let changes = platform_changes(&old.platform, &inventory.platform);
                let digest = inventory.platform.digest.clone();
                tracing::info!(digest, changes = changes.len(), "configuration loaded");
                for change in &changes {
                    tracing::info!(change, "configuration changed");
                }
                if is_recorded {
                    self.record_reload(&old.platform.digest, &digest, acceptance_text(&changes), by);
                }
                let inventory = Arc::new(inventory);
                // The state actor first, since it drops updates of unknown agents; then the owner of the tasks that
                // send updates.
                let (platform, agents) = (Arc::clone(&inventory.platform), inventory.agent_ids().collect());
                self.send_to_state(StateMessage::ReplacePlatform(platform, agents)).await;
                self.inventory.send_replace(Arc::clone(&inventory));
                ReloadResult { digest, changes, error: None }
            }
        };
        flush_state(&self.inbox).await;
        reload
    }

    /// Reloads every agent's own configuration, all at once, and fetches new reports, so that the overview
    /// shows them.
    async fn reload_agents(&self) -> Vec<HostReload> {
        let inventory = self.current_inventory();
        let reloads = inventory.platform.hosts().zip(&inventory.agents).map(async |(host, agent)| {
            let outcome = agent.reload_config().await;
            if outcome.error.is_none()
                && let Ok((report, receipt)) = agent.request_report().await
            {
                self.send_to_state(StateMessage::AgentUpdate(
                    agent.id(),
                    AgentUpdate::Scanned(report.into(), receipt),
                ))
                .await;
            }
            HostReload { environment: host.environment.clone(), host: host.name.clone(), outcome }
        });
        let hosts = join_all(reloads).await;
        flush_state(&self.inbox).await;
        hosts
    }

    fn current_inventory(&self) -> Arc<Inventory> {
        Arc::clone(&self.inventory.borrow())
    }

    fn record_reload(&self, from: &str, to: &str, text: String, by: Option<Requester>) {
        self.events.publish(Event {
            from: Some(from.to_owned()),
            to: Some(to.to_owned()),
            by,
            ..Event::new(Timestamp::now(), EventKind::Config, text)
        });
    }

    async fn send_to_state(&self, message: StateMessage) {
        // The state actor ends only at shutdown.
        let _ = self.inbox.send(message).await;
    }
}

/// Returns the sentence for a refused configuration, with its first problem.
fn refusal_text(problems: &str) -> String {
    let first = problems.lines().next().unwrap_or_default();
    match problems.lines().count().saturating_sub(1) {
        0 => format!("a new configuration was refused: {first}"),
        more => format!("a new configuration was refused: {first} (and {})", counted(more, "more problem")),
    }
}

/// Returns the sentence for an accepted configuration, with its changes, one a line.
fn acceptance_text(changes: &[String]) -> String {
    match changes {
        [] => "the configuration was reloaded; nothing changed".to_owned(),
        changes => format!("a new configuration was taken:\n{}", changes.join("\n")),
    }
}

/// Loads the configuration in `folder`; the error contains every problem, one a line.
async fn load_config(folder: &Path) -> Result<Platform, String> {
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
    use crate::state::actor::create_state_actor;

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

    fn origin() -> ReloadOrigin {
        ReloadOrigin { by: None, is_recorded: true }
    }

    fn names(overview: &Overview) -> Vec<String> {
        overview.instances().map(|located| located.id().to_string()).collect()
    }

    #[test]
    fn part_of_an_environment_needs_its_own_hosts_alone() {
        let text = "
            component = [
                { name = 'zoo', criteria = [{ regex = 'zoo' }] },
                { name = 'kafka', criteria = [{ regex = 'kafka' }], depends_on = [
                    { component = 'zoo', host = 'other' }, { component = 'zoo', host = 'any' },
                ] },
            ]
            [[environment]]
            name = 'ITG'
            host = [{ name = 'own', components = ['zoo', 'kafka'] }]
            [[environment]]
            name = 'DEV'
            host = [{ name = 'other', components = ['zoo'] }]";
        let whole = load_sources(&[Text { name: "x.toml".to_owned(), text: text.to_owned() }]).unwrap();
        let needs = |platform: &Platform| {
            let kafka = platform.components.iter().find(|component| component.name == *"kafka");
            kafka.unwrap().depends_on.iter().map(|one| one.place.clone()).collect::<Vec<_>>()
        };
        assert_eq!(needs(&whole), [DependencyPlace::Host("other".into()), DependencyPlace::Any]);
        let part = environment_platform(&whole, &Name::from("itg"));
        assert_eq!(part.hosts().map(|host| host.name.to_string()).collect::<Vec<_>>(), ["own"]);
        assert_eq!((needs(&part), part.digest), (vec![DependencyPlace::Any], whole.digest));
    }

    #[tokio::test]
    async fn a_wrong_configuration_changes_nothing_and_a_right_one_everything_at_once() {
        let inventory = Arc::new(Inventory::new(platform(&["a", "b"]), &[], None).unwrap());
        let (inbox, published, state_actor) = create_state_actor(
            Arc::clone(&inventory.platform),
            inventory.agent_ids().collect(),
            EventBus::default(),
            ImpairmentList::default(),
            Heartbeat::default(),
        );
        let overview = published.overview;
        let state_actor = tokio::spawn(state_actor);
        let (publisher, fleets) = watch::channel(Arc::clone(&inventory));
        let config_manager = ConfigManager { inventory: publisher, inbox, events: EventBus::default() };

        let refused =
            config_manager.apply_config(Err("x.toml:1:1: one\nx.toml:2:1: two".to_owned()), origin()).await;
        assert_eq!(refused.error, overview.borrow().config_error);
        assert!(refused.error.is_some_and(|error| error.lines().count() == 2));
        assert_eq!(refused.digest, inventory.platform.digest);
        assert_eq!(names(&overview.borrow()), ["E/a/c", "E/b/c"]);
        assert_eq!(fleets.borrow().agents.len(), 2);

        let taken = config_manager.apply_config(Ok(platform(&["b", "d"])), origin()).await;
        assert_eq!(taken.changes, ["environment \"E\": host d added", "environment \"E\": host a removed"]);
        assert_eq!(overview.borrow().config_error, None);
        assert_eq!(overview.borrow().config_digest, taken.digest);
        assert_eq!(names(&overview.borrow()), ["E/b/c", "E/d/c"]);
        let names: Vec<String> = fleets.borrow().platform.hosts().map(|host| host.name.to_string()).collect();
        assert_eq!(names, ["b", "d"]);
        assert_eq!(fleets.borrow().agents[0].id(), inventory.agents[1].id());

        drop(config_manager);
        state_actor.await.unwrap();
    }
}
