//! Page of one instance, and preview of an action on it.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use jiff::{SignedDuration, Timestamp};
use rta_shared::action::ActionKind;
use rta_shared::overview::InstanceId;
use rta_shared::plan::ActionRequest;
use serde::Deserialize;

use super::action_subject::ActionSubject;
use super::actions::{id_of, refused};
use super::log::tail;
use super::page::{self, LookedUp};
use super::viewer::Viewer;
use super::which::Which;
use crate::history::Asked;
use crate::operation_error::OperationError;
use crate::operations::Operations;

/// Number of recent events shown.
const EVENTS: usize = 10;
/// Number of log lines shown.
const LINES: u32 = 40;
/// Length of the timeline.
const LENGTH: SignedDuration = SignedDuration::from_hours(24);
/// Time limit for requests to the agent: a hanging one must not block the page.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers `GET /instance`.
pub(super) async fn instance(
    State(operations): State<Operations>,
    viewer: Viewer,
    Query(which): Query<Which>,
) -> Response {
    let detail = match operations.detail(&which.into()).await {
        Ok(detail) => detail,
        Err(error) => return refused(&viewer, "There is no such page", &error),
    };
    let looked_up = look_up(&operations, &detail.id).await;
    let markup = page::detail(&detail, &looked_up, &operations.overview(), &viewer, Timestamp::now());
    ([(CACHE_CONTROL, "no-store")], markup).into_response()
}

/// Returns the current details of an instance beyond the overview.
pub(super) async fn look_up(operations: &Operations, id: &InstanceId) -> LookedUp {
    let overview = operations.overview();
    let found = overview.find(id);
    let is_there = found.is_some_and(|located| located.host.reachable);
    let has_log = found.is_some_and(|located| located.instance.has_log);
    let asked = Asked { selector: id.into(), limit: EVENTS, ..Asked::default() };
    let (processes, events, strip, log) = tokio::join!(
        async {
            match is_there {
                true => in_time(operations.inspect(&id.into())).await,
                false => Err("its host cannot be seen".to_owned()),
            }
        },
        async { operations.events(&asked).await.map_err(|error| error.message) },
        async { operations.strip(id, LENGTH).await.map_err(|error| error.message) },
        async {
            match has_log && is_there {
                true => Some(tail(operations, id, LINES, PATIENCE).await),
                false => None,
            }
        },
    );
    LookedUp { processes, events, strip, used: operations.usage_of(id), log }
}

async fn in_time<T>(work: impl Future<Output = Result<T, OperationError>>) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done.map_err(|error| error.message),
        Err(_) => Err(format!("its agent did not answer within {} s", PATIENCE.as_secs())),
    }
}

/// Query parameters of a preview: an action, such as `action=stop`, and an instance.
#[derive(Debug, Deserialize)]
pub(super) struct Considered {
    action: String,
    environment: String,
    host: String,
    component: String,
}

/// Answers `GET /preview`: the effects of an action, and the button that begins it.
pub(super) async fn preview(
    State(operations): State<Operations>,
    viewer: Viewer,
    Query(considered): Query<Considered>,
) -> Response {
    let Considered { action, environment, host, component } = considered;
    let known = [ActionKind::Start, ActionKind::Stop, ActionKind::Restart];
    let kind = known.into_iter().find(|kind| kind.word() == action);
    let Some(kind) = kind.filter(|_| viewer.may_act) else {
        let text = if viewer.may_act { "There is no such action." } else { "You may look, and not act." };
        return (StatusCode::FORBIDDEN, page::message(&viewer, "Not like this", text)).into_response();
    };
    let wish = ActionRequest { component, environment, host, ..ActionRequest::default() };
    match operations.plan(kind, &wish).await {
        Ok(plan) => {
            let subject = ActionSubject::Instance(id_of(&wish));
            ([(CACHE_CONTROL, "no-store")], page::plan::confirmation(&viewer, &subject, &plan))
                .into_response()
        }
        Err(error) => refused(&viewer, "That cannot be done", &error),
    }
}
