//! Rendering of pages: pure functions from an overview to HTML.

mod agent;
mod causes;
mod config;
mod detail;
mod environment;
mod events;
mod form;
mod graph;
mod health;
mod history;
mod host;
mod instance;
mod layout;
mod links;
mod log;
mod maintenance;
mod notice;
pub(super) mod plan;
pub(super) mod planned;
mod selection;
mod sign_in;
mod sparkline;

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::name::Name;
use rta_shared::overview::{Health, HealthCounts, InstanceId, Overview};
use rta_shared::planned_outage::{PlannedStopIndex, on_purpose_note};
use rta_shared::report::State;
use rta_shared::root_cause::{counts_sentence, find_root_causes};

use crate::plans::run::PlanSnapshot;
use crate::web::request_context::RequestContext;

pub(super) use detail::{detail, parts as detail_parts};
pub(super) use events::{EventForm, events};
pub(super) use graph::{graph, parts as graph_parts};
use health::HealthTone;
pub(super) use history::{HistoryFilter, InstancePast, history};
use html_patch::GroupTag;
pub(super) use html_patch::HtmlNode;
pub(super) use instance_details::InstanceDetails;
use layout::PageFrame;
pub(super) use layout::message;
pub(super) use log::log;
pub(super) use selection::Selection;
pub(super) use sign_in::sign_in;

/// Seconds until the page reloads while something changes.
const RELOAD_SECONDS: u32 = 2;

/// Input of all parts of a page.
struct OverviewContext<'a> {
    context: &'a RequestContext,
    selection: &'a Selection,
    /// Digest of the aggregator's configuration.
    digest: &'a str,
    /// Instances that are down on purpose.
    planned: &'a PlannedStopIndex,
    now: Timestamp,
}

/// Renders the overview page of the selected instances at the moment `now`, with the current and recent
/// `plans`, the newest first.
pub(super) fn overview(
    overview: &Overview,
    plans: &[PlanSnapshot],
    selection: &Selection,
    context: &RequestContext,
    now: Timestamp,
) -> Markup {
    let body = html! {
        main { (parts(overview, plans, selection, context, now)) }
    };
    let frame = PageFrame {
        reload_seconds: is_under_way(overview, plans).then_some(RELOAD_SECONDS),
        live: Some(format!("/live?{}", selection.query())),
    };
    layout::frame(context, &title(overview.counts()), &frame, &body)
}

/// Returns the live parts of that page.
pub(super) fn parts(
    overview: &Overview,
    plans: &[PlanSnapshot],
    selection: &Selection,
    context: &RequestContext,
    now: Timestamp,
) -> HtmlNode {
    let planned = PlannedStopIndex::new(overview);
    let shown =
        OverviewContext { context, selection, digest: &overview.config_digest, planned: &planned, now };
    let root_causes = find_root_causes(overview);
    let mut parts = vec![page_head(overview, &planned, context), notices(overview, plans)];
    // The filter is a part of its own, so that changes do not affect what somebody is typing.
    parts.push(HtmlNode::leaf("filter", &html! { div #filter { (selection.form(overview)) } }));
    let environments = overview.environments.iter().filter(|one| selection.shows_environment(one));
    parts.extend(environments.map(|one| environment::environment(one, &root_causes, &shown)));
    parts.push(HtmlNode::leaf("recent", &html! { div #recent { (notice::recent(plans)) } }));
    HtmlNode::group("page", GroupTag::Division, "page", parts)
}

/// Renders the verdict, and the links to the environments.
fn page_head(overview: &Overview, planned: &PlannedStopIndex, context: &RequestContext) -> HtmlNode {
    let counts = overview.counts();
    let stopped = overview.planned_stops();
    let worst = counts.worst().unwrap_or(Health::Unknown);
    let tone = HealthTone::new(worst, planned.explains_everything(overview));
    let element = html! {
        div #top.top data-title=(title(counts)) {
            div class={ "verdict " (tone.class()) } {
                h1 { (headline(counts)) }
                p { (subline(overview, counts)) (on_purpose_note(stopped)) }
            }
            div.top-line {
                (chips(counts, stopped))
                @if overview.environments.len() > 1 {
                    nav aria-label="Environments" {
                        @for environment in &overview.environments {
                            a href={ "#" (environment_id(&environment.name)) } {
                                (health::mark(HealthTone::new(environment.health, planned.explains_environment(environment)))) (health::text(environment.name.as_str()))
                            }
                        }
                    }
                }
                (form::post(context, "/refresh", Some("refresh"), &html! {
                    button.primary type="submit" aria-keyshortcuts="r" { "Refresh" }
                }))
            }
        }
    };
    HtmlNode::leaf("top", &element)
}

/// Renders the banners and notices.
fn notices(overview: &Overview, plans: &[PlanSnapshot]) -> HtmlNode {
    let element = html! {
        div #notices {
            @if let Some(problems) = &overview.config_error { (config::banner(problems)) }
            (config::impairments(overview))
            @for plan in plans.iter().filter(|plan| plan.end.is_none()) { (notice::notice(plan)) }
            @if overview.environments.is_empty() {
                p.empty { "The configuration names no environment yet. Add one as a file of its folder, then run \"rta config reload\"." }
            }
        }
    };
    HtmlNode::leaf("notices", &element)
}

/// Returns the title of the browser tab.
fn title(counts: HealthCounts) -> String {
    format!("{} - rta", counts_sentence(counts))
}

fn headline(counts: HealthCounts) -> String {
    match counts.worst() {
        None => "Nothing to watch".to_owned(),
        Some(Health::Up) => "Everything is up".to_owned(),
        Some(_) => {
            let is_bad = |health: &Health| *health != Health::Up && counts.of(*health) > 0;
            let parts: Vec<String> = Health::ALL
                .into_iter()
                .rev()
                .filter(is_bad)
                .map(|health| format!("{} {health}", counts.of(health)))
                .collect();
            parts.join(", ")
        }
    }
}

fn subline(overview: &Overview, counts: HealthCounts) -> String {
    let hosts = overview.environments.iter().map(|environment| environment.hosts.len()).sum();
    format!(
        "{} on {} in {}",
        counted(counts.total(), "instance"),
        counted(hosts, "host"),
        counted(overview.environments.len(), "environment")
    )
}

fn chips(counts: HealthCounts, stopped: usize) -> Markup {
    html! {
        ul.chips aria-label="Instances by health" {
            @for health in Health::ALL.into_iter().rev() {
                @let tone = HealthTone::new(health, health == Health::Down && stopped > 0 && stopped == counts.down);
                li class={ "chip " (tone.class()) (if counts.of(health) == 0 { " none" } else { "" }) } {
                    (health::icon(tone)) strong { (counts.of(health)) } " " (health)
                }
            }
        }
    }
}

/// Returns true if something is changing, so that the page reloads by itself.
fn is_under_way(overview: &Overview, plans: &[PlanSnapshot]) -> bool {
    plans.iter().any(|plan| plan.end.is_none())
        || overview.instances().any(|located| located.instance.state.is_some_and(State::is_transient))
}

/// Returns the anchor of an instance's row.
fn anchor(id: &InstanceId) -> String {
    format!("{}.{}.{}", slug(id.environment.as_str()), slug(id.host.as_str()), slug(id.component.as_str()))
}

/// Returns the ID of an environment's element. No [`slug`] contains a colon, so that the ID is unique.
fn environment_id(name: &Name) -> String {
    format!("env:{}", slug(name.as_str()))
}

/// Converts a name to a part of an element's ID and of an address. Different names give different results.
fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for letter in name.to_lowercase().chars() {
        match letter {
            ' ' => slug.push('_'),
            '-' => slug.push('-'),
            letter if letter.is_alphanumeric() => slug.push(letter),
            letter => slug.push_str(&format!("~{:x}~", u32::from(letter))),
        }
    }
    slug
}

mod host_grid;
mod html_patch;
mod instance_details;
#[cfg(test)]
pub(crate) mod tests;
mod timeline;
