//! Begins and ends maintenance, by the leader of each environment.

use jiff::Timestamp;
use rta_shared::maintenance::Maintenance;
use rta_shared::name::Name;
use rta_shared::selector::Selector;
use tokio::sync::oneshot;
use tonic::Code;

use super::Operations;
use super::history::{MaintenanceRequest, check_reason, too_short_error};
use crate::api::environment_leads::EnvironmentLeader;
use crate::auth::ActingCaller;
use crate::operation_error::OperationError;
use crate::state::actor::{MaintenanceChange, StateMessage};
use crate::state::maintenance::{explain_host_maintenance, resolve_places};

impl Operations {
    /// Begins or ends maintenance. Returns the affected maintenance.
    ///
    /// # Errors
    /// Returns an error if a name is unknown or ambiguous, if the duration is invalid, or if no leader
    /// answers.
    pub(crate) async fn set_maintenance(
        &self,
        request: MaintenanceRequest,
        caller: ActingCaller,
    ) -> Result<Vec<Maintenance>, OperationError> {
        if self.leads.is_none() {
            return self.set_maintenance_here(request, caller).await;
        }
        // Each environment has its leader.
        let places = resolve_places(&self.inventory().platform, &request.selector, request.all)?;
        let mut environments: Vec<Name> = Vec::new();
        for place in places {
            if !environments.contains(&place.environment) {
                environments.push(place.environment);
            }
        }
        let mut changed = Vec::new();
        for environment in environments {
            let selector =
                Selector { environment: environment.as_str().to_owned(), ..request.selector.split()? };
            let part = MaintenanceRequest { selector, ..request.clone() };
            changed.extend(match self.environment_leader(&environment, &caller).await? {
                EnvironmentLeader::Here(operations) => {
                    operations.set_maintenance_here(part, caller.clone()).await?
                }
                EnvironmentLeader::There(route) => {
                    self.set_maintenance_at_leader(&route, part, &caller.by).await?
                }
            });
        }
        self.store.flush().await;
        Ok(changed)
    }

    async fn set_maintenance_here(
        &self,
        request: MaintenanceRequest,
        caller: ActingCaller,
    ) -> Result<Vec<Maintenance>, OperationError> {
        self.leadership.acting_epoch()?;
        self.ensure_recorded()?;
        let platform = &self.inventory().platform;
        let places = resolve_places(platform, &request.selector, request.all)?;
        self.permit_hosts(&caller, "maintenance", places.iter().map(|place| &place.host))?;
        let ActingCaller { by, .. } = caller;
        let invalid = |message: String| OperationError::new(Code::InvalidArgument, message);
        let off = places.clone();
        let change = if request.on {
            let reason = check_reason(&request.reason)?;
            let since = Timestamp::now();
            let until = match request.length {
                None => None,
                Some(length) if !length.is_zero() => Some(
                    since
                        .checked_add(length)
                        .map_err(|_| invalid("maintenance cannot be as long as that".to_owned()))?,
                ),
                Some(_) => return Err(too_short_error()),
            };
            let one = |place: crate::store::HostOrInstance| Maintenance {
                environment: place.environment,
                host: place.host,
                component: place.component,
                since,
                until,
                reason: reason.clone(),
                by: by.clone(),
            };
            MaintenanceChange::Begin(places.into_iter().map(one).collect())
        } else {
            MaintenanceChange::End(places, by)
        };
        let (answer, changed) = oneshot::channel();
        let ended = || OperationError::new(Code::Unavailable, "the aggregator is shutting down");
        self.inbox.send(StateMessage::ChangeMaintenance(change, answer)).await.map_err(|_| ended())?;
        let changed = changed.await.map_err(|_| ended())?;
        if let (false, [], Some(message)) =
            (request.on, changed.as_slice(), explain_host_maintenance(self.maintenance.borrow().all(), &off))
        {
            return Err(OperationError::new(Code::FailedPrecondition, message));
        }
        // The change survives a restart from now on; if it cannot be written, the overview shows that.
        self.confirm_change().await?;
        Ok(changed)
    }
}
