//! The drawing: lanes, then edges, those that trouble takes on top, then boxes.

use maud::{Markup, html};
use rta_shared::overview::Health;
use rta_shared::text::cut;
use rta_shared::trouble::verdict;

use super::super::health::{icon, text};
use super::{leads_to, standing};
use crate::graph::layout::{Band, HEIGHT, Layout, Point, Route, WIDTH};
use crate::graph::{Edge, Graph, Lane, Place};

/// More of a name than any box holds, in bytes: where it ends there is the browser's to say.
const NAME: usize = 60;
/// As much of a lane's name as is drawn, in bytes.
const HEADING: usize = 60;

/// How far the curves reach out before they turn.
const BEND: i32 = 46;
/// The radius of an edge's turns.
const TURN: i32 = 7;

/// The SVG, in a region that scrolls where the screen is narrow.
pub(super) fn drawing(environment: &str, graph: &Graph, laid_out: &Layout) -> Markup {
    let Layout { width, height, .. } = laid_out;
    let mut edges: Vec<(&Edge, &Route)> = graph.edges.iter().zip(&laid_out.routes).collect();
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
                // Over the edges, so that they can be read.
                @for (lane, band) in graph.lanes.iter().zip(&laid_out.lanes) { (heading(lane, *band, environment)) }
                @for (at, corner) in laid_out.nodes.iter().enumerate() { (node(environment, graph, at, *corner)) }
            }
        }
    }
}

/// The arrows' heads, one for each colour.
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

fn heading(lane: &Lane, band: Band, environment: &str) -> Markup {
    html! {
        text.graph-heading x="16" y=(band.y + 25) {
            tspan.graph-host { (cut(&text(&lane.place.spoken()), HEADING)) }
            tspan dx="12" { (cut(&text(&beside(lane, environment)), HEADING)) }
        }
    }
}

/// `main-analytic, all 8 instances up`
fn beside(lane: &Lane, environment: &str) -> String {
    let verdict = verdict(lane.counts);
    match &lane.place {
        Place::Host { environment: own, .. } if own.as_str() != environment => {
            format!("of environment {own}: {verdict}")
        }
        Place::Host { role: Some(role), .. } => format!("{role}, {verdict}"),
        Place::Host { role: None, .. } | Place::Hosts { .. } => verdict,
    }
}

fn line(edge: &Edge, route: Route) -> Markup {
    let head = edge.trouble.map_or("calm", Health::word);
    html! {
        path class={ "graph-edge" (kind(edge)) } d=(way(route)) marker-start={ "url(#head-" (head) ")" } {}
    }
}

/// The classes that tell one edge from another.
fn kind(edge: &Edge) -> String {
    let across = if edge.is_across { " across" } else { "" };
    edge.trouble.map_or(across.to_owned(), |health| format!("{across} trouble {health}"))
}

/// From what is needed to what needs it, so that the dashes of a trunk's edges fall together.
fn way(Route { from, past, trunk, to }: Route) -> String {
    let next = past.map_or(from, |(_, far)| far);
    let first = match trunk {
        Some(x) => along(to, x, next),
        None => curve(to, next),
    };
    let rest = past.map(|(near, _)| format!("H{}{}", near.x, curve(near, from)));
    format!("M{} {}{first}{}", to.x, to.y, rest.unwrap_or_default())
}

/// Straight to the trunk at `x`, along it, and straight on.
fn along(from: Point, x: i32, to: Point) -> String {
    let turn = if from.y < to.y { TURN } else { -TURN };
    let (left, right) = (x - TURN, x + TURN);
    let (first, last) = (from.y + turn, to.y - turn);
    format!("H{left}Q{x} {} {x} {first}V{last}Q{x} {} {right} {}H{}", from.y, to.y, to.y, to.x)
}

/// A curve that leaves to the right and arrives from the left.
fn curve(from: Point, to: Point) -> String {
    format!("C{} {} {} {} {} {}", from.x + BEND, from.y, to.x - BEND, to.y, to.x, to.y)
}

fn node(environment: &str, graph: &Graph, at: usize, corner: Point) -> Markup {
    let node = &graph.nodes[at];
    let health = node.health();
    let cause = if node.is_cause { " cause" } else { "" };
    html! {
        a.graph-node href=(leads_to(environment, graph, at)) {
            title { (text(&full(graph, at))) }
            g class={ (health) (cause) } transform={ "translate(" (corner.x) " " (corner.y) ")" } {
                rect width=(WIDTH) height=(HEIGHT) rx="8" {}
                g transform="translate(10 13)" { (icon(health)) }
                // HTML, which ends with dots what is too wide for its box.
                foreignObject x="34" width=(WIDTH - 40) height=(HEIGHT) {
                    div.graph-text {
                        span.graph-name { (cut(&text(node.component.as_str()), NAME)) }
                        span { (cut(&text(&below(graph, at)), NAME)) }
                    }
                }
            }
        }
    }
}

/// `kafka server on c9t21193: down, the cause: it is not running`
fn full(graph: &Graph, at: usize) -> String {
    let node = &graph.nodes[at];
    let reason = if node.reason.is_empty() { String::new() } else { format!(": {}", node.reason) };
    format!("{}: {}{reason}", graph.spoken(at), standing(node))
}

/// `down, the cause, c9t21193`: what matters first, since the end may be cut off.
fn below(graph: &Graph, at: usize) -> String {
    match graph.place(at) {
        Place::Host { name, .. } => format!("{} \u{b7} {name}", standing(&graph.nodes[at])),
        Place::Hosts { .. } => standing(&graph.nodes[at]),
    }
}
