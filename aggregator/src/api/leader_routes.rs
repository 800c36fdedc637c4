//! Finds the leaders that carry a request out: of several aggregators, those of its environments.

use std::sync::Arc;

use rta_shared::action::ActionKind;
use rta_shared::name::Name;
use rta_shared::plan::{ActionRequest, Plan};
use tonic::Code;

use super::Operations;
use crate::api::environment_leads::{EnvironmentLeader, EnvironmentLeads};
use crate::auth::ActingCaller;
use crate::operation_error::OperationError;
use crate::plans::selection::{retain_stopped_by, select_instances};

impl Operations {
    /// Returns the leader of an environment: these operations, unless this is one of several aggregators.
    ///
    /// # Errors
    /// Returns an error if nobody certainly leads, if the leader cannot be asked on behalf of the caller, or
    /// if the request was passed on already: it goes from the first aggregator to the leader, and no further.
    pub(crate) async fn environment_leader(
        &self,
        environment: &Name,
        caller: &ActingCaller,
    ) -> Result<EnvironmentLeader, OperationError> {
        let Some(leads) = &self.leads else { return Ok(EnvironmentLeader::Here(Box::new(self.clone()))) };
        let leader = leads.find(environment).await?;
        if let EnvironmentLeader::There(_) = leader {
            if caller.is_forwarded {
                let message = format!(
                    "nothing was done: this aggregator does not lead {environment} any more; try again in some seconds"
                );
                return Err(OperationError::new(Code::Unavailable, message));
            }
            caller.check_forwarded()?;
        }
        Ok(leader)
    }

    /// Returns the leader that carries out the plan for a request.
    ///
    /// # Errors
    /// Returns the errors of [`Self::environment_leader`], and an error if the request names nothing, or
    /// instances of several environments that different aggregators lead.
    pub(crate) async fn plan_leader(
        &self,
        kind: ActionKind,
        request: &ActionRequest,
        caller: &ActingCaller,
    ) -> Result<EnvironmentLeader, OperationError> {
        let Some(leads) = &self.leads else { return Ok(EnvironmentLeader::Here(Box::new(self.clone()))) };
        let environments = self.named_environments(request).await?;
        match environments.as_slice() {
            [environment] => self.environment_leader(environment, caller).await,
            several => self.common_leader(leads, kind, several, caller).await,
        }
    }

    /// Returns the aggregator that leads all these environments.
    ///
    /// # Errors
    /// Returns the errors of [`Self::environment_leader`], and an error if different aggregators lead them.
    async fn common_leader(
        &self,
        leads: &EnvironmentLeads,
        kind: ActionKind,
        environments: &[Name],
        caller: &ActingCaller,
    ) -> Result<EnvironmentLeader, OperationError> {
        let mut leaders = Vec::new();
        for environment in environments {
            leaders.push(self.environment_leader(environment, caller).await?);
        }
        let is_common = leaders.windows(2).all(|two| match two {
            [EnvironmentLeader::Here(_), EnvironmentLeader::Here(_)] => true,
            [EnvironmentLeader::There(one), EnvironmentLeader::There(next)] => one.leader() == next.leader(),
            _ => false,
        });
        if !is_common {
            let led: Vec<String> =
                environments.iter().map(|environment| leads.describe_leader(environment)).collect();
            let message = format!(
                "nothing was done: different aggregators lead the environments of this {kind} ({}); act on one \
                 environment at a time, with --env",
                led.join("; ")
            );
            return Err(OperationError::new(Code::FailedPrecondition, message));
        }
        Ok(match leaders.into_iter().next() {
            Some(EnvironmentLeader::There(route)) => EnvironmentLeader::There(route),
            Some(EnvironmentLeader::Here(_)) | None => EnvironmentLeader::Here(Box::new(self.clone())),
        })
    }

    /// Returns the operations that carry out a plan: these, or of several aggregators those that act in all
    /// environments of the plan, and record it as one of the environment of its first step.
    ///
    /// # Errors
    /// Returns an error if an environment of the plan is not certainly led here.
    pub(super) fn plan_operations(&self, plan: &Plan) -> Result<Self, OperationError> {
        if self.leads.is_none() {
            self.leadership.acting_epoch()?;
            return Ok(self.clone());
        }
        let mut acting: Vec<(&Name, Self)> = Vec::new();
        for environment in plan.steps.iter().map(|step| &step.instance.environment) {
            if acting.iter().all(|(known, _)| *known != environment) {
                let operations = self.operations_in(environment)?;
                operations.leadership.acting_epoch()?;
                acting.push((environment, operations));
            }
        }
        let (_, first) = acting.into_iter().next().ok_or_else(|| {
            OperationError::new(Code::FailedPrecondition, "nothing was done: the plan has no steps")
        })?;
        Ok(Self {
            events: first.events,
            store: first.store,
            plan_registry: first.plan_registry,
            leadership: first.leadership,
            plan_tasks: first.plan_tasks,
            tasks: first.tasks,
            shutdown: first.shutdown,
            ..self.clone()
        })
    }

    /// Returns the operations that carry out steps in an environment: these, unless they are of several
    /// environments.
    ///
    /// # Errors
    /// Returns an error if the environment is not led here any more.
    pub(super) fn operations_in(&self, environment: &Name) -> Result<Self, OperationError> {
        match &self.leads {
            None => Ok(self.clone()),
            Some(leads) => leads.running(environment).ok_or_else(|| leads.explain_unled(environment)),
        }
    }

    /// Returns the environments of the instances that a request names, in the configuration's order. Never
    /// empty.
    async fn named_environments(&self, request: &ActionRequest) -> Result<Vec<Name>, OperationError> {
        let (inventory, overview, request) = (self.inventory(), self.overview(), request.clone());
        // For a large platform this takes a while.
        let found = tokio::task::spawn_blocking(move || {
            let mut selected = select_instances(&inventory.platform, &request)?;
            let graph = inventory.graph();
            if request.stopped_by != 0 {
                retain_stopped_by(request.stopped_by, &mut selected, graph, &overview)?;
            }
            let mut environments: Vec<Name> = Vec::new();
            for at in selected.positions {
                let environment = &graph.id(at).environment;
                if !environments.contains(environment) {
                    environments.push(environment.clone());
                }
            }
            Ok(environments)
        });
        found.await.unwrap_or_else(|error| {
            Err(OperationError::new(Code::Internal, format!("the aggregator failed: {error}")))
        })
    }

    /// Returns the leader of the environment of a plan: of several, that of its first step.
    ///
    /// # Errors
    /// Returns the errors of [`Self::environment_leader`], and an error if the plan is not known.
    pub(super) async fn leader_of_plan(
        &self,
        plan: u64,
        caller: &ActingCaller,
    ) -> Result<EnvironmentLeader, OperationError> {
        if self.leads.is_none() {
            return Ok(EnvironmentLeader::Here(Box::new(self.clone())));
        }
        let plan_run = self.find_plan(plan).await?;
        let environment = plan_run.begun().plan.steps.first().map(|step| step.instance.environment.clone());
        match environment {
            Some(environment) => self.environment_leader(&environment, caller).await,
            None => {
                let message = format!("plan {plan} has no steps; there is nothing to cancel");
                Err(OperationError::new(Code::FailedPrecondition, message))
            }
        }
    }

    /// Returns the operations that carry plans out here: those of the environments that this aggregator
    /// leads.
    pub(super) fn acting_operations(&self) -> Vec<Self> {
        match &self.leads {
            None => vec![self.clone()],
            Some(leads) => leads.all_running().into_iter().map(|(_, operations)| operations).collect(),
        }
    }

    /// Returns the plans of this aggregator's own terms, by which those of the record are replaced.
    pub(super) fn live_plan(&self, plan: u64) -> Option<Arc<crate::plans::run::PlanRun>> {
        let leads = self.leads.as_ref()?;
        leads.all_running().iter().find_map(|(_, operations)| operations.plan_registry.find(plan))
    }
}
