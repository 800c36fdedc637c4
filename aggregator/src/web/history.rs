//! Timelines of instances, as a page and as JSON for scripts.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use rta_shared::name::Name;
use rta_shared::overview::{Health, Located, Overview};
use rta_shared::text::{did_you_mean, echoed};
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::events::status;
use super::page::{self, Past, PastShown as Shown};
use super::problem::Problem;
use super::viewer::Viewer;
use crate::history::length;
use crate::operations::Operations;
use crate::strip::Span;
use crate::strip::remembered::Strips;
use crate::target::{OperationError, within_length};

/// Query parameters, all as text: a form sends unused fields as empty ones.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Written {
    environment: String,
    host: String,
    component: String,
    length: String,
}

/// Names to match; `None`: any.
struct Wanted {
    environment: Option<Name>,
    host: Option<Name>,
    component: Option<Name>,
}

impl Written {
    fn length(&self) -> Result<SignedDuration, OperationError> {
        match self.length.trim() {
            "" => Ok(SignedDuration::from_hours(24)),
            text => length(text).map_err(|message| OperationError::new(Code::InvalidArgument, message)),
        }
    }

    /// Resolves the names; hosts and components may be named by their aliases.
    fn wanted(&self, operations: &Operations) -> Result<Wanted, OperationError> {
        let [environment, host, component] =
            [&self.environment, &self.host, &self.component].map(|text| text.trim());
        within_length([environment, host, component])?;
        let platform = &operations.fleet().platform;
        let name = |written: &str, known: Option<&Name>| {
            (!written.is_empty()).then(|| known.cloned().unwrap_or_else(|| Name::from(written)))
        };
        Ok(Wanted {
            environment: name(environment, None),
            host: name(host, platform.find_host(host).map(|host| &host.name)),
            component: name(component, platform.component(component).map(|known| &known.name)),
        })
    }
}

impl Wanted {
    /// Returns the matching instances. The result may be empty only if there is no condition.
    fn of<'o>(&self, overview: &'o Overview) -> Result<Vec<Located<'o>>, OperationError> {
        fn fits(wanted: Option<&Name>, found: &Name) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        let found: Vec<_> = overview
            .instances()
            .filter(|located| {
                fits(self.environment.as_ref(), &located.environment.name)
                    && fits(self.host.as_ref(), &located.host.name)
                    && fits(self.component.as_ref(), &located.instance.component)
            })
            .collect();
        let names = [&self.environment, &self.host, &self.component];
        if found.is_empty() && names.iter().any(|name| name.is_some()) {
            return Err(self.not_found(overview));
        }
        Ok(found)
    }

    fn not_found(&self, overview: &Overview) -> OperationError {
        type Of = for<'o> fn(Located<'o>) -> &'o Name;
        let columns: [(&str, &Option<Name>, Of); 3] = [
            ("environment", &self.environment, |located| &located.environment.name),
            ("host", &self.host, |located| &located.host.name),
            ("component", &self.component, |located| &located.instance.component),
        ];
        for (what, wanted, of) in columns {
            let Some(wanted) = wanted else { continue };
            if overview.instances().all(|located| of(located) != wanted) {
                let known: BTreeSet<&str> =
                    overview.instances().map(|located| of(located).as_str()).collect();
                let hint = did_you_mean(wanted.as_str(), known);
                let message = format!("{what} \"{}\" is not known{hint}", echoed(wanted.as_str()));
                return OperationError::new(Code::NotFound, message);
            }
        }
        OperationError::new(Code::NotFound, "there is no such instance: each name is known, but not together")
    }
}

/// Returns the parsed query and the timelines.
async fn strips(operations: &Operations, written: &Written) -> Result<(Wanted, Strips), OperationError> {
    let (wanted, length) = (written.wanted(operations)?, written.length()?);
    // Checked first, so that the whole record is not read for an unknown name or a single instance.
    let only = match wanted.of(&operations.overview())?.as_slice() {
        [only] => Some(only.id()),
        _ => None,
    };
    let strips = match only {
        Some(id) => Arc::new(HashMap::from([(id.clone(), operations.strip(&id, length).await?)])),
        None => operations.strips(length).await?,
    };
    Ok((wanted, strips))
}

/// Answers `GET /history`.
pub(super) async fn history_page(
    State(operations): State<Operations>,
    viewer: Viewer,
    Query(written): Query<Written>,
) -> Response {
    let made = strips(&operations, &written).await;
    let overview = operations.overview();
    let past = made.as_ref().map_err(Clone::clone).and_then(|(wanted, strips)| {
        let past = wanted.of(&overview)?.into_iter().filter_map(|located| {
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
    let (wanted, strips) = match strips(&operations, &written).await {
        Ok(made) => made,
        Err(error) => return told(&error),
    };
    let overview = operations.overview();
    let located = match wanted.of(&overview) {
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
        let found = written.wanted(&operations).and_then(|wanted| {
            let found = wanted.of(&overview)?;
            Ok(found.iter().map(|located| located.instance.component.to_string()).collect())
        });
        found.map_err(|error| error.message)
    }

    #[test]
    fn an_address_is_read_and_slips_in_it_are_told() {
        assert_eq!(wanted("", "", "").unwrap().len(), 3);
        assert_eq!(wanted("dev", "C9T21193", "").unwrap(), ["kafka server"]);
        for (found, expected) in [
            (wanted("DVE", "", ""), "environment \"DVE\" is not known; did you mean \"DEV\"?"),
            (wanted("", "c2t08978", "kafka server"), "there is no such instance: each name is known"),
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
