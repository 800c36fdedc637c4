//! Task that begins and ends the terms, as the leases say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::name::Name;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::EnvironmentLeads;
use super::term::{TermParts, lead_environment};
use crate::events::EventBus;
use crate::leadership::{LeaseKeeper, LeaseStatus};
use crate::store::{EventStore, HeldLease, WriterScope};

/// Interval between two checks of the terms.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// Owner of the terms.
pub(crate) struct LeadCoordinator {
    pub(crate) keeper: LeaseKeeper,
    pub(crate) leads: EnvironmentLeads,
    pub(crate) parts: Arc<TermParts>,
    /// Bus of the aggregator as a whole.
    pub(crate) events: EventBus,
    /// Impairments of the aggregator as a whole.
    pub(crate) impairments: ImpairmentList,
    pub(crate) terms: LeadTerms,
}

/// Terms that run, and the last epochs that were released.
#[derive(Debug, Default)]
pub(crate) struct LeadTerms {
    running: BTreeMap<Name, RunningTerm>,
    released: BTreeMap<Name, u64>,
    /// Environments in whose leading this aggregator takes part.
    environments: Vec<Name>,
}

#[derive(Debug)]
struct RunningTerm {
    epoch: u64,
    end: CancellationToken,
    task: JoinHandle<()>,
    /// True if another aggregator is to have the environment.
    is_given: bool,
}

impl LeadCoordinator {
    /// Begins and ends terms until `shutdown`, then ends all of them. The leases are kept until then.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let unled = shutdown.run_until_cancelled(self.parts.open_record(WriterScope::Unled, &shutdown)).await;
        let unled = unled.flatten();
        if let Some(unled) = &unled {
            self.events.record_unled_in(unled.handle());
            self.events.publish_start();
        }
        let mut status = self.leads.status();
        while !shutdown.is_cancelled() {
            let current = status.borrow_and_update().clone();
            self.update_terms(&current).await;
            self.show_impairments();
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = status.changed() => {}
                () = tokio::time::sleep(CHECK_INTERVAL) => {}
            }
        }
        self.end_all(unled).await;
    }

    async fn update_terms(&mut self, status: &LeaseStatus) {
        let environments: Vec<Name> = {
            let inventory = self.parts.inventory.borrow();
            inventory.platform.environments.iter().map(|one| one.name.clone()).collect()
        };
        if environments != self.terms.environments {
            self.keeper.set_environments(environments.clone());
            self.terms.environments = environments;
        }
        for (environment, term) in &self.terms.running {
            let is_configured = self.terms.environments.contains(environment);
            if status.epoch(environment) != Some(term.epoch) || !is_configured {
                term.end.cancel();
            }
        }
        self.remove_ended(status).await;
        for (environment, leader) in &status.own {
            let is_released = self.terms.released.get(environment) == Some(&leader.epoch);
            if is_released || self.terms.running.contains_key(environment) {
                continue;
            }
            // The configuration has the name as people write it.
            match self.terms.environments.iter().find(|name| *name == environment).cloned() {
                Some(environment) => self.begin_term(environment, leader.epoch),
                None => self.release(environment.clone(), leader.epoch),
            }
        }
        self.give_surplus(status);
    }

    /// Awaits the terms that have ended, and releases their leases if they are still held.
    async fn remove_ended(&mut self, status: &LeaseStatus) {
        let ended = self.terms.running.iter().filter(|(_, term)| term.task.is_finished());
        let ended: Vec<Name> = ended.map(|(environment, _)| environment.clone()).collect();
        for environment in ended {
            let Some(term) = self.terms.running.remove(&environment) else { continue };
            if let Err(error) = term.task.await {
                tracing::error!(%environment, %error, "the term of an environment failed, and begins again");
                self.leads.set_running(&environment, None);
            }
            let is_configured = self.terms.environments.contains(&environment);
            if status.epoch(&environment) == Some(term.epoch) && (term.is_given || !is_configured) {
                self.release(environment, term.epoch);
            }
        }
    }

    fn begin_term(&mut self, environment: Name, epoch: u64) {
        let holder = self.keeper.holder_name().to_owned();
        let lease = HeldLease { environment: environment.clone(), holder, epoch };
        let end = CancellationToken::new();
        let term = lead_environment(Arc::clone(&self.parts), self.leads.clone(), lease, end.clone());
        let term = RunningTerm { epoch, end, task: tokio::spawn(term), is_given: false };
        self.terms.running.insert(environment, term);
    }

    /// Releases a lease. The keeper may still show it for a moment.
    fn release(&mut self, environment: Name, epoch: u64) {
        self.keeper.release(environment.clone(), epoch);
        self.terms.released.insert(environment, epoch);
    }

    /// Ends terms whose environments another aggregator is to have, unless a plan is under way there.
    fn give_surplus(&mut self, status: &LeaseStatus) {
        let given = self.terms.running.values().filter(|term| term.is_given).count();
        // What is released already may be shown for a moment.
        let released = self.terms.released.iter();
        let released =
            released.filter(|(environment, epoch)| status.epoch(environment) == Some(**epoch)).count();
        let mut left = status.surplus.saturating_sub(given + released);
        for environment in &status.wanted {
            let Some(term) = self.terms.running.get_mut(environment).filter(|term| !term.is_given) else {
                continue;
            };
            if self.leads.running(environment).is_none() {
                continue;
            }
            if left > 0 && !self.leads.has_plan_under_way(environment) {
                tracing::info!(%environment, "another aggregator leads fewer environments and is to have this one");
                term.is_given = true;
                term.end.cancel();
                left -= 1;
            }
        }
    }

    /// Shows the impairments of the terms as those of the whole.
    fn show_impairments(&self) {
        let running = self.leads.all_running();
        for part in [ImpairedPart::Store, ImpairedPart::Notifications, ImpairedPart::Maintenance] {
            let first = running.iter().find_map(|(environment, operations)| {
                let overview = operations.overview();
                let found = overview.impairments.iter().find(|impairment| impairment.part == part)?;
                Some(format!("{environment}: {}", found.message))
            });
            self.impairments.set(part, first);
        }
    }

    async fn end_all(self, unled: Option<EventStore>) {
        for term in self.terms.running.values() {
            term.end.cancel();
        }
        for (environment, term) in self.terms.running {
            if let Err(error) = term.task.await {
                tracing::error!(%environment, %error, "the term of an environment failed");
            }
        }
        self.events.publish_shutdown();
        if let Some(unled) = unled {
            unled.close().await;
        }
    }
}
