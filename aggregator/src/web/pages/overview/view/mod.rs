//! Overview page, as a pure function from an overview to HTML.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::format::{counted, joined_first};
use rta_shared::name::Name;
use rta_shared::overview::{Health, HealthCounts, LeaderOverview, Overview};
use rta_shared::planned_outage::{PlannedStopIndex, on_purpose_note};
use rta_shared::root_cause::{counts_sentence, find_root_causes};

use crate::plans::run::PlanSnapshot;
use crate::web::pages::overview::content::{self, MAX_SECTIONS, PageLayout};
use crate::web::pages::overview::context::OverviewContext;
use crate::web::pages::overview::selection::Selection;
use crate::web::pages::overview::{environment, notice, results, summary};
use crate::web::parts::anchors::environment_id;
use crate::web::parts::health::{self, HealthTone, text};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};
use crate::web::parts::layout::{self, PageFrame, RELOAD_SECONDS, is_under_way};
use crate::web::parts::{config, form};
use crate::web::request_context::RequestContext;

/// Renders the overview page of the selected instances at the moment `now`, with the current and recent
/// `plans`, the newest first.
pub(crate) fn overview(
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
pub(crate) fn parts(
    overview: &Overview,
    plans: &[PlanSnapshot],
    selection: &Selection,
    context: &RequestContext,
    now: Timestamp,
) -> HtmlNode {
    let planned = PlannedStopIndex::new(overview);
    let selected = content::select(overview, selection);
    let layout = content::choose_layout(&selected, selection);
    let shown = OverviewContext {
        context,
        selection,
        digest: &overview.config_digest,
        planned: &planned,
        names_environment: false,
        links_environments: matches!(layout, PageLayout::Summary | PageLayout::Results),
        now,
    };
    let root_causes = find_root_causes(overview);
    let mut parts = vec![page_head(overview, &planned, layout, context), notices(overview, plans)];
    // The filter is a part of its own, so that changes do not affect what somebody is typing.
    parts.push(HtmlNode::leaf("filter", &html! { div #filter { (selection.form(overview)) } }));
    let sharing = selected.len();
    match layout {
        PageLayout::Whole => parts.extend(
            selected.iter().map(|one| environment::whole_environment(one, &root_causes, sharing, &shown)),
        ),
        PageLayout::OneEnvironment => {
            parts
                .extend(selected.iter().map(|one| environment::large_environment(one, &root_causes, &shown)));
        }
        PageLayout::Summary => parts.extend(summary::summary(&selected, &root_causes, &shown)),
        PageLayout::Results => parts.extend(results::results(selected, &shown)),
    }
    parts.push(HtmlNode::leaf("recent", &html! { div #recent { (notice::recent(plans)) } }));
    if !overview.leaders.is_empty() {
        parts.push(HtmlNode::leaf("lead", &led_by(&overview.leaders)));
    }
    HtmlNode::group("page", GroupTag::Division, "page", parts)
}

/// Maximum number of environments whose names are shown beside their leader.
const NAMED_ENVIRONMENTS: usize = 10;

/// Renders in one line which aggregators lead which environments.
fn led_by(leaders: &[LeaderOverview]) -> Markup {
    let groups = LeaderOverview::group_environments(leaders);
    let is_one = groups.len() == 1;
    html! {
        p #lead.note {
            @for (at, (leader, environments)) in groups.iter().enumerate() {
                @if at > 0 { " " }
                (led_by_one(leader, environments, is_one))
            }
        }
    }
}

/// Renders an aggregator with the environments that it leads; `is_one`: it leads all of them.
fn led_by_one(leader: &LeaderOverview, environments: &[&Name], is_one: bool) -> Markup {
    let LeaderOverview { address, process, is_here, .. } = leader;
    let is_link = ["http://", "https://"].iter().any(|scheme| address.starts_with(scheme));
    html! {
        @if is_one { "Led by " } @else {
            (text(&joined_first(NAMED_ENVIRONMENTS, environments, ", ")))
            ": led by "
        }
        @match (*is_here, is_link) {
            (true, _) => { "this aggregator, " (text(address)) }
            (false, true) => { a href=(address) { (text(address)) } }
            (false, false) => { (text(address)) }
        }
        " (" (text(process)) ")"
        @if !is_here { ", to which starts and stops are passed on" }
        "."
    }
}

/// Renders all environments of an overview that is not the present one, without search and buttons.
pub(crate) fn environments(overview: &Overview, context: &RequestContext) -> Vec<HtmlNode> {
    let (planned, selection) = (PlannedStopIndex::new(overview), Selection::default());
    let context = RequestContext { may_act: false, ..context.clone() };
    let selected = content::select(overview, &selection);
    let layout = content::choose_layout(&selected, &selection);
    let shown = OverviewContext {
        context: &context,
        selection: &selection,
        digest: &overview.config_digest,
        planned: &planned,
        names_environment: false,
        links_environments: layout == PageLayout::Summary,
        now: overview.generated_at,
    };
    let root_causes = find_root_causes(overview);
    let sharing = selected.len();
    let whole = |one| environment::whole_environment(one, &root_causes, sharing, &shown);
    match layout {
        PageLayout::Whole => selected.iter().map(whole).collect(),
        _ => summary::summary(&selected, &root_causes, &shown),
    }
}

/// Renders the verdict, and the links to the environments.
fn page_head(
    overview: &Overview,
    planned: &PlannedStopIndex,
    layout: PageLayout,
    context: &RequestContext,
) -> HtmlNode {
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
                @if (2..=MAX_SECTIONS).contains(&overview.environments.len()) {
                    nav aria-label="Environments" {
                        @for environment in &overview.environments {
                            a href=(environment_link(&environment.name, layout)) {
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

/// Returns the address of an environment: its section if it is on the page, else its own page.
fn environment_link(name: &Name, layout: PageLayout) -> String {
    match layout {
        PageLayout::Whole | PageLayout::Summary => format!("#{}", environment_id(name)),
        PageLayout::OneEnvironment | PageLayout::Results => Selection::of_environment(name).address(),
    }
}

/// Renders the banners and notices.
fn notices(overview: &Overview, plans: &[PlanSnapshot]) -> HtmlNode {
    let element = html! {
        div #notices {
            @if let Some(problems) = &overview.config_error { (config::banner(problems)) }
            (config::impairments(overview))
            (notice::notices(plans))
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

#[cfg(test)]
mod bound_tests;
#[cfg(test)]
mod tests;
