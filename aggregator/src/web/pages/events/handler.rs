//! Events, as a page and as JSON for scripts.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use rta_shared::event::Event;
use rta_shared::selector::Selector;
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::view;
use crate::api::Operations;
use crate::api::history::{EventFilter, parse_since};
use crate::operation_error::OperationError;
use crate::web::pages::events::view::{EventForm, MAX_LISTED};
use crate::web::problem::ApiProblem;
use crate::web::request_context::RequestContext;

/// Query parameters, all as text: a form sends unused fields as empty ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub(crate) struct EventsQuery {
    environment: String,
    host: String,
    component: String,
    /// Kinds, separated by commas.
    kind: String,
    plan: String,
    person: String,
    incident: String,
    since: String,
    before: String,
    limit: String,
}

impl EventsQuery {
    /// Returns the filter for the events, relative to `now`.
    ///
    /// # Errors
    /// Returns an error if a number or a time cannot be read.
    pub(crate) fn to_filter(&self, now: Timestamp) -> Result<EventFilter, OperationError> {
        let invalid = |message: String| OperationError::new(Code::InvalidArgument, message);
        let number = parse_number;
        let kinds = self.kind.split(',').map(str::trim).filter(|word| !word.is_empty());
        Ok(EventFilter {
            since: match self.since.trim() {
                "" => None,
                text => Some(parse_since(text, now).map_err(invalid)?),
            },
            before: number("before", &self.before)?,
            after: None,
            selector: Selector {
                environment: self.environment.trim().to_owned(),
                host: self.host.trim().to_owned(),
                component: self.component.trim().to_owned(),
            },
            kinds: kinds.map(str::to_owned).collect(),
            plan: number("plan", &self.plan)?,
            person: self.person.trim().to_owned(),
            incident: number("incident", &self.incident)?,
            limit: number("limit", &self.limit)?
                .map_or(0, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        })
    }
}

impl EventsQuery {
    /// Returns the values of the page's form.
    pub(crate) fn form(&self) -> EventForm {
        let Self { environment, host, component, kind, plan, person, incident, since, .. } = self.clone();
        EventForm { environment, host, component, kind, plan, person, incident, since }
    }

    /// Returns the address of the page's live changes; `None`: it shows older events, which do not change.
    fn live_address(&self) -> Option<String> {
        self.before.trim().is_empty().then(|| self.form().address("/live/events", None))
    }
}

/// Answers `GET /events`.
pub(crate) async fn events_page(
    State(operations): State<Operations>,
    context: RequestContext,
    Query(query): Query<EventsQuery>,
) -> Response {
    let found = async {
        // One more than is shown is requested, to detect older ones.
        let filter = EventFilter { limit: MAX_LISTED + 1, ..query.to_filter(Timestamp::now())? };
        operations.list_events(&filter).await
    };
    let events = found.await;
    let parts = view::parts(&events, &query.form(), &operations.overview());
    let live = events.is_ok().then(|| query.live_address()).flatten();
    let markup = view::events(&context, &parts, &query.form(), live, &operations.overview());
    let status = events.as_ref().map_or_else(error_status, |_| StatusCode::OK);
    (status, [(CACHE_CONTROL, "no-store")], markup).into_response()
}

#[derive(Serialize)]
struct EventList {
    events: Vec<Event>,
    /// Value of `before` for the next page; `None` if there are no older events.
    next_before: Option<u64>,
}

/// Answers `GET /api/v1/events`, the newest first.
pub(crate) async fn events_json(
    State(operations): State<Operations>,
    Query(query): Query<EventsQuery>,
) -> Result<Response, ApiProblem> {
    let filter = query.to_filter(Timestamp::now())?;
    let events = operations.list_events(&filter).await?;
    // The store may answer with fewer than were requested, to limit the size of the answer.
    let next_before = match events.last() {
        Some(last) => {
            let older = EventFilter { before: Some(last.id), limit: 1, ..filter };
            let is_more = !operations.list_events(&older).await?.is_empty();
            is_more.then_some(last.id)
        }
        None => None,
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(EventList { events, next_before })).into_response())
}

/// Parses a number in an address; `None` if it is empty.
///
/// # Errors
/// Returns an error if it is no number.
pub(crate) fn parse_number(key: &str, text: &str) -> Result<Option<u64>, OperationError> {
    let invalid = |_| OperationError::new(Code::InvalidArgument, format!("{key} has to be a number"));
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(invalid),
    }
}

pub(crate) fn error_status(error: &OperationError) -> StatusCode {
    match error.code {
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn an_address_is_read_and_slips_in_it_are_told() {
        let now = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(48);
        let query = EventsQuery {
            kind: "health, host,".to_owned(),
            since: "1d".to_owned(),
            before: "7".to_owned(),
            ..EventsQuery::default()
        };
        let filter = query.to_filter(now).unwrap();
        assert_eq!(filter.kinds, ["health", "host"]);
        assert_eq!((filter.since.unwrap().as_second(), filter.before, filter.limit), (86_400, Some(7), 0));
        for (query, expected) in [
            (EventsQuery { before: "x".to_owned(), ..EventsQuery::default() }, "before has to be a number"),
            (EventsQuery { since: "soon".to_owned(), ..EventsQuery::default() }, "\"soon\" is no time"),
        ] {
            assert!(query.to_filter(now).unwrap_err().message.starts_with(expected));
        }
    }
}
