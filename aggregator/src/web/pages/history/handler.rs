//! Timelines of instances, as a page and as JSON for scripts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use rta_shared::name::Name;
use rta_shared::overview::{Health, LocatedInstance, Overview};
use rta_shared::selector::{NameIndex, Purpose, Selector};
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::view;
use crate::api::Operations;
use crate::api::history::parse_length;
use crate::operation_error::OperationError;
use crate::timeline::TimelineSpan;
use crate::timeline::cache::TimelineMap;
use crate::web::pages::events::handler::error_status;
use crate::web::pages::history::listing::HistoryListing;
use crate::web::pages::history::view::HistoryFilter;
use crate::web::problem::ApiProblem;
use crate::web::request_context::RequestContext;

/// Query parameters, all as text: a form sends unused fields as empty ones.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HistoryQuery {
    environment: String,
    host: String,
    component: String,
    length: String,
    /// Number of the page, counted from 1.
    page: String,
}

impl HistoryQuery {
    /// Returns the number of the page; the first if none, or no number, is given.
    fn page(&self) -> usize {
        self.page.trim().parse().unwrap_or(1)
    }

    fn length(&self) -> Result<SignedDuration, OperationError> {
        match self.length.trim() {
            "" => Ok(SignedDuration::from_hours(24)),
            text => parse_length(text).map_err(|message| OperationError::new(Code::InvalidArgument, message)),
        }
    }

    fn selector(&self) -> Selector {
        let [environment, host, component] =
            [&self.environment, &self.host, &self.component].map(|text| text.trim().to_owned());
        Selector { environment, host, component }
    }
}

/// Returns the selected instances. The result may be empty only if no name is given.
fn select_instances<'o>(
    selector: &Selector,
    overview: &'o Overview,
) -> Result<Vec<LocatedInstance<'o>>, OperationError> {
    let index = NameIndex::from(overview);
    let selection = selector.resolve(&index, Purpose::Reading)?;
    let selected: HashSet<usize> = selection.instances.iter().map(|instance| instance.at).collect();
    let instances = overview.instances().enumerate();
    Ok(instances.filter(|(at, _)| selected.contains(at)).map(|(_, located)| located).collect())
}

/// Returns the parsed query and the timelines.
async fn load_timelines(
    operations: &Operations,
    query: &HistoryQuery,
) -> Result<(Selector, TimelineMap), OperationError> {
    let (selector, length) = (query.selector(), query.length()?);
    // Checked first, so that the whole record is not read for an unknown name or a single instance.
    let only = match select_instances(&selector, &operations.overview())?.as_slice() {
        [only] => Some(only.id()),
        _ => None,
    };
    let timelines = match only {
        Some(id) => Arc::new(HashMap::from([(id.clone(), operations.timeline(&id, length).await?)])),
        None => operations.timelines(length).await?,
    };
    Ok((selector, timelines))
}

/// Answers `GET /history`.
pub(crate) async fn history_page(
    State(operations): State<Operations>,
    context: RequestContext,
    Query(query): Query<HistoryQuery>,
) -> Response {
    let made = load_timelines(&operations, &query).await;
    let overview = operations.overview();
    let listing = made.as_ref().map_err(Clone::clone).and_then(|(selector, timelines)| {
        let all = select_instances(selector, &overview)?.into_iter().filter_map(|located| {
            // An instance that a new configuration added just now has no past.
            Some((located, timelines.get(&located.id())?))
        });
        Ok(HistoryListing::new(all.collect(), query.page(), |id| operations.recent_usage(id)))
    });
    let HistoryQuery { environment, host, component, length, page: _ } = query;
    let shown = HistoryFilter { environment, host, component, length };
    let status = listing.as_ref().err().map_or(StatusCode::OK, error_status);
    let error = listing.as_ref().err().map(|error| error.message.clone()).unwrap_or_default();
    let markup = view::history(&context, listing.map_err(|_| error.as_str()), &shown, &overview);
    (status, [(CACHE_CONTROL, "no-store")], markup).into_response()
}

#[derive(Serialize)]
struct HistoryAnswer<'f> {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    instances: Vec<InstanceHistory<'f>>,
}

#[derive(Serialize)]
struct InstanceHistory<'f> {
    environment: &'f Name,
    host: &'f Name,
    component: &'f Name,
    health: Health,
    /// Share of uptime, in percent.
    uptime: Option<f64>,
    spans: &'f [TimelineSpan],
}

/// Answers `GET /api/v1/history`.
pub(crate) async fn history_json(
    State(operations): State<Operations>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, ApiProblem> {
    let (selector, timelines) = load_timelines(&operations, &query).await?;
    let overview = operations.overview();
    let located = select_instances(&selector, &overview)?;
    let instances: Vec<InstanceHistory<'_>> = located
        .into_iter()
        .filter_map(|located| {
            let timeline = timelines.get(&located.id())?;
            Some(InstanceHistory {
                environment: &located.environment.name,
                host: &located.host.name,
                component: &located.instance.component,
                health: located.instance.health,
                uptime: timeline.uptime(),
                spans: &timeline.spans,
            })
        })
        .collect();
    let any = timelines.values().next();
    let found = HistoryAnswer {
        from: any.map(|timeline| timeline.from),
        to: any.map(|timeline| timeline.to),
        instances,
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(found)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample_overview::sample;

    fn wanted(environment: &str, host: &str, component: &str) -> Result<Vec<String>, String> {
        let operations = Operations::showing(sample());
        let query = HistoryQuery {
            environment: environment.to_owned(),
            host: format!(" {host} "),
            component: component.to_owned(),
            ..HistoryQuery::default()
        };
        let overview = operations.overview();
        let found = select_instances(&query.selector(), &overview).map_err(|error| error.message)?;
        Ok(found.iter().map(|located| located.instance.component.to_string()).collect())
    }

    #[test]
    fn an_address_is_read_and_slips_in_it_are_told() {
        assert_eq!(wanted("", "", "").unwrap().len(), 3);
        for form in
            [("dev", "C9T21193", ""), ("", "c9t21193.example.net", "KAFKA"), ("", "", "dev/c9/kafka server")]
        {
            assert_eq!(wanted(form.0, form.1, form.2).unwrap(), ["kafka server"]);
        }
        for (found, expected) in [
            (wanted("DVE", "", ""), "environment \"DVE\" is not known; did you mean \"DEV\"?"),
            (
                wanted("", "c2t08978", "kafka server"),
                "\"kafka server\" is not on host c2t08978; there is DEV/c9t21193/kafka server",
            ),
            (wanted("", &"x".repeat(300), ""), "a name has at most 255 bytes"),
        ] {
            let error = found.unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let length =
            |text: &str| HistoryQuery { length: text.to_owned(), ..HistoryQuery::default() }.length();
        assert_eq!(length(" ").unwrap(), SignedDuration::from_hours(24));
        assert_eq!(length("7d").unwrap(), SignedDuration::from_hours(7 * 24));
        assert!(length("soon").unwrap_err().message.contains("is no length of time"));
    }
}
