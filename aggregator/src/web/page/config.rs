//! What is wrong with the configurations that the platform is run by, and with the record.

use maud::{Markup, html};
use rta_shared::overview::AgentOverview;

use super::health::text;

/// How many problems are listed; `rta config check` tells all.
const LISTED: usize = 20;

/// The banner of the page: the aggregator's own configuration was refused.
pub(super) fn banner(problems: &str) -> Markup {
    html! {
        section.banner aria-labelledby="config" {
            h2 #config { "The configuration on disk is not right; the old one goes on:" }
            (list(problems))
        }
    }
}

/// The banner of the page: what is to be done before long.
pub(super) fn warning(text_of_it: &str) -> Markup {
    html! { section.banner role="status" { p { (text(text_of_it)) } } }
}

/// The banner of a page: events are not recorded.
pub(super) fn not_recorded(error: &str) -> Markup {
    html! { section.banner role="status" { p { strong { (text(error)) } } } }
}

/// What a host's card warns of; nothing where its agent works by the configuration it should.
pub(super) fn warnings(agent: &AgentOverview, digest: &str) -> Markup {
    html! {
        @if let Some(problems) = &agent.config_error {
            div.warning {
                p { "Its agent refused a new configuration; the old one goes on:" }
                (list(problems))
            }
        }
        @if agent.config_differs {
            div.warning {
                p {
                    "Its agent works by another configuration (" (text(&agent.config_digest)) ") than the aggregator ("
                    (text(digest)) "). Give both the same files, then run " code { "rta config reload" } "."
                }
            }
        }
    }
}

fn list(problems: &str) -> Markup {
    let more = problems.lines().count().saturating_sub(LISTED);
    html! {
        ul.problems {
            @for problem in problems.lines().take(LISTED) { li { (text(problem)) } }
            @if more > 0 { li { "and " (more) " more; " code { "rta config check" } " tells all" } }
        }
    }
}
