//! SVG drawing: lanes, then edges, those that carry trouble on top, then boxes.

use maud::{Markup, html};
use rta_shared::overview::Health;
use rta_shared::root_cause::counts_sentence;
use rta_shared::sanitize::truncated;

use super::{health_text, node_address};
use crate::graph::layout::{EdgeRoute, GraphLayout, HEIGHT, LaneBand, Point, WIDTH};
use crate::graph::{EnvironmentGraph, GraphEdge, GraphLane, LanePlace};
use crate::web::parts::health::{icon, text};

/// Maximum length of a name in a box, in bytes; longer than any box can show, since the browser cuts it to
/// the box.
const NAME: usize = 60;
/// Maximum length of a lane's name, in bytes.
const HEADING: usize = 60;

/// Horizontal reach of a curve before it turns.
const BEND: i32 = 46;
/// Radius of an edge's corners.
const TURN: i32 = 7;

/// Renders the SVG in a region that scrolls on narrow screens.
pub(crate) fn drawing(environment: &str, graph: &EnvironmentGraph, laid_out: &GraphLayout) -> Markup {
    let GraphLayout { width, height, .. } = laid_out;
    let mut edges: Vec<(&GraphEdge, &EdgeRoute)> = graph.edges.iter().zip(&laid_out.routes).collect();
    edges.sort_by_key(|(edge, _)| edge.trouble);
    html! {
        div.graph-scroll tabindex="0" role="region" aria-label="The drawing" {
            svg.graph width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
                role="group" aria-label={ "What needs what in " (text(environment)) } {
                (heads())
                @for band in &laid_out.lanes {
                    rect.graph-lane x="0.5" y={ (band.y) ".5" } width=(width - 1) height=(band.height - 1) rx="10" {}
                }
                @for (edge, route) in edges { (line(edge, *route)) }
                // On top of the edges, so that the headings can be read.
                @for (lane, band) in graph.lanes.iter().zip(&laid_out.lanes) { (heading(lane, *band, environment)) }
                @for (at, corner) in laid_out.nodes.iter().enumerate() { (node(environment, graph, at, *corner)) }
            }
        }
    }
}

/// Renders the arrow heads, one for each colour.
fn heads() -> Markup {
    html! {
        defs {
            (head("calm"))
            @for health in Health::ALL { (head(health.word())) }
        }
    }
}

fn head(kind: &str) -> Markup {
    html! {
        marker id={ "head-" (kind) } viewBox="0 0 10 10" refX="1" refY="5" markerWidth="9" markerHeight="9"
            markerUnits="userSpaceOnUse" orient="auto" {
            path class={ "graph-head-" (kind) " " (kind) } d="M10 0L0 5L10 10z" fill="currentColor" {}
        }
    }
}

fn heading(lane: &GraphLane, band: LaneBand, environment: &str) -> Markup {
    html! {
        text.graph-heading x="16" y=(band.y + 25) {
            tspan.graph-host { (truncated(&text(&lane.place.display_name()), HEADING)) }
            tspan dx="12" { (truncated(&text(&beside(lane, environment)), HEADING)) }
        }
    }
}

/// Returns the text beside a lane's name: `main-analytic, all 8 instances up`.
fn beside(lane: &GraphLane, environment: &str) -> String {
    let verdict = counts_sentence(lane.counts);
    match &lane.place {
        LanePlace::Host { environment: own, .. } if own.as_str() != environment => {
            format!("of environment {own}: {verdict}")
        }
        LanePlace::Host { role: Some(role), .. } => format!("{role}, {verdict}"),
        LanePlace::Host { role: None, .. } | LanePlace::Hosts { .. } => verdict,
    }
}

fn line(edge: &GraphEdge, route: EdgeRoute) -> Markup {
    let head = edge.trouble.map_or("calm", Health::word);
    html! {
        path class={ "graph-edge" (kind(edge)) } d=(way(route)) marker-start={ "url(#head-" (head) ")" } {}
    }
}

/// Returns the classes of an edge.
fn kind(edge: &GraphEdge) -> String {
    let across = if edge.is_across { " across" } else { "" };
    edge.trouble.map_or(across.to_owned(), |health| format!("{across} trouble {health}"))
}

/// Returns the path from the prerequisite to the dependent, so that the dashes of edges on one trunk
/// coincide.
fn way(EdgeRoute { from, past, trunk, to }: EdgeRoute) -> String {
    let next = past.map_or(from, |(_, far)| far);
    let first = match trunk {
        Some(x) => along(to, x, next),
        None => curve(to, next),
    };
    let rest = past.map(|(near, _)| format!("H{}{}", near.x, curve(near, from)));
    format!("M{} {}{first}{}", to.x, to.y, rest.unwrap_or_default())
}

/// Returns a path straight to the trunk at `x`, along it, and straight on.
fn along(from: Point, x: i32, to: Point) -> String {
    let turn = if from.y < to.y { TURN } else { -TURN };
    let (left, right) = (x - TURN, x + TURN);
    let (first, last) = (from.y + turn, to.y - turn);
    format!("H{left}Q{x} {} {x} {first}V{last}Q{x} {} {right} {}H{}", from.y, to.y, to.y, to.x)
}

/// Returns a curve that leaves to the right and arrives from the left.
fn curve(from: Point, to: Point) -> String {
    format!("C{} {} {} {} {} {}", from.x + BEND, from.y, to.x - BEND, to.y, to.x, to.y)
}

fn node(environment: &str, graph: &EnvironmentGraph, at: usize, corner: Point) -> Markup {
    let node = &graph.nodes[at];
    let health = node.health();
    let cause = if node.is_cause { " cause" } else { "" };
    html! {
        a.graph-node href=(node_address(environment, graph, at)) {
            title { (text(&full(graph, at))) }
            g class={ (health) (cause) } transform={ "translate(" (corner.x) " " (corner.y) ")" } {
                rect width=(WIDTH) height=(HEIGHT) rx="8" {}
                g transform="translate(10 13)" { (icon(health)) }
                // HTML cuts a text that is too wide for its box with an ellipsis.
                foreignObject x="34" width=(WIDTH - 40) height=(HEIGHT) {
                    div.graph-text {
                        span.graph-name { (truncated(&text(node.component.as_str()), NAME)) }
                        span { (truncated(&text(&below(graph, at)), NAME)) }
                    }
                }
            }
        }
    }
}

/// Returns the full description: `kafka server on c9t21193: down, the cause: it is not running`.
fn full(graph: &EnvironmentGraph, at: usize) -> String {
    let node = &graph.nodes[at];
    let reason = if node.reason.is_empty() { String::new() } else { format!(": {}", node.reason) };
    format!("{}: {}{reason}", graph.display_name(at), health_text(node))
}

/// Returns the second line of a box: `down, the cause, c9t21193`. The health is first, since the end may be
/// cut off.
fn below(graph: &EnvironmentGraph, at: usize) -> String {
    match graph.place(at) {
        LanePlace::Host { name, .. } => format!("{} \u{b7} {name}", health_text(&graph.nodes[at])),
        LanePlace::Hosts { .. } => health_text(&graph.nodes[at]),
    }
}
