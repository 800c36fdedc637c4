//! Reloads the configuration: the new one replaces the old one completely, or not at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rta_shared::config::{HostConfig, load_folder};
use rta_shared::sanitize::printable;
use tokio::sync::Mutex;
use tonic::Status;

use crate::host::machine::interface_addresses;
use crate::host::users::resolve_users;
use crate::state::AgentState;

/// Interval between two look-ups of users that the host does not know.
const USER_LOOKUP_INTERVAL: Duration = Duration::from_secs(30);

/// Source of an agent's configuration.
#[derive(Clone, Debug)]
pub struct ConfigFolder {
    /// Folder of the platform's configuration.
    pub folder: PathBuf,
    /// Name of the host in the configuration.
    pub host: String,
}

impl ConfigFolder {
    /// Loads this host's part of the configuration and looks up its users. Blocking.
    ///
    /// # Errors
    /// Returns an error with every problem of the folder, one per line; or with the supported hosts, if this
    /// one is unknown.
    pub fn load(&self) -> Result<HostConfig, String> {
        let platform = load_folder(&self.folder).map_err(|error| error.to_string())?;
        let host = platform.find_host(&self.host).ok_or_else(|| {
            let mut message = format!(
                "host \"{}\" is not in the configuration {}; give one with --host. Supported hosts:",
                printable(&self.host),
                self.folder.display()
            );
            for environment in &platform.environments {
                let hosts: Vec<_> = environment.hosts.iter().map(|host| host.name.as_str()).collect();
                message.push_str(&format!("\n  {}: {}", environment.name, hosts.join(", ")));
            }
            message
        })?;
        let mut config = platform.host_config(host, &interface_addresses())?;
        resolve_users(&mut config);
        Ok(config)
    }
}

/// Reloads the configuration, one reload at a time.
#[derive(Clone)]
pub(crate) struct ConfigReloader {
    source: Arc<Mutex<ConfigFolder>>,
    state: AgentState,
}

impl ConfigReloader {
    pub(crate) fn new(source: ConfigFolder, state: AgentState) -> Self {
        Self { source: Arc::new(Mutex::new(source)), state }
    }

    /// Repeats the look-up of users that the host did not know, such as those of a directory service that was
    /// not up yet, and applies the result as soon as one is found.
    pub(crate) async fn retry_user_lookups(self) {
        let mut pace = tokio::time::interval(USER_LOOKUP_INTERVAL);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let _source = self.source.lock().await;
            let config = HostConfig::clone(&self.state.config());
            let unknown = |config: &HostConfig| {
                config.components.iter().filter(|component| component.unknown_user().is_some()).count()
            };
            let before = unknown(&config);
            if before == 0 {
                continue;
            }
            let looked_up = tokio::task::spawn_blocking(move || {
                let mut config = config;
                resolve_users(&mut config);
                config
            });
            let Ok(config) = looked_up.await else { continue };
            // The state actor has ended, so the agent is shutting down.
            if unknown(&config) < before && self.state.configure(Ok(config)).await.is_err() {
                return;
            }
        }
    }

    /// Reloads the configuration and returns the changes. No process is touched; an action whose component
    /// gets other criteria is aborted.
    ///
    /// # Errors
    /// Returns an error if the new configuration is invalid, with every problem, one per line; the old one
    /// stays in use.
    pub(crate) async fn reload(&self) -> Result<Vec<String>, Status> {
        // Held until the new configuration is in use, so that of two reloads the later one wins.
        let source = Arc::clone(&self.source).lock_owned().await;
        let own = self.state.config();
        let read = tokio::task::spawn_blocking(move || (source.load(), source)).await;
        let (config, _source) =
            read.map_err(|error| Status::internal(format!("the agent failed: {error}")))?;
        let config = config.and_then(|config| match config.host == own.host {
            true => Ok(config),
            // The aggregator would attribute the reports to a different host.
            false => Err(format!(
                "this host is now called {}, which takes a restart of the agent; it goes on as {}",
                config.host, own.host
            )),
        });
        let refused = config.as_ref().err().cloned();
        let changes = self.state.configure(config).await;
        let changes = changes.map_err(|_| Status::unavailable("the agent is shutting down"))?;
        match refused {
            Some(reason) => Err(Status::failed_precondition(reason)),
            None => Ok(changes),
        }
    }
}
