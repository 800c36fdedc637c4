//! Operations on planned maintenance.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rta_shared::action::Requester;
use rta_shared::name::{Name, too_long};
use rta_shared::planned_maintenance::{PlannedMaintenance, Recurrence, UpcomingMaintenance};
use rta_shared::proto::v1::plan_maintenance_request::Begins;
use rta_shared::proto::{to_wire_duration, v1};
use rta_shared::selector::{NameIndex, Selector};
use tokio::sync::oneshot;
use tonic::Code;

use crate::api::Operations;
use crate::api::environment_leads::EnvironmentLeader;
use crate::api::history::check_reason;
use crate::auth::ActingCaller;
use crate::operation_error::{OperationError, not_found};
use crate::state::actor::{PlannedMaintenanceChange, StateMessage};
use crate::state::maintenance::resolve_places;

/// Maximum duration of a window.
const MAX_LENGTH: Duration = Duration::from_secs(366 * 24 * 3600);
/// Maximum number of plans.
const MAX_PLANS: usize = 1000;

/// Request to plan maintenance, as a person wrote it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlanMaintenanceRequest {
    pub(crate) selector: Selector,
    /// True for all instances or hosts that match.
    pub(crate) all: bool,
    /// Time of a single begin: `2026-12-05 02:00`. Exactly one of this and `every` is given.
    pub(crate) at: Option<String>,
    /// Rule of a repeated begin: `sat 02:00`.
    pub(crate) every: Option<String>,
    /// Duration of each window.
    pub(crate) length: Option<Duration>,
    /// Time zone; empty: the aggregator's.
    pub(crate) time_zone: String,
    pub(crate) reason: String,
}

impl TryFrom<v1::PlanMaintenanceRequest> for PlanMaintenanceRequest {
    type Error = OperationError;

    fn try_from(request: v1::PlanMaintenanceRequest) -> Result<Self, OperationError> {
        let length = request.lasting().map_err(|_| invalid("the duration is negative or too long"))?;
        let v1::PlanMaintenanceRequest {
            component, environment, host, all, begins, time_zone, reason, ..
        } = request;
        let (at, every) = match begins {
            Some(Begins::At(at)) => (Some(at), None),
            Some(Begins::Every(every)) => (None, Some(every)),
            None => (None, None),
        };
        let selector = Selector { environment, host, component };
        Ok(Self { selector, all, at, every, length, time_zone, reason })
    }
}

impl PlanMaintenanceRequest {
    /// Returns the message of this request on behalf of `by`.
    ///
    /// # Errors
    /// Returns an error if it has not exactly one begin.
    pub(super) fn into_message(self, by: &Requester) -> Result<v1::PlanMaintenanceRequest, OperationError> {
        let Self { selector, all, at, every, length, time_zone, reason } = self;
        let Selector { environment, host, component } = selector;
        Ok(v1::PlanMaintenanceRequest {
            component,
            environment,
            host,
            all,
            begins: Some(single_begin(at, every)?),
            length: length.map(to_wire_duration),
            time_zone,
            reason,
            user: by.user.clone(),
        })
    }
}

impl Operations {
    /// Returns the planned maintenance with its next windows.
    pub(crate) fn planned_maintenance(&self) -> Vec<UpcomingMaintenance> {
        self.planned_maintenance.borrow().upcoming(&self.inventory().platform, Timestamp::now())
    }

    /// Plans maintenance, here or at the aggregator that leads. Returns it with its next windows.
    ///
    /// # Errors
    /// Returns an error if a name is unknown or ambiguous, if the time, the duration or the time zone is
    /// invalid, if no leader answers, or if the leader records nothing.
    pub(crate) async fn plan_maintenance(
        &self,
        request: PlanMaintenanceRequest,
        caller: ActingCaller,
    ) -> Result<UpcomingMaintenance, OperationError> {
        if self.leads.is_none() {
            return self.plan_maintenance_here(request, caller).await;
        }
        let places = resolve_places(&self.inventory().platform, &request.selector, request.all)?;
        let environment = places.first().map(|place| place.environment.clone());
        let environment = environment.filter(|one| places.iter().all(|place| place.environment == *one));
        let Some(environment) = environment else {
            return Err(invalid(
                "this maintenance is of several environments, and each is led by itself; plan it per environment, with \
                 --env",
            ));
        };
        let selector = Selector { environment: environment.as_str().to_owned(), ..request.selector.split()? };
        let request = PlanMaintenanceRequest { selector, ..request };
        match self.environment_leader(&environment, &caller).await? {
            EnvironmentLeader::Here(operations) => {
                let planned = operations.plan_maintenance_here(request, caller).await?;
                self.store.flush().await;
                Ok(planned)
            }
            EnvironmentLeader::There(route) => {
                self.plan_maintenance_at_leader(&route, request, &caller.by).await
            }
        }
    }

    async fn plan_maintenance_here(
        &self,
        request: PlanMaintenanceRequest,
        caller: ActingCaller,
    ) -> Result<UpcomingMaintenance, OperationError> {
        self.leadership.acting_epoch()?;
        self.ensure_recorded()?;
        if self.planned_maintenance.borrow().all().len() >= MAX_PLANS {
            let message = format!("{MAX_PLANS} maintenances are planned; cancel some first");
            return Err(OperationError::new(Code::ResourceExhausted, message));
        }
        let planned = self.validate_plan(request, caller)?;
        let id = self.store.reserve_planned_maintenance_id().await;
        let id = id.map_err(|why| OperationError::new(Code::Unavailable, why))?;
        let planned = PlannedMaintenance { id, ..planned };
        let changed = self.change_planned(PlannedMaintenanceChange::Add(Box::new(planned))).await?;
        changed.ok_or_else(|| OperationError::new(Code::Internal, "the plan was not added"))
    }

    /// Cancels planned maintenance, here or at the aggregator that leads. Returns it. A window that has begun
    /// goes on.
    ///
    /// # Errors
    /// Returns an error if nothing planned has this ID, if no leader answers, or if the leader records
    /// nothing.
    pub(crate) async fn cancel_planned_maintenance(
        &self,
        id: u64,
        caller: ActingCaller,
    ) -> Result<UpcomingMaintenance, OperationError> {
        let Some(leads) = &self.leads else { return self.cancel_planned_here(id, caller).await };
        let environment = {
            let planned = self.planned_maintenance.borrow();
            let known = planned.all().iter().find(|planned| planned.id == id);
            known.map(|planned| Name::from(planned.environment.as_str()))
        };
        // What names no environment any more is known to some leader, and what is not known to none.
        let running = leads.all_running();
        let environment = environment.filter(|name| !name.as_str().is_empty());
        let Some(environment) = environment.or_else(|| running.first().map(|(name, _)| name.clone())) else {
            return Err(not_planned(id));
        };
        match self.environment_leader(&environment, &caller).await? {
            EnvironmentLeader::Here(operations) => {
                let cancelled = operations.cancel_planned_here(id, caller).await?;
                self.store.flush().await;
                Ok(cancelled)
            }
            EnvironmentLeader::There(route) => self.cancel_planned_at_leader(&route, id, &caller.by).await,
        }
    }

    async fn cancel_planned_here(
        &self,
        id: u64,
        caller: ActingCaller,
    ) -> Result<UpcomingMaintenance, OperationError> {
        self.leadership.acting_epoch()?;
        self.ensure_recorded()?;
        if let Some(planned) = self.planned_maintenance.borrow().all().iter().find(|planned| planned.id == id)
        {
            // What cannot be resolved any more is cancelled by those who may act everywhere.
            let platform = &self.inventory().platform;
            match resolve_places(platform, &planned.selector(), planned.all) {
                Ok(places) => {
                    self.permit_hosts(&caller, "planned maintenance", places.iter().map(|place| &place.host))?
                }
                Err(_) => self.permit_everywhere(
                    &caller,
                    "the cancelling of what is not in the configuration any more",
                )?,
            }
        }
        let by = caller.by;
        let cancelled = self.change_planned(PlannedMaintenanceChange::Cancel(id, by)).await?;
        cancelled.ok_or_else(|| not_planned(id))
    }

    fn validate_plan(
        &self,
        request: PlanMaintenanceRequest,
        caller: ActingCaller,
    ) -> Result<PlannedMaintenance, OperationError> {
        let PlanMaintenanceRequest { selector, all, at, every, length, time_zone, reason } = request;
        let platform = &self.inventory().platform;
        let places = resolve_places(platform, &selector, all)?;
        self.permit_hosts(&caller, "planned maintenance", places.iter().map(|place| &place.host))?;
        // Kept by its full names; they are resolved again when each window begins.
        let Selector { environment, host, component } =
            selector.split()?.canonical(&NameIndex::from(platform.as_ref()))?;
        let reason = check_reason(&reason)?;
        if let Some(message) = [&at, &every].into_iter().flatten().find_map(|text| too_long(text)) {
            return Err(invalid(message));
        }
        let recurrence = match single_begin(at, every)? {
            Begins::At(at) => Recurrence::parse_at(&at),
            Begins::Every(every) => Recurrence::parse_every(&every),
        };
        let recurrence = recurrence.map_err(invalid)?;
        let length = length.filter(|length| (1..=MAX_LENGTH.as_secs()).contains(&length.as_secs()));
        let length = length.and_then(|length| u32::try_from(length.as_secs()).ok());
        let length_seconds =
            length.ok_or_else(|| invalid("say how long it lasts: from a second to a year, such as 2h"))?;
        let now = Timestamp::now();
        let planned = PlannedMaintenance {
            id: 0,
            environment,
            host,
            component,
            all,
            recurrence,
            length_seconds,
            time_zone: if time_zone.trim().is_empty() {
                own_time_zone()
            } else {
                time_zone.trim().to_owned()
            },
            reason,
            by: caller.by,
            created_at: now,
            handled: now,
        };
        planned.check(now).map_err(invalid)?;
        Ok(planned)
    }

    async fn change_planned(
        &self,
        change: PlannedMaintenanceChange,
    ) -> Result<Option<UpcomingMaintenance>, OperationError> {
        let ended = || OperationError::new(Code::Unavailable, "the aggregator is shutting down");
        let (answer, changed) = oneshot::channel();
        let message = StateMessage::ChangePlannedMaintenance(change, answer);
        self.inbox.send(message).await.map_err(|_| ended())?;
        let changed = changed.await.map_err(|_| ended())?;
        // It survives a restart from now on; if it cannot be written, the overview shows that.
        self.confirm_change().await?;
        Ok(changed)
    }
}

/// Returns the only begin of a request.
///
/// # Errors
/// Returns an error if there is none, or both.
fn single_begin(at: Option<String>, every: Option<String>) -> Result<Begins, OperationError> {
    match (at, every) {
        (Some(at), None) => Ok(Begins::At(at)),
        (None, Some(every)) => Ok(Begins::Every(every)),
        _ => Err(invalid("say when it begins: either once, at a time, or every certain days")),
    }
}

/// Returns the name of this host's time zone; UTC if it has none.
pub(crate) fn own_time_zone() -> String {
    let zone = TimeZone::try_system().ok();
    let name = zone.as_ref().filter(|zone| !zone.is_unknown()).and_then(TimeZone::iana_name);
    name.unwrap_or("UTC").to_owned()
}

fn not_planned(id: u64) -> OperationError {
    not_found(format!("there is no planned maintenance {id}; see rta maintenance list"))
}

fn invalid(message: impl Into<String>) -> OperationError {
    OperationError::new(Code::InvalidArgument, message)
}
