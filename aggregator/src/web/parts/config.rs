//! Banners and warnings about configurations, and about other impairments of rta.

use maud::{Markup, html};
use rta_shared::impairment::{ImpairedPart, Impairment};
use rta_shared::overview::{AgentOverview, HostOverview, Overview};

use crate::web::parts::health::text;

/// Maximum number of problems listed; `rta config check` shows all.
const MAX_PROBLEMS: usize = 20;

/// Renders the banner for a refused configuration of the aggregator.
pub(crate) fn banner(problems: &str) -> Markup {
    html! {
        section.banner aria-labelledby="config" {
            h2 #config { "The configuration on disk is invalid; the previous one stays in use:" }
            (list(problems))
        }
    }
}

/// Renders the banners for impairments of the aggregator. Problems of its configuration have their own.
pub(crate) fn impairments(overview: &Overview) -> Markup {
    let all = overview.impairments.iter();
    html! {
        @for impairment in all.filter(|impairment| impairment.part != ImpairedPart::Configuration) {
            section.banner role="status" { p { (sentence(impairment)) } }
        }
    }
}

/// Renders the banner of a page on past events and states: the event store is impaired.
pub(crate) fn store_impairment(overview: &Overview) -> Markup {
    let all = overview.impairments.iter();
    html! {
        @for impairment in all.filter(|impairment| impairment.part == ImpairedPart::Store) {
            section.banner role="status" { p { (sentence(impairment)) } }
        }
    }
}

/// Renders the warnings of a host's card for impairments in watching it.
pub(crate) fn host_impairments(host: &HostOverview) -> Markup {
    let all = host.impairments.iter();
    html! {
        @for impairment in all.filter(|impairment| impairment.part != ImpairedPart::Configuration) {
            div.warning { p { (sentence(impairment)) } }
        }
    }
}

/// Renders an impairment; one that costs data or trust stands out.
fn sentence(impairment: &Impairment) -> Markup {
    let message = text(&impairment.message);
    match impairment.part {
        ImpairedPart::Certificate | ImpairedPart::Clock => html! { (message) },
        _ => html! { strong { (message) } },
    }
}

/// Renders the warnings about an agent's configuration; empty if it has the right one.
pub(crate) fn warnings(agent: &AgentOverview, digest: &str) -> Markup {
    html! {
        @if let Some(problems) = &agent.config_error {
            div.warning {
                p { "Its agent rejected a new configuration; the previous one stays in use:" }
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
    let more = problems.lines().count().saturating_sub(MAX_PROBLEMS);
    html! {
        ul.problems {
            @for problem in problems.lines().take(MAX_PROBLEMS) { li { (text(problem)) } }
            @if more > 0 { li { "and " (more) " more; " code { "rta config check" } " tells all" } }
        }
    }
}
