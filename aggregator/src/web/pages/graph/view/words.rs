//! Drawing as a list, for readers who cannot see it, and to search for a name.

use std::cmp::Reverse;

use maud::{Markup, html};
use rta_shared::name::Name;
use rta_shared::root_cause::counts_sentence;
use rta_shared::sanitize::truncated;

use super::{node_address, remarks};
use crate::graph::{EnvironmentGraph, GraphEdge, GraphNode};
use crate::web::parts::health::{badge, text};

/// Maximum length of another node's name, in bytes; its own entry has the full name.
const NAME: usize = 60;
/// Maximum number of other nodes named at one node.
const OTHERS: usize = 6;

pub(crate) fn words(environment: &str, graph: &EnvironmentGraph) -> Markup {
    let mut needed_by: Vec<Vec<&GraphEdge>> = vec![Vec::new(); graph.nodes.len()];
    let mut needs = needed_by.clone();
    for edge in &graph.edges {
        needs[edge.needing].push(edge);
        needed_by[edge.needed].push(edge);
    }
    for own in &mut needs {
        own.sort_by_key(|edge| (component(graph, edge), edge.is_choice));
    }
    html! {
        section.graph-words #in-words aria-labelledby="in-words-title" {
            h2 #in-words-title { "The same in words" }
            @for (lane, shown) in graph.lanes.iter().enumerate() {
                h3 { (text(&shown.place.display_name())) }
                ul {
                    @for at in (0..graph.nodes.len()).filter(|at| graph.nodes[*at].lane == lane) {
                        (entry(environment, graph, at, &needs[at], &needed_by[at]))
                    }
                }
            }
        }
    }
}

fn entry(
    environment: &str,
    graph: &EnvironmentGraph,
    at: usize,
    needs: &[&GraphEdge],
    needed_by: &[&GraphEdge],
) -> Markup {
    let node = &graph.nodes[at];
    let (mut lacking, met): (Vec<_>, Vec<_>) = needs
        .chunk_by(|one, other| is_one_need(graph, one, other))
        .partition(|need| need.iter().any(|edge| edge.trouble.is_some()));
    lacking.sort_by_key(|need| Reverse(need.iter().map(|edge| edge.trouble).max()));
    let users: Vec<usize> = needed_by.iter().map(|edge| edge.needing).collect();
    html! {
        li id={ "n" (at) } {
            p {
                a href=(node_address(environment, graph, at)) { (text(node.component.as_str())) }
                " " (badge(node.health())) " " (text(&node_text(node)))
            }
            @if needs.is_empty() && users.is_empty() { p { "Needs nothing, and nothing needs it." } }
            @if !lacking.is_empty() { p { strong { "Lacks " } (all(graph, node.lane, &lacking)) } }
            @if !met.is_empty() { p { "Needs " (all(graph, node.lane, &met)) } }
            @if !users.is_empty() { p { "Needed by " (names(graph, node.lane, &users)) } }
        }
    }
}

/// Returns the text beside the badge: `3 down of 42 instances, the cause: it is not running`.
fn node_text(node: &GraphNode) -> String {
    let counts = (node.counts.total() > 1).then(|| counts_sentence(node.counts));
    let parts: Vec<&str> = counts.as_deref().into_iter().chain(remarks(node)).collect();
    let reason = Some(node.reason.as_str()).filter(|reason| !reason.is_empty());
    let parts = Some(parts.join(", ")).filter(|parts| !parts.is_empty());
    parts.as_deref().into_iter().chain(reason).collect::<Vec<_>>().join(": ")
}

/// Returns true if two edges lead to alternative providers of the same component.
fn is_one_need(graph: &EnvironmentGraph, one: &GraphEdge, other: &GraphEdge) -> bool {
    one.is_choice && other.is_choice && component(graph, one) == component(graph, other)
}

fn component<'g>(graph: &'g EnvironmentGraph, edge: &GraphEdge) -> &'g Name {
    &graph.nodes[edge.needed].component
}

/// Renders the prerequisites of a node in `lane`.
fn all(graph: &EnvironmentGraph, lane: usize, needs: &[&[&GraphEdge]]) -> Markup {
    html! {
        @for (nth, need) in needs.iter().enumerate() {
            @let providers: Vec<usize> = need.iter().map(|edge| edge.needed).collect();
            @if nth > 0 { ", " }
            @if need.iter().any(|edge| edge.is_choice) { "any one of " }
            (names(graph, lane, &providers))
        }
    }
}

/// Renders names with links to their entries, with the place if it is not `lane`.
fn names(graph: &EnvironmentGraph, lane: usize, nodes: &[usize]) -> Markup {
    html! {
        @for (nth, at) in nodes.iter().take(OTHERS).enumerate() {
            @let node = &graph.nodes[*at];
            @if nth > 0 { ", " }
            a href={ "#n" (at) } { (truncated(&text(node.component.as_str()), NAME)) }
            @if node.lane != lane { " on " (truncated(&text(&graph.place(*at).display_name()), NAME)) }
            " (" (node.health()) ")"
        }
        @if nodes.len() > OTHERS { " and " (nodes.len() - OTHERS) " more" }
    }
}
