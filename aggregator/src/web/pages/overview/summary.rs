//! Summary of a platform of many environments: problems first, then the environments, folded.

use std::cmp::Reverse;

use maud::html;
use rta_shared::format::counted;
use rta_shared::overview::EnvironmentOverview;
use rta_shared::planned_outage::on_purpose_note;
use rta_shared::root_cause::{RootCause, counts_sentence};

use crate::web::pages::overview::content::{
    MAX_LINES, MAX_SECTIONS, SelectedEnvironment, TileRoom, page_index, problem_cards,
};
use crate::web::pages::overview::context::OverviewContext;
use crate::web::pages::overview::environment::{bar, folded_environment, hosts_and_roles, more_problems};
use crate::web::pages::overview::selection::Selection;
use crate::web::pages::overview::{causes, host, results};
use crate::web::parts::anchors::environment_id;
use crate::web::parts::health::{HealthTone, badge, text};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};

/// Renders the problems of all environments, cards of the worst hosts, and the environments.
pub(crate) fn summary(
    selected: &[SelectedEnvironment<'_>],
    root_causes: &[RootCause<'_>],
    shown: &OverviewContext<'_>,
) -> Vec<HtmlNode> {
    let environments: Vec<&EnvironmentOverview> = selected.iter().map(|one| one.environment).collect();
    let mut parts = vec![causes::all_causes(&environments, root_causes, shown)];
    let (cards, more) = problem_cards(selected);
    let of_worst = OverviewContext { names_environment: true, ..*shown };
    let cards = cards.iter().map(|selected| host::host(selected, &of_worst)).collect();
    let note = html! { p #worst-note.hosts-note { (more_problems(more, &Selection::default())) } };
    let children = vec![
        HtmlNode::group("worst-hosts", GroupTag::Division, "hosts", cards),
        HtmlNode::leaf("worst-note", &note),
    ];
    parts.push(HtmlNode::group("worst", GroupTag::Division, "worst", children));
    if selected.len() <= MAX_SECTIONS {
        let sizes: Vec<_> = selected.iter().map(hosts_and_roles).collect();
        let room = TileRoom::share(&sizes);
        parts.extend(selected.iter().map(|selected| folded_environment(selected, room, shown)));
    } else {
        parts.extend(lines(selected, shown));
    }
    parts
}

/// Renders one line for each environment, the worst first, in pages.
fn lines(selected: &[SelectedEnvironment<'_>], shown: &OverviewContext<'_>) -> Vec<HtmlNode> {
    let mut sorted: Vec<&SelectedEnvironment<'_>> = selected.iter().collect();
    sorted.sort_by_key(|selected| Reverse(selected.environment.health));
    let pages = sorted.len().div_ceil(MAX_LINES);
    let at = page_index(shown.selection.page(), pages);
    let head = html! {
        h2 #environments.lines-head { (counted(selected.len(), "environment")) ", the worst first" }
    };
    let page = sorted.chunks(MAX_LINES).nth(at).unwrap_or_default();
    let lines = page.iter().map(|selected| line(selected, shown)).collect();
    vec![
        HtmlNode::leaf("environments", &head),
        HtmlNode::group("environment-lines", GroupTag::List, "lines-of-environments", lines),
        HtmlNode::leaf("pager", &results::pager(shown.selection, at, pages)),
    ]
}

fn line(selected: &SelectedEnvironment<'_>, shown: &OverviewContext<'_>) -> HtmlNode {
    let environment = selected.environment;
    let id = environment_id(&environment.name);
    let (counts, stopped) = (environment.counts(), environment.planned_stops());
    let tone = HealthTone::new(environment.health, shown.planned.explains_environment(environment));
    let element = html! {
        li #(id) {
            (badge(tone))
            a href=(Selection::of_environment(&environment.name).address()) { (text(environment.name.as_str())) }
            span {
                (counted(environment.hosts.len(), "host")) ": "
                (counts_sentence(counts)) (on_purpose_note(stopped))
            }
            (bar(counts, stopped))
        }
    };
    HtmlNode::leaf(id, &element)
}
