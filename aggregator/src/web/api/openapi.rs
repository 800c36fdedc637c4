//! Description of the API (OpenAPI 3.1), put together from the files in `openapi/`.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use rta_shared::sanitize::quoted_input;
use rta_shared::suggestion::did_you_mean;
use serde_json::{Map, Value};

use crate::web::problem::ApiProblem;

/// Parts of the document: where each belongs, and its text.
const PARTS: [(&[&str], &str); 7] = [
    (&[], include_str!("openapi/document.json")),
    (&["paths"], include_str!("openapi/read_paths.json")),
    (&["paths"], include_str!("openapi/act_paths.json")),
    (&["webhooks"], include_str!("openapi/webhooks.json")),
    (&["components"], include_str!("openapi/components.json")),
    (&["components", "schemas"], include_str!("openapi/state_schemas.json")),
    (&["components", "schemas"], include_str!("openapi/other_schemas.json")),
];

/// Text of the document, or why there is none.
static DOCUMENT: LazyLock<Result<String, String>> = LazyLock::new(|| {
    let mut document = merge_parts()?;
    if let Some(version) = document.pointer_mut("/info/version") {
        *version = env!("CARGO_PKG_VERSION").into();
    }
    Ok(document.to_string())
});

/// Answers `GET /api/v1/openapi.json`.
pub(super) async fn document() -> Result<Response, ApiProblem> {
    match &*DOCUMENT {
        Ok(text) => {
            let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")];
            Ok((headers, text.as_str()).into_response())
        }
        Err(error) => Err(ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, error.as_str())),
    }
}

/// Names of the query's keys of each operation below `/api`: by path, then by method in lower case.
static QUERY_KEYS: LazyLock<HashMap<String, HashMap<String, Vec<String>>>> =
    LazyLock::new(|| merge_parts().map(|document| query_keys(&document)).unwrap_or_default());

/// Refuses a request whose query has a key that the description does not name for the operation: a misspelt
/// filter would be no filter, and a misspelt condition none.
pub(in crate::web) async fn check_query_keys(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let known = path
        .and_then(|path| QUERY_KEYS.get(path)?.get(&request.method().as_str().to_ascii_lowercase()))
        .filter(|_| request.uri().query().is_some());
    let Some(known) = known else { return next.run(request).await };
    let query = request.uri().query().unwrap_or_default();
    // A query that cannot be read is refused by the handler.
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    let Some((unknown, _)) = pairs.into_iter().find(|(key, _)| !known.contains(key)) else {
        return next.run(request).await;
    };
    let hint = did_you_mean(&unknown, known.iter().map(String::as_str));
    let message = format!("there is no key \"{}\" for this query{hint}", quoted_input(&unknown));
    ApiProblem::new(StatusCode::BAD_REQUEST, message).into_response()
}

fn query_keys(document: &Value) -> HashMap<String, HashMap<String, Vec<String>>> {
    let members = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let key = |parameter: &Value| {
        let reference = parameter.get("$ref").and_then(Value::as_str);
        let parameter = match reference {
            Some(reference) => document.pointer(reference.trim_start_matches('#'))?,
            None => parameter,
        };
        (parameter["in"] == "query").then(|| parameter["name"].as_str().map(str::to_owned)).flatten()
    };
    let keys = |operation: &Value| {
        operation["parameters"].as_array().into_iter().flatten().filter_map(key).collect()
    };
    let of_path = |methods: &Value| {
        members(methods).into_iter().map(|(method, operation)| (method, keys(&operation))).collect()
    };
    members(&document["paths"]).into_iter().map(|(path, methods)| (path, of_path(&methods))).collect()
}

fn merge_parts() -> Result<Value, String> {
    let mut document = Value::Object(Map::new());
    for (place, text) in PARTS {
        let part: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("the description is broken: {error}"))?;
        let place = place.iter().fold(&mut document, |outer, key| {
            if outer.get(key).is_none() {
                outer[*key] = Value::Object(Map::new());
            }
            &mut outer[*key]
        });
        if let Some(members) = place.as_object_mut() {
            members.extend(part);
        }
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rta_shared::authorization::{HTTP_ROUTES, Right};

    use super::*;

    #[test]
    fn description_has_every_route_and_says_which_are_open() {
        let document = merge_parts().unwrap();
        let mut described = BTreeMap::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let is_open = operation["security"].as_array().is_some_and(Vec::is_empty);
                described.insert(format!("{} {path}", method.to_uppercase()), is_open);
            }
        }
        let listed: BTreeMap<String, bool> = HTTP_ROUTES
            .iter()
            .filter(|rule| rule.path.starts_with("/api/"))
            .map(|rule| (format!("{} {}", rule.method, rule.path), rule.right == Right::Open))
            .collect();
        assert_eq!(described, listed);
        assert_eq!(document["openapi"], "3.1.0");
    }

    #[test]
    fn query_keys_are_those_of_the_operation() {
        let keys = |path: &str, method: &str| QUERY_KEYS[path][method].join(" ");
        assert_eq!(keys("/api/v1/instance", "get"), "environment host component");
        assert_eq!(keys("/api/v1/what-if", "get"), "action environment host component all no_dependencies");
        assert_eq!(keys("/api/v1/plans/{id}", "get"), "");
    }

    #[test]
    fn references_lead_to_parts_of_the_document_and_each_part_is_used() {
        let document = merge_parts().unwrap();
        let mut used = BTreeSet::new();
        collect_references(&document, &mut used);
        for reference in &used {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        for kind in ["schemas", "parameters", "responses"] {
            let parts = document["components"][kind].as_object().unwrap().keys();
            // Named in texts about streams only.
            let streamed = ["PlanStart", "StepChange"];
            let unused: Vec<_> = parts
                .filter(|name| !streamed.contains(&name.as_str()))
                .filter(|name| !used.contains(&format!("#/components/{kind}/{name}")))
                .collect();
            assert!(unused.is_empty(), "{kind}: {unused:?}");
        }
    }

    fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| collect_references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| collect_references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn operations_are_named_once_and_tell_of_every_error_that_applies() {
        let document = merge_parts().unwrap();
        let mut ids = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{path}");
                let responses = operation["responses"].as_object().unwrap();
                let mut expected = vec!["408"];
                if method == "post" {
                    expected.extend(["400", "401", "403", "409", "422", "429"]);
                }
                for code in expected {
                    assert!(responses.contains_key(code), "{method} {path}: {code}");
                }
            }
        }
    }
}
