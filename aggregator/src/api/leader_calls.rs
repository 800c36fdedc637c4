//! Operations that the leader carries out, on behalf of a person who asked this aggregator.

use std::sync::Arc;
use std::time::Duration;

use rta_shared::action::{ActionKind, Requester};
use rta_shared::maintenance::Maintenance;
use rta_shared::plan::{ActionRequest, ExecutionOptions, PlanEvent};
use rta_shared::planned_maintenance::UpcomingMaintenance;
use rta_shared::proto::v1;
use tonic::{Code, Status};

use super::Operations;
use super::history::MaintenanceRequest;
use super::planned_maintenance::PlanMaintenanceRequest;
use super::plans::BeginPlanError;
use crate::forwarding::LeaderRoute;
use crate::operation_error::OperationError;
use crate::plans::confirmation;
use crate::plans::run::PlanRun;

/// Time limit for an answer of the leader. A plan may wait for the first reports of hosts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

impl Operations {
    /// Has the leader begin the plan for a request, and returns the plan, which goes on as the record shows
    /// it.
    ///
    /// # Errors
    /// Returns the leader's refusal, or an error if it does not answer.
    pub(super) async fn begin_plan_at_leader(
        &self,
        route: &LeaderRoute,
        kind: ActionKind,
        request: &ActionRequest,
        options: ExecutionOptions,
        by: &Requester,
    ) -> Result<Arc<PlanRun>, BeginPlanError> {
        let ExecutionOptions { everything, agreed, keep_going, parallel } = options.clone();
        let agreed = agreed.iter().map(Into::into).collect();
        let options_message =
            v1::PlanOptions { everything, agreed, keep_going, parallel, user: by.user.clone() };
        let message = v1::AggregatorServiceActRequest {
            kind: v1::ActionKind::from(kind).into(),
            selection: Some(request.into()),
            options: Some(options_message),
        };
        let mut client = route.client();
        let first = async {
            let mut events = client.act(route.request(message, by)).await?.into_inner();
            // The plan goes on without this stream.
            events.message().await
        };
        let first = match answer_in_time(route, first).await {
            Ok(first) => first.and_then(|message| message.event),
            Err(error) if error.code == Code::FailedPrecondition => {
                return Err(self.explain_refusal(kind, request, &options, error).await);
            }
            Err(error) => return Err(error.into()),
        };
        let begun = match first.map(PlanEvent::try_from) {
            Some(Ok(PlanEvent::Begun(begun))) => begun,
            Some(Err(error)) => return Err(OperationError::new(Code::Internal, error.to_string()).into()),
            Some(Ok(_)) | None => {
                let message = "the leader did not say which plan it began; see rta events";
                return Err(OperationError::new(Code::Internal, message).into());
            }
        };
        // The record may have shown it already.
        let (id, changes) = (begun.id, self.plan_registry.changes().clone());
        let begun = Arc::new(PlanRun::new(begun, self.events.clone(), changes));
        Ok(self.plan_registry.find(id).unwrap_or_else(|| {
            self.plan_registry.add(Arc::clone(&begun));
            begun
        }))
    }

    /// Returns the reason why the leader did not begin a plan: with the plan, if something has to be
    /// confirmed.
    async fn explain_refusal(
        &self,
        kind: ActionKind,
        request: &ActionRequest,
        options: &ExecutionOptions,
        refusal: OperationError,
    ) -> BeginPlanError {
        match self.plan(kind, request).await {
            Ok(plan) if !confirmation::unconfirmed_effects(&plan, options).is_empty() => {
                BeginPlanError::Unconfirmed { plan, sentence: refusal.message }
            }
            Ok(_) | Err(_) => BeginPlanError::Refused(refusal),
        }
    }

    /// Has the leader cancel a plan. Returns the number of skipped steps.
    ///
    /// # Errors
    /// Returns the leader's refusal, or an error if it does not answer.
    pub(super) async fn cancel_plan_at_leader(
        &self,
        route: &LeaderRoute,
        plan: u64,
        by: &Requester,
    ) -> Result<usize, OperationError> {
        let mut client = route.client();
        let request = route.request(v1::CancelPlanRequest { plan_id: plan }, by);
        let answer = answer_in_time(route, client.cancel_plan(request)).await?.into_inner();
        Ok(usize::try_from(answer.skipped).unwrap_or(usize::MAX))
    }

    /// Has the leader begin or end maintenance. Returns the affected maintenance.
    ///
    /// # Errors
    /// Returns the leader's refusal, or an error if it does not answer.
    pub(super) async fn set_maintenance_at_leader(
        &self,
        route: &LeaderRoute,
        request: MaintenanceRequest,
        by: &Requester,
    ) -> Result<Vec<Maintenance>, OperationError> {
        let mut client = route.client();
        let message = request.into_message(by);
        let answer = answer_in_time(route, client.set_maintenance(route.request(message, by))).await?;
        let changed = answer.into_inner().changed.into_iter().map(Maintenance::try_from);
        let changed: Result<Vec<Maintenance>, _> = changed.collect();
        changed.map_err(|error| OperationError::new(Code::Internal, error.to_string()))
    }

    /// Has the leader plan maintenance. Returns it when it is shown here, too.
    ///
    /// # Errors
    /// Returns the leader's refusal, or an error if it does not answer.
    pub(super) async fn plan_maintenance_at_leader(
        &self,
        route: &LeaderRoute,
        request: PlanMaintenanceRequest,
        by: &Requester,
    ) -> Result<UpcomingMaintenance, OperationError> {
        let mut client = route.client();
        let message = route.request(request.into_message(by)?, by);
        let answer = answer_in_time(route, client.plan_maintenance(message)).await?.into_inner();
        self.followed_plan(answer.planned).await
    }

    /// Has the leader cancel planned maintenance. Returns it when it is not shown here any more, either.
    ///
    /// # Errors
    /// Returns the leader's refusal, or an error if it does not answer.
    pub(super) async fn cancel_planned_at_leader(
        &self,
        route: &LeaderRoute,
        id: u64,
        by: &Requester,
    ) -> Result<UpcomingMaintenance, OperationError> {
        let mut client = route.client();
        let message = v1::CancelPlannedMaintenanceRequest { id, user: by.user.clone() };
        let request = route.request(message, by);
        let answer = answer_in_time(route, client.cancel_planned_maintenance(request)).await?.into_inner();
        self.followed_plan(answer.planned).await
    }

    /// Returns planned maintenance of the leader's answer, once the record is read to here.
    async fn followed_plan(
        &self,
        planned: Option<v1::PlannedMaintenance>,
    ) -> Result<UpcomingMaintenance, OperationError> {
        let planned = planned.map(UpcomingMaintenance::try_from);
        let planned = planned.and_then(Result::ok).ok_or_else(|| {
            OperationError::new(Code::Internal, "the leader's answer is incomplete; see rta maintenance list")
        })?;
        self.store.flush().await;
        // The state actor shows what the store has read.
        self.flushed_overview().await;
        Ok(planned)
    }

    /// Has another aggregator test a channel of the notifications.
    ///
    /// # Errors
    /// Returns its refusal, or an error if it does not answer.
    pub(super) async fn test_notification_at_leader(
        &self,
        route: &LeaderRoute,
        channel: String,
        by: &Requester,
    ) -> Result<(), OperationError> {
        let mut client = route.client();
        let message = v1::TestNotificationRequest { channel, user: by.user.clone() };
        answer_in_time(route, client.test_notification(route.request(message, by))).await.map(drop)
    }

    /// Asks another aggregator for the state of its notifications.
    ///
    /// # Errors
    /// Returns its refusal, or an error if it does not answer.
    pub(super) async fn notify_status_at_leader(
        &self,
        route: &LeaderRoute,
        by: &Requester,
    ) -> Result<v1::GetNotifyStatusResponse, OperationError> {
        let mut client = route.client();
        let call = client.get_notify_status(route.request(v1::GetNotifyStatusRequest {}, by));
        Ok(answer_in_time(route, call).await?.into_inner())
    }

    /// Has another aggregator replay the recorded past as notifications.
    ///
    /// # Errors
    /// Returns its refusal, or an error if it does not answer.
    pub(super) async fn dry_run_at_leader(
        &self,
        route: &LeaderRoute,
        request: v1::DryRunNotificationsRequest,
        by: &Requester,
    ) -> Result<v1::DryRunNotificationsResponse, OperationError> {
        let mut client = route.client();
        let call = client.dry_run_notifications(route.request(request, by));
        Ok(answer_in_time(route, call).await?.into_inner())
    }

    /// Has the leader begin the plan of a request, and returns the stream of its events.
    ///
    /// # Errors
    /// Returns the leader's refusal, or an error if it does not answer.
    pub(crate) async fn stream_plan_at_leader(
        &self,
        route: &LeaderRoute,
        message: v1::AggregatorServiceActRequest,
        by: &Requester,
    ) -> Result<tonic::Streaming<v1::AggregatorServiceActResponse>, OperationError> {
        let mut client = route.client();
        Ok(answer_in_time(route, client.act(route.request(message, by))).await?.into_inner())
    }
}

/// Returns the leader's answer.
async fn answer_in_time<T>(
    route: &LeaderRoute,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, OperationError> {
    answer_within(route, ANSWER_TIMEOUT, call).await
}

/// Returns the leader's answer, if it comes within the limit.
pub(super) async fn answer_within<T>(
    route: &LeaderRoute,
    limit: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, OperationError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|status| route.describe_failure(&status)),
        Err(elapsed) => Err(route.unknown_outcome(&elapsed)),
    }
}
