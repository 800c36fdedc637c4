//! Page of an environment's dependency graph.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use maud::Markup;
use rta_shared::overview::{EnvironmentOverview, Overview};
use rta_shared::sanitize::quoted_input;
use rta_shared::selector::{NameIndex, Purpose, Selector};
use serde::Deserialize;
use tonic::Code;

use super::view;
use crate::api::Operations;
use crate::graph::build_graph;
use crate::graph::layout::compute_layout;
use crate::inventory::Inventory;
use crate::operation_error::{OperationError, not_found};
use crate::web::parts::html_patch::HtmlNode;
use crate::web::parts::layout;
use crate::web::request_context::RequestContext;

/// Query parameters of the page.
#[derive(Debug, Deserialize)]
pub(crate) struct EnvironmentQuery {
    /// Name of the environment; empty: the first.
    #[serde(default)]
    pub(crate) environment: String,
}

/// Answers `GET /graph`.
pub(crate) async fn graph_page(
    State(operations): State<Operations>,
    context: RequestContext,
    Query(query): Query<EnvironmentQuery>,
) -> Response {
    let (inventory, overview) = (operations.inventory(), operations.overview());
    let whom = context.clone();
    // This takes a while on a large platform.
    let drawn = tokio::task::spawn_blocking(move || {
        render_graph(&whom, &inventory, &overview, query.environment.trim())
    })
    .await;
    let (status, markup) = match drawn {
        Ok(Ok(markup)) => (StatusCode::OK, markup),
        Ok(Err(error)) => {
            let is_unknown = error.code == Code::NotFound;
            let status = if is_unknown { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
            (status, layout::message(&context, "No graph", &error.message))
        }
        Err(error) => {
            let text = format!("The aggregator failed: {error}");
            (StatusCode::INTERNAL_SERVER_ERROR, layout::message(&context, "No graph", &text))
        }
    };
    (status, [(CACHE_CONTROL, "no-store")], markup).into_response()
}

fn render_graph(
    context: &RequestContext,
    inventory: &Inventory,
    overview: &Overview,
    environment: &str,
) -> Result<Markup, OperationError> {
    let environment = find_environment(overview, environment)?;
    let graph = build_graph(inventory.graph(), overview, environment);
    Ok(view::graph(context, overview, environment, &graph, &compute_layout(&graph)))
}

/// Returns the live part of an environment's page.
///
/// # Errors
/// Returns an error if the environment is unknown.
pub(crate) fn graph_parts(operations: &Operations, environment: &str) -> Result<HtmlNode, OperationError> {
    let (inventory, overview) = (operations.inventory(), operations.overview());
    let environment = find_environment(&overview, environment)?;
    let graph = build_graph(inventory.graph(), &overview, environment);
    Ok(view::parts(&overview, environment, &graph, &compute_layout(&graph)))
}

/// Returns the environment with this name, or the first one if the name is empty.
fn find_environment<'o>(
    overview: &'o Overview,
    name: &str,
) -> Result<&'o EnvironmentOverview, OperationError> {
    if name.is_empty() {
        let first = overview.environments.first().map(|environment| &**environment);
        return first.ok_or_else(|| not_found("the configuration names no environment yet".to_owned()));
    }
    let selector = Selector { environment: name.to_owned(), ..Selector::default() };
    let index = NameIndex::from(overview);
    let selected = selector.resolve(&index, Purpose::Reading)?.environment;
    let found = overview.environments.iter().find(|environment| selected == Some(&environment.name));
    found
        .map(|environment| &**environment)
        .ok_or_else(|| not_found(format!("environment \"{}\" is not known", quoted_input(name))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample_overview::sample;

    #[test]
    fn the_first_environment_is_shown_where_none_is_named() {
        let overview = sample();
        let name = |asked| find_environment(&overview, asked).map(|environment| environment.name.as_str());
        assert_eq!((name(""), name("dev")), (Ok("DEV"), Ok("DEV")));
    }

    #[test]
    fn an_unknown_environment_is_told_with_the_nearest_name() {
        let error = find_environment(&sample(), "DVE").unwrap_err();
        assert_eq!(error.message, "environment \"DVE\" is not known; did you mean \"DEV\"?");
        assert_eq!(error.code, Code::NotFound);
        assert_eq!(find_environment(&sample(), &"D".repeat(300)).unwrap_err().code, Code::InvalidArgument);
        let mut empty = sample();
        empty.environments.clear();
        assert_eq!(
            find_environment(&empty, "").unwrap_err().message,
            "the configuration names no environment yet"
        );
    }
}
