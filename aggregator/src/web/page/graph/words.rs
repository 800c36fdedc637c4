//! The drawing in words, for those who cannot see it, and for whoever looks for one name.

use maud::{Markup, html};
use rta_shared::text::cut;

use super::super::health::{badge, text};
use super::{leads_to, standing};
use crate::graph::{Edge, Graph};

/// As much of another node's name is said, in bytes: its own entry has all of it.
const NAME: usize = 60;
/// So many others are said at one node.
const OTHERS: usize = 12;

pub(super) fn words(environment: &str, graph: &Graph) -> Markup {
    let mut needed_by: Vec<Vec<&Edge>> = vec![Vec::new(); graph.nodes.len()];
    let mut needs = needed_by.clone();
    for edge in &graph.edges {
        needs[edge.needing].push(edge);
        needed_by[edge.needed].push(edge);
    }
    html! {
        section.graph-words #in-words aria-labelledby="in-words-title" {
            h2 #in-words-title { "The same in words" }
            @for (lane, shown) in graph.lanes.iter().enumerate() {
                h3 { (text(&shown.place.spoken())) }
                ul {
                    @for at in (0..graph.nodes.len()).filter(|at| graph.nodes[*at].lane == lane) {
                        (entry(environment, graph, at, &needs[at], &needed_by[at]))
                    }
                }
            }
        }
    }
}

fn entry(environment: &str, graph: &Graph, at: usize, needs: &[&Edge], needed_by: &[&Edge]) -> Markup {
    let node = &graph.nodes[at];
    let here = |other: usize| graph.nodes[other].lane == node.lane;
    let by: Vec<usize> = needed_by.iter().map(|edge| edge.needing).collect();
    html! {
        li id={ "n" (at) } {
            p {
                a href=(leads_to(environment, graph, at)) { (text(node.component.as_str())) }
                " " (badge(node.health())) " "
                @if standing(node) != node.health().word() { (standing(node)) }
                @if !node.reason.is_empty() { ": " (text(&node.reason)) }
            }
            @if needs.is_empty() && by.is_empty() { p { "Needs nothing, and nothing needs it." } }
            @for needed in needs.chunk_by(|one, other| is_one_need(graph, one, other)) {
                @let providers: Vec<usize> = needed.iter().map(|edge| edge.needed).collect();
                p {
                    @if needed.iter().any(|edge| edge.trouble.is_some()) { strong { "Lacks " } } @else { "Needs " }
                    @if providers.len() > 1 { "any one of " }
                    (others(graph, &providers, here))
                }
            }
            @if !by.is_empty() { p { "Needed by " (others(graph, &by, here)) } }
        }
    }
}

/// The edges of one need stand beside one another where its providers do.
fn is_one_need(graph: &Graph, one: &Edge, other: &Edge) -> bool {
    one.is_choice
        && other.is_choice
        && graph.nodes[one.needed].component == graph.nodes[other.needed].component
}

/// Names with links to their entries; the host is said where it is another one.
fn others(graph: &Graph, nodes: &[usize], is_here: impl Fn(usize) -> bool) -> Markup {
    html! {
        @for (nth, at) in nodes.iter().take(OTHERS).enumerate() {
            @if nth > 0 { ", " }
            a href={ "#n" (at) } { (cut(&text(graph.nodes[*at].component.as_str()), NAME)) }
            @if !is_here(*at) { " on " (cut(&text(&graph.place(*at).spoken()), NAME)) }
            " (" (graph.nodes[*at].health()) ")"
        }
        @if nodes.len() > OTHERS { " and " (nodes.len() - OTHERS) " more" }
    }
}
