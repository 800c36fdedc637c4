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

use super::events::status;
use super::page::{self, Past, PastShown as Shown};
use super::problem::Problem;
use super::viewer::Viewer;
use crate::history::length;
use crate::operation_error::OperationError;
use crate::operations::Operations;
use crate::strip::Span;
use crate::strip::remembered::Strips;

/// Query parameters, all as text: a form sends unused fields as empty ones.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Written {
    environment: String,
    host: String,
    component: String,
    length: String,
}

impl Written {
    fn length(&self) -> Result<SignedDuration, OperationError> {
        match self.length.trim() {
            "" => Ok(SignedDuration::from_hours(24)),
            text => length(text).map_err(|message| OperationError::new(Code::InvalidArgument, message)),
        }
    }

    fn selector(&self) -> Selector {
        let [environment, host, component] =
            [&self.environment, &self.host, &self.component].map(|text| text.trim().to_owned());
        Selector { environment, host, component }
    }
}

/// Returns the selected instances. The result may be empty only if no name is given.
fn select<'o>(
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
async fn strips(operations: &Operations, written: &Written) -> Result<(Selector, Strips), OperationError> {
    let (selector, length) = (written.selector(), written.length()?);
    // Checked first, so that the whole record is not read for an unknown name or a single instance.
    let only = match select(&selector, &operations.overview())?.as_slice() {
        [only] => Some(only.id()),
        _ => None,
    };
    let strips = match only {
        Some(id) => Arc::new(HashMap::from([(id.clone(), operations.strip(&id, length).await?)])),
        None => operations.strips(length).await?,
    };
    Ok((selector, strips))
}

/// Answers `GET /history`.
pub(super) async fn history_page(
    State(operations): State<Operations>,
    viewer: Viewer,
    Query(written): Query<Written>,
) -> Response {
    let made = strips(&operations, &written).await;
    let overview = operations.overview();
    let past = made.as_ref().map_err(Clone::clone).and_then(|(selector, strips)| {
        let past = select(selector, &overview)?.into_iter().filter_map(|located| {
            let id = located.id();
            // An instance that a new configuration added just now has no past.
            let strip = strips.get(&id)?;
            Some(Past { located, strip, used: operations.usage_of(&id) })
        });
        Ok(past.collect())
    });
    let Written { environment, host, component, length } = written;
    let shown = Shown { environment, host, component, length };
    let status = past.as_ref().err().map_or(StatusCode::OK, status);
    let error = past.as_ref().err().map(|error| error.message.clone()).unwrap_or_default();
    let markup = page::history(&viewer, past.map_err(|_| error.as_str()), &shown, &overview);
    (status, [(CACHE_CONTROL, "no-store")], markup).into_response()
}

#[derive(Serialize)]
struct Found<'f> {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    instances: Vec<Instance<'f>>,
}

#[derive(Serialize)]
struct Instance<'f> {
    environment: &'f Name,
    host: &'f Name,
    component: &'f Name,
    health: Health,
    /// Share of uptime, in percent.
    uptime: Option<f64>,
    spans: &'f [Span],
}

/// Answers `GET /api/v1/history`.
pub(super) async fn history_json(
    State(operations): State<Operations>,
    Query(written): Query<Written>,
) -> Response {
    let told = |error: &OperationError| Problem::new(status(error), error.message.clone()).into_response();
    let (selector, strips) = match strips(&operations, &written).await {
        Ok(made) => made,
        Err(error) => return told(&error),
    };
    let overview = operations.overview();
    let located = match select(&selector, &overview) {
        Ok(located) => located,
        Err(error) => return told(&error),
    };
    let instances: Vec<Instance<'_>> = located
        .into_iter()
        .filter_map(|located| {
            let strip = strips.get(&located.id())?;
            Some(Instance {
                environment: &located.environment.name,
                host: &located.host.name,
                component: &located.instance.component,
                health: located.instance.health,
                uptime: strip.uptime(),
                spans: &strip.spans,
            })
        })
        .collect();
    let any = strips.values().next();
    let found = Found { from: any.map(|strip| strip.from), to: any.map(|strip| strip.to), instances };
    ([(CACHE_CONTROL, "no-store")], Json(found)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::page::tests::sample;

    fn wanted(environment: &str, host: &str, component: &str) -> Result<Vec<String>, String> {
        let operations = Operations::showing(sample());
        let written = Written {
            environment: environment.to_owned(),
            host: format!(" {host} "),
            component: component.to_owned(),
            ..Written::default()
        };
        let overview = operations.overview();
        let found = select(&written.selector(), &overview).map_err(|error| error.message)?;
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
        let length = |text: &str| Written { length: text.to_owned(), ..Written::default() }.length();
        assert_eq!(length(" ").unwrap(), SignedDuration::from_hours(24));
        assert_eq!(length("7d").unwrap(), SignedDuration::from_hours(7 * 24));
        assert!(length("soon").unwrap_err().message.contains("is no length of time"));
    }
}
