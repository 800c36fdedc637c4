//! Dependency graph of one environment, as a drawing and as a list.
//!
//! | module | holds |
//! |---|---|
//! | `drawing` | the SVG |
//! | `words` | the list |
//! | `legend` | the legend of lines and shapes |

mod drawing;
mod legend;
mod words;

use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::overview::{EnvironmentOverview, Overview};
use rta_shared::root_cause::counts_sentence;

use crate::graph::layout::GraphLayout;
use crate::graph::{EnvironmentGraph, GraphNode, LanePlace};
use crate::web::pages::overview::selection::Selection;
use crate::web::parts::health::{badge, mark, text};
use crate::web::parts::html_patch::HtmlNode;
use crate::web::parts::layout::PageFrame;
use crate::web::parts::layout::{RELOAD_SECONDS, is_under_way};
use crate::web::parts::{layout, links};
use crate::web::request_context::RequestContext;

/// Maximum number of environments with a link of their own.
const MAX_OTHERS: usize = 40;

/// Renders the page of `graph`, which belongs to `environment` and has the layout `laid_out`.
pub(in crate::web) fn graph(
    context: &RequestContext,
    overview: &Overview,
    environment: &EnvironmentOverview,
    graph: &EnvironmentGraph,
    laid_out: &GraphLayout,
) -> Markup {
    let body = html! { main { (parts(overview, environment, graph, laid_out)) } };
    let frame = PageFrame {
        reload_seconds: is_under_way(overview, &[]).then_some(RELOAD_SECONDS),
        live: Some(format!("/live{}", links::graph_address(&environment.name))),
    };
    layout::frame(context, &title(environment), &frame, &body)
}

fn title(environment: &EnvironmentOverview) -> String {
    format!("What needs what in {} - rta", text(environment.name.as_str()))
}

/// Returns the live part of that page.
pub(in crate::web) fn parts(
    overview: &Overview,
    environment: &EnvironmentOverview,
    graph: &EnvironmentGraph,
    laid_out: &GraphLayout,
) -> HtmlNode {
    let name = environment.name.as_str();
    let element = html! {
        div #page.graph-page {
            div #top.graph-head data-title=(title(environment)) {
                h1 { "What needs what in " (text(name)) }
                p { (badge(environment.health)) " " (counts_sentence(environment.counts())) }
                @if overview.environments.len() > 1 { (others(overview, environment)) }
            }
            @if graph.nodes.is_empty() {
                p.empty { "No host of this environment carries a component." }
            } @else {
                p { a href="#in-words" { "The same in words" } }
                @let sentences = omissions(graph);
                @for sentence in &sentences { p.hint { (sentence) } }
                @if !sentences.is_empty() { (ways_to_the_rest(environment)) }
                (legend::legend(graph))
                (drawing::drawing(name, graph, laid_out))
                (words::words(name, graph))
            }
        }
    };
    HtmlNode::leaf("page", &element)
}

/// Returns the target of a node's link: its instance, or the list of them if it stands for several hosts.
fn node_address(environment: &str, graph: &EnvironmentGraph, node: usize) -> String {
    match (graph.id(node), graph.place(node)) {
        (Some(id), _) => links::address(&id),
        (None, place) => {
            let found = Selection::of_environment(&environment.into());
            let found = match place {
                LanePlace::Hosts { role: Some(role), .. } => found.with_role(role),
                _ => found,
            };
            found.with_name(&graph.nodes[node].component).address()
        }
    }
}

/// Returns the health of a node, such as `down, the cause`; for several instances `3 down of 42 instances`.
fn health_text(node: &GraphNode) -> String {
    let own = match node.counts.total() {
        1 => node.health().to_string(),
        _ => counts_sentence(node.counts),
    };
    std::iter::once(own.as_str()).chain(remarks(node)).collect::<Vec<_>>().join(", ")
}

/// Returns the remarks about a node beside its health.
fn remarks(node: &GraphNode) -> impl Iterator<Item = &str> {
    let cause = node.is_cause.then_some("the cause");
    cause.into_iter().chain(node.is_maintained.then_some("in maintenance"))
}

/// Renders links to the other environments; of very many, to the list of them.
fn others(overview: &Overview, shown: &EnvironmentOverview) -> Markup {
    if overview.environments.len() > MAX_OTHERS {
        return html! {
            p { a href="/#environments" { "All " (overview.environments.len()) " environments" } }
        };
    }
    html! {
        nav aria-label="Environments" {
            @for environment in &overview.environments {
                @let is_shown = environment.name == shown.name;
                a href=(links::graph_address(&environment.name)) aria-current=[is_shown.then_some("page")] {
                    (mark(environment.health)) (text(environment.name.as_str()))
                }
            }
        }
    }
}

/// Renders how to see what is not drawn by itself.
fn ways_to_the_rest(environment: &EnvironmentOverview) -> Markup {
    let all = Selection::of_environment(&environment.name);
    html! {
        p.hint {
            "A box of several hosts leads to the list of its instances, and the page of an instance shows what it needs and what needs it. "
            a href=(all.clone().with_problems().address()) { "All that is not up" } ", "
            a href=(all.address()) { "all hosts" } "."
        }
    }
}

/// Returns sentences about nodes and edges that are left out or grouped.
fn omissions(graph: &EnvironmentGraph) -> Vec<String> {
    let mut sentences = Vec::new();
    match graph.hosts_together() {
        0 => {}
        1 => sentences.push("There is too much to draw all hosts: 1 is drawn for its role alone.".to_owned()),
        several => sentences.push(format!(
            "There is too much to draw host by host: {several} of them are drawn together, by their roles."
        )),
    }
    if graph.undrawn_instances > 0 {
        sentences.push(format!("Left out altogether: {}.", counted(graph.undrawn_instances, "instance")));
    }
    if graph.undrawn_edges > 0 {
        let arrows = counted(graph.undrawn_edges, "arrow");
        sentences.push(format!("Left out: {arrows}. The thick ones are drawn first."));
    }
    sentences
}

#[cfg(test)]
mod tests;
