//! Answers to "what if": the overview as it would be after an action, or without a host.

use rta_shared::action::ActionKind;
use rta_shared::overview::{ComponentAliases, Overview};
use rta_shared::selector::{NameIndex, Purpose, Selector};
use rta_shared::what_if::{WhatIfAssumption, WhatIfOverview};
use tokio::sync::oneshot;
use tonic::Code;

use super::Operations;
use crate::clock::ClockPair;
use crate::operation_error::OperationError;
use crate::plans::confirmation::request_subject;
use crate::plans::request::plan_request;
use crate::state::actor::StateMessage;
use crate::state::evaluation_input::EvaluationInput;
use crate::state::what_if::{assume_host_down, assume_plan, health_changes};

impl Operations {
    /// Returns the overview as it would be under an assumption. Nothing is done, and the state actor only
    /// copies pointers: the evaluation runs apart from it.
    ///
    /// # Errors
    /// Returns an error if the assumption names something unknown, or an action for which there is no plan.
    pub(crate) async fn what_if(
        &self,
        assumption: WhatIfAssumption,
    ) -> Result<WhatIfOverview, OperationError> {
        let ended = || OperationError::new(Code::Unavailable, "the aggregator is shutting down");
        let (reply, input) = oneshot::channel();
        self.inbox.send(StateMessage::CopyInput(reply)).await.map_err(|_| ended())?;
        let (input, live) = (input.await.map_err(|_| ended())?, self.overview());
        let answered =
            tokio::task::spawn_blocking(move || answer(input, &assumption, &live, ClockPair::now()));
        answered.await.unwrap_or_else(|error| {
            Err(OperationError::new(Code::Internal, format!("the aggregator failed: {error}")))
        })
    }
}

/// Returns the overview as it would be under `assumption`. What is not evaluated is as in the `live`
/// overview.
fn answer(
    mut input: EvaluationInput,
    assumption: &WhatIfAssumption,
    live: &Overview,
    now: ClockPair,
) -> Result<WhatIfOverview, OperationError> {
    // Evaluated again, so that only the assumption makes a difference.
    let before = input.evaluate(now);
    let overview = |environments| Overview {
        generated_at: now.wall,
        environments,
        config_digest: input.platform.digest.clone(),
        config_error: live.config_error.clone(),
        impairments: live.impairments.clone(),
        aliases: ComponentAliases::list(&input.platform),
        leaders: Vec::new(),
    };
    let present = overview(before);
    let (clause, plan, notes) = match assumption {
        WhatIfAssumption::Action(ActionKind::Restart, _) => {
            let message = "a restart ends as it began; ask what would be if it were stopped";
            return Err(OperationError::new(Code::InvalidArgument, message));
        }
        WhatIfAssumption::Action(kind, request) => {
            let plan = plan_request(*kind, &input.platform, &input.graph, &present, request)?;
            let done = if *kind == ActionKind::Stop { "stopped" } else { "started" };
            let clause = format!("{} were {done}", request_subject(&plan, request));
            let notes = assume_plan(&mut input, &plan, now.wall);
            (clause, Some(plan), notes)
        }
        WhatIfAssumption::HostDown { environment, host } => {
            let (at, name) = find_host(&input, environment, host)?;
            (format!("host {name} were down"), None, assume_host_down(&mut input, at).into_iter().collect())
        }
    };
    let after = input.evaluate(now);
    let changes = health_changes(&present.environments, &after);
    let overview = Overview { environments: after, ..present };
    Ok(WhatIfOverview { assumption: clause, plan, changes, notes, overview })
}

/// Returns the position and the name of the host that a user names.
fn find_host(
    input: &EvaluationInput,
    environment: &str,
    host: &str,
) -> Result<(usize, String), OperationError> {
    if host.trim().is_empty() {
        return Err(OperationError::new(Code::InvalidArgument, "name the host that is assumed to be down"));
    }
    let selector =
        Selector { environment: environment.to_owned(), host: host.to_owned(), component: String::new() };
    let name = selector.resolve(&NameIndex::from(input.platform.as_ref()), Purpose::Reading)?.host;
    let at = input.platform.hosts().position(|host| Some(&host.name) == name);
    at.zip(name).map(|(at, name)| (at, name.to_string())).ok_or_else(|| {
        OperationError::new(Code::NotFound, format!("host {host} is not in the configuration"))
    })
}
