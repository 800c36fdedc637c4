//! Environments that this aggregator leads, and the way to the leaders of the others.
//!
//! Each environment that is led here has a term: operations of its own on the part of the platform that
//! belongs to it, as if it were all, with the state that the database has, as after a restart. So nothing of
//! an earlier term is acted on, and the environments do not depend on each other. The pages and the gRPC
//! service are those of the aggregator as a whole, which is passed the states of all hosts by the leaders of their
//! environments, and passes on to them what changes something.
//!
//! | module | holds |
//! |---|---|
//! | `coordinator` | the task that begins and ends the terms, as the leases say |
//! | `term` | the term of one environment |

mod coordinator;
mod term;

pub(crate) use coordinator::{LeadCoordinator, LeadTerms};
pub(crate) use term::TermParts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use rta_shared::name::Name;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::api::Operations;
use crate::forwarding::{LeaderClient, LeaderRoute};
use crate::leadership::{LeaseKeeper, LeaseStatus, no_leader_here};
use crate::operation_error::OperationError;
use crate::relay::{RelaySource, RelaySources, are_same_sources};
use crate::store::PostgresLocation;

/// Time for which a request waits for the term of an environment that was just taken.
const TERM_TIMEOUT: Duration = Duration::from_secs(5);

/// Several aggregators over one database, of which this is one.
#[derive(Clone, Debug)]
pub struct SharedLead {
    /// Keeper of the leases.
    pub keeper: LeaseKeeper,
    /// Location of the database.
    pub location: PostgresLocation,
    /// Retention time of events.
    pub retention: SignedDuration,
}

/// Leader of an environment.
pub(crate) enum EnvironmentLeader {
    /// This aggregator, with these operations.
    Here(Box<Operations>),
    /// Another one.
    There(LeaderRoute),
}

/// Environments that are led here, and the leaders of the others; clones share them.
#[derive(Clone)]
pub(crate) struct EnvironmentLeads(Arc<LeadsState>);

struct LeadsState {
    status: watch::Receiver<LeaseStatus>,
    /// Operations of the environments that are led here.
    running: watch::Sender<BTreeMap<Name, Operations>>,
    client: LeaderClient,
    /// Who passes on the states of each environment's hosts.
    relay_sources: watch::Sender<RelaySources>,
}

impl EnvironmentLeads {
    /// Creates the leads of an aggregator that leads nothing yet.
    pub(crate) fn new(keeper: &LeaseKeeper, client: LeaderClient) -> Self {
        let running = watch::Sender::new(BTreeMap::new());
        let relay_sources = watch::Sender::default();
        Self(Arc::new(LeadsState { status: keeper.status(), running, client, relay_sources }))
    }

    /// Returns what is known of the leases.
    pub(crate) fn status(&self) -> watch::Receiver<LeaseStatus> {
        self.0.status.clone()
    }

    /// Returns the operations of an environment that is led here.
    pub(crate) fn running(&self, environment: &Name) -> Option<Operations> {
        self.0.running.borrow().get(environment).cloned()
    }

    /// Returns the operations of all environments that are led here.
    pub(crate) fn all_running(&self) -> Vec<(Name, Operations)> {
        let running = self.0.running.borrow();
        running.iter().map(|(name, operations)| (name.clone(), operations.clone())).collect()
    }

    fn set_running(&self, environment: &Name, operations: Option<Operations>) {
        self.0.running.send_modify(|running| match operations {
            Some(operations) => drop(running.insert(environment.clone(), operations)),
            None => drop(running.remove(environment)),
        });
    }

    /// Returns the leader of an environment. Waits a while for a term that begins here.
    ///
    /// # Errors
    /// Returns an error if nobody certainly leads, or if the leader cannot be called.
    pub(crate) async fn find(&self, environment: &Name) -> Result<EnvironmentLeader, OperationError> {
        let limit = Instant::now() + TERM_TIMEOUT;
        let (mut running, mut status) = (self.0.running.subscribe(), self.0.status.clone());
        loop {
            if let Some(operations) = self.running(environment) {
                return Ok(EnvironmentLeader::Here(Box::new(operations)));
            }
            let (is_own, found) = {
                let status = status.borrow_and_update();
                (status.own.contains_key(environment), self.route(&status, environment))
            };
            if !is_own || Instant::now() >= limit {
                return found.map(EnvironmentLeader::There);
            }
            running.mark_unchanged();
            if self.running(environment).is_none() {
                // Both end only at shutdown.
                tokio::select! {
                    _ = running.changed() => {}
                    _ = status.changed() => {}
                    () = tokio::time::sleep_until(limit) => {}
                }
            }
        }
    }

    /// Returns the ways to all other aggregators that lead.
    pub(crate) fn all_routes(&self) -> Vec<LeaderRoute> {
        let status = self.0.status.borrow();
        let mut routes: Vec<LeaderRoute> = Vec::new();
        for environment in status.others.keys() {
            if let Ok(route) = self.route(&status, environment)
                && routes.iter().all(|known| known.leader() != route.leader())
            {
                routes.push(route);
            }
        }
        routes
    }

    /// Returns a receiver of those who pass on the states of each environment's hosts.
    pub(crate) fn watch_relay_sources(&self) -> watch::Receiver<RelaySources> {
        self.0.relay_sources.subscribe()
    }

    /// Publishes forever who passes on the states of each environment's hosts: the leaders.
    pub(crate) async fn publish_relay_sources(self) {
        let (mut running, mut status) = (self.0.running.subscribe(), self.0.status.clone());
        loop {
            let sources = self.relay_sources(&running.borrow_and_update(), &status.borrow_and_update());
            self.0.relay_sources.send_if_modified(|known| {
                let is_changed = !are_same_sources(&sources, known);
                if is_changed {
                    *known = sources;
                }
                is_changed
            });
            // Both end only at shutdown.
            tokio::select! {
                _ = running.changed() => {}
                _ = status.changed() => {}
            }
        }
    }

    fn relay_sources(&self, running: &BTreeMap<Name, Operations>, status: &LeaseStatus) -> RelaySources {
        let mut sources = RelaySources::new();
        for environment in status.others.keys() {
            if let Ok(route) = self.route(status, environment) {
                sources.insert(environment.clone(), RelaySource::Leader(route));
            }
        }
        let own = running.iter().map(|(environment, operations)| {
            (environment.clone(), RelaySource::Own(operations.hosts.clone()))
        });
        sources.extend(own);
        sources
    }

    /// Returns true if a plan under way here has a step in this environment.
    fn has_plan_under_way(&self, environment: &Name) -> bool {
        self.all_running().iter().any(|(_, operations)| {
            operations.plan_runs().iter().any(|plan_run| {
                let mut steps = plan_run.begun().plan.steps.iter();
                plan_run.is_under_way() && steps.any(|step| step.instance.environment == *environment)
            })
        })
    }

    /// Returns the error for an action in an environment that is not led here.
    pub(crate) fn explain_unled(&self, environment: &Name) -> OperationError {
        no_leader_here(&self.0.status.borrow(), environment)
    }

    /// Returns the aggregator that leads an environment, for people.
    pub(crate) fn describe_leader(&self, environment: &Name) -> String {
        let status = self.0.status.borrow();
        match status.leader(environment) {
            Some(leader) => format!("{environment} is led by {leader}"),
            None => format!("{environment} is led by nobody at the moment"),
        }
    }

    fn route(&self, status: &LeaseStatus, environment: &Name) -> Result<LeaderRoute, OperationError> {
        let leader = status.others.get(environment);
        // Also while the database fails: the leader knows whether it still leads.
        let route = leader
            .filter(|leader| !leader.holder.grpc_address.is_empty())
            .and_then(|leader| self.0.client.route(&leader.holder.grpc_address, leader.to_string()));
        route.ok_or_else(|| no_leader_here(status, environment))
    }
}
