//! Page of one instance, and preview of an action on it.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use jiff::{SignedDuration, Timestamp};
use rta_shared::action::ActionKind;
use rta_shared::overview::InstanceId;
use serde::Deserialize;

use super::view;
use crate::api::Operations;
use crate::api::history::EventFilter;
use crate::operation_error::OperationError;
use crate::web::action_subject::{ActionSubject, RollingFields};
use crate::web::instance_query::InstanceQuery;
use crate::web::pages::instance::details::InstanceDetails;
use crate::web::pages::log::handler::read_tail;
use crate::web::pages::plan;
use crate::web::pages::plan::handler::refusal_page;
use crate::web::parts::layout;
use crate::web::request_context::RequestContext;

/// Number of recent events shown.
const SHOWN_EVENTS: usize = 10;
/// Number of log lines shown.
const SHOWN_LINES: u32 = 40;
/// Length of the timeline.
const TIMELINE_LENGTH: SignedDuration = SignedDuration::from_hours(24);
/// Time limit for requests to the agent: a hanging one must not block the page.
const AGENT_TIMEOUT: Duration = Duration::from_secs(3);

/// Answers `GET /instance`.
pub(crate) async fn instance_page(
    State(operations): State<Operations>,
    context: RequestContext,
    Query(query): Query<InstanceQuery>,
) -> Response {
    let detail = match operations.instance_definition(&query.into()).await {
        Ok(detail) => detail,
        Err(error) => return refusal_page(&context, "There is no such page", &error),
    };
    let details = load_details(&operations, &detail.id).await;
    let markup = view::detail(&detail, &details, &operations.overview(), &context, Timestamp::now());
    ([(CACHE_CONTROL, "no-store")], markup).into_response()
}

/// Returns the current details of an instance beyond the overview.
pub(crate) async fn load_details(operations: &Operations, id: &InstanceId) -> InstanceDetails {
    let overview = operations.overview();
    let found = overview.find(id);
    let is_there = found.is_some_and(|located| located.host.reachable);
    let has_log = found.is_some_and(|located| located.instance.has_log);
    let asked = EventFilter { selector: id.into(), limit: SHOWN_EVENTS, ..EventFilter::default() };
    let (processes, events, timeline, log) = tokio::join!(
        async {
            match is_there {
                true => with_timeout(operations.inspect_processes(&id.into())).await,
                false => Err("its host cannot be seen".to_owned()),
            }
        },
        async { operations.list_events(&asked).await.map_err(|error| error.message) },
        async { operations.timeline(id, TIMELINE_LENGTH).await.map_err(|error| error.message) },
        async {
            match has_log && is_there {
                true => Some(read_tail(operations, id, SHOWN_LINES, AGENT_TIMEOUT).await),
                false => None,
            }
        },
    );
    InstanceDetails { processes, events, timeline, used: operations.recent_usage(id), log }
}

async fn with_timeout<T>(work: impl Future<Output = Result<T, OperationError>>) -> Result<T, String> {
    match tokio::time::timeout(AGENT_TIMEOUT, work).await {
        Ok(done) => done.map_err(|error| error.message),
        Err(_) => Err(format!("its agent did not answer within {} s", AGENT_TIMEOUT.as_secs())),
    }
}

/// Query parameters of a preview: an action, such as `action=stop`, and an instance; or a component and the
/// batches of its restart.
#[derive(Debug, Deserialize)]
pub(crate) struct PreviewQuery {
    action: String,
    environment: String,
    /// Empty for batches.
    #[serde(default)]
    host: String,
    component: String,
    #[serde(flatten)]
    rolling: RollingFields,
}

/// Answers `GET /preview`: the effects of an action, and the button that begins it.
pub(crate) async fn preview_page(
    State(operations): State<Operations>,
    context: RequestContext,
    Query(query): Query<PreviewQuery>,
) -> Response {
    let PreviewQuery { action, environment, host, component, rolling } = query;
    let Some(kind) = ActionKind::from_word(&action).filter(|_| context.may_act) else {
        let text = if context.may_act { "There is no such action." } else { "You may look, and not act." };
        return (StatusCode::FORBIDDEN, layout::message(&context, "Not like this", text)).into_response();
    };
    let subject = match rolling.batch.is_empty() {
        true => Ok(ActionSubject::Instance(InstanceId {
            environment: environment.into(),
            host: host.into(),
            component: component.into(),
        })),
        false => rolling.into_subject(environment, component).map(ActionSubject::Rolling),
    };
    let planned = match &subject {
        Ok(subject) => operations.plan(kind, &subject.to_request()).await.map(|plan| (subject, plan)),
        Err(error) => Err(error.clone()),
    };
    match planned {
        Ok((subject, plan)) => {
            let markup =
                plan::confirmation::confirmation_page(&context, subject, &plan, &operations.overview());
            ([(CACHE_CONTROL, "no-store")], markup).into_response()
        }
        Err(error) => refusal_page(&context, "That cannot be done", &error),
    }
}
