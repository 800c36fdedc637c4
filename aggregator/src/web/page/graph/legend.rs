//! Legend of the drawing: only the lines and shapes that occur in it.

use maud::{Markup, html};
use rta_shared::overview::Health;

use super::super::health::badge;
use crate::graph::EnvironmentGraph;

pub(super) fn legend(graph: &EnvironmentGraph) -> Markup {
    let trouble = graph.edges.iter().filter_map(|edge| edge.trouble).max();
    html! {
        ul.graph-legend aria-label="What the drawing shows" {
            @for health in Health::ALL.into_iter().rev() {
                @if graph.nodes.iter().any(|node| node.health() == health) { li { (badge(health)) } }
            }
            @if !graph.edges.is_empty() { li { (sample("", "calm")) "needs, on its own host" } }
            @if graph.edges.iter().any(|edge| edge.is_across) {
                li { (sample(" across", "calm")) "needs, on another host" }
            }
            @if let Some(health) = trouble {
                li { (sample(&format!(" trouble {health}"), health.word())) "is not up because of what the arrow leads to" }
            }
        }
    }
}

fn sample(kind: &str, head: &str) -> Markup {
    html! {
        svg.graph-sample width="52" height="14" viewBox="0 0 52 14" aria-hidden="true" {
            path class={ "graph-edge" (kind) } d="M3 7H50" marker-start={ "url(#head-" (head) ")" } {}
        }
    }
}
