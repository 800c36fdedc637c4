//! Calls about maintenance, present and planned.

use rta_shared::maintenance::Maintenance;
use rta_shared::planned_maintenance::UpcomingMaintenance;
use rta_shared::proto::{ProtocolError, v1};
use rta_shared::timing::RESPONSE_TIMEOUT;

use super::AggregatorClient;
use crate::exit::CommandFailure;

impl AggregatorClient {
    /// Starts or ends maintenance and returns the changed entries.
    pub(crate) async fn set_maintenance(
        &self,
        request: v1::SetMaintenanceRequest,
    ) -> Result<Vec<Maintenance>, CommandFailure> {
        let mut calls = self.calls.clone();
        let changed = self.await_response(RESPONSE_TIMEOUT, calls.set_maintenance(request)).await?.changed;
        let changed: Result<_, _> = changed.into_iter().map(Maintenance::try_from).collect();
        changed.map_err(|error| self.invalid_response(&error))
    }

    /// Plans maintenance and returns it.
    pub(crate) async fn plan_maintenance(
        &self,
        request: v1::PlanMaintenanceRequest,
    ) -> Result<UpcomingMaintenance, CommandFailure> {
        let mut calls = self.calls.clone();
        let planned = self.await_response(RESPONSE_TIMEOUT, calls.plan_maintenance(request)).await?.planned;
        self.parse_planned(planned)
    }

    /// Returns the planned maintenance.
    pub(crate) async fn planned_maintenance(&self) -> Result<Vec<UpcomingMaintenance>, CommandFailure> {
        let mut calls = self.calls.clone();
        let request = v1::ListPlannedMaintenanceRequest {};
        let response = self.await_response(RESPONSE_TIMEOUT, calls.list_planned_maintenance(request)).await?;
        response.planned.into_iter().map(|planned| self.parse_planned(Some(planned))).collect()
    }

    /// Cancels planned maintenance and returns it.
    pub(crate) async fn cancel_planned_maintenance(
        &self,
        id: u64,
        user: String,
    ) -> Result<UpcomingMaintenance, CommandFailure> {
        let mut calls = self.calls.clone();
        let request = v1::CancelPlannedMaintenanceRequest { id, user };
        let response =
            self.await_response(RESPONSE_TIMEOUT, calls.cancel_planned_maintenance(request)).await?;
        self.parse_planned(response.planned)
    }

    fn parse_planned(
        &self,
        planned: Option<v1::PlannedMaintenance>,
    ) -> Result<UpcomingMaintenance, CommandFailure> {
        let planned = planned.ok_or(ProtocolError::Missing("planned"));
        planned.and_then(TryInto::try_into).map_err(|error| self.invalid_response(&error))
    }
}
