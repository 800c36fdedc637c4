//! Reading the configuration anew: the new one replaces the old one whole, or not at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rta_shared::config::{HostConfig, load_folder};
use rta_shared::text::printable;
use tokio::sync::Mutex;
use tonic::Status;

use crate::machine::interface_addresses;
use crate::users::resolve_users;
use crate::worker::Worker;

/// From one look for users that the host does not know to the next.
const USERS: Duration = Duration::from_secs(30);

/// Where an agent's configuration comes from.
#[derive(Clone, Debug)]
pub struct ConfigFolder {
    /// The folder of the platform's configuration.
    pub folder: PathBuf,
    /// The host's name in it.
    pub host: String,
}

impl ConfigFolder {
    /// This host's share of what stands in the folder now, its users looked up. Blocking.
    ///
    /// # Errors
    /// Every problem of the folder, one a line; or the supported hosts, where this one is not among them.
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

/// Reads the configuration anew, one reading at a time.
#[derive(Clone)]
pub(crate) struct Reloader {
    source: Arc<Mutex<ConfigFolder>>,
    worker: Worker,
}

impl Reloader {
    pub(crate) fn new(source: ConfigFolder, worker: Worker) -> Self {
        Self { source: Arc::new(Mutex::new(source)), worker }
    }

    /// Looks again for users that the host did not know, such as those of a directory service that was not up yet, and
    /// works by them as soon as it does.
    pub(crate) async fn look_up_users(self) {
        let mut pace = tokio::time::interval(USERS);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let _source = self.source.lock().await;
            let config = HostConfig::clone(&self.worker.config());
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
            // Where the agent is shutting down, so is this.
            if unknown(&config) < before && self.worker.configure(Ok(config)).await.is_err() {
                return;
            }
        }
    }

    /// What changed. No process is touched; an action whose component gets other criteria is given up.
    ///
    /// # Errors
    /// The new one is not right, and the old one goes on: every problem, one a line.
    pub(crate) async fn reload(&self) -> Result<Vec<String>, Status> {
        // Held until the new one is in force, so that of two readings the later one wins.
        let source = Arc::clone(&self.source).lock_owned().await;
        let own = self.worker.config();
        let read = tokio::task::spawn_blocking(move || (source.load(), source)).await;
        let (config, _source) =
            read.map_err(|error| Status::internal(format!("the agent failed: {error}")))?;
        let config = config.and_then(|config| match config.host == own.host {
            true => Ok(config),
            // The aggregator would take its reports for another host's.
            false => Err(format!(
                "this host is now called {}, which takes a restart of the agent; it goes on as {}",
                config.host, own.host
            )),
        });
        let refused = config.as_ref().err().cloned();
        let changes = self.worker.configure(config).await;
        let changes = changes.map_err(|_| Status::unavailable("the agent is shutting down"))?;
        match refused {
            Some(reason) => Err(Status::failed_precondition(reason)),
            None => Ok(changes),
        }
    }
}
