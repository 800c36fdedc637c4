//! Where a graph is drawn: hosts as lanes one below the other, what is needed left of what needs it.
//!
//! Columns go through all lanes, so that the gaps between them are free of boxes from top to bottom and an edge can
//! go from any lane to any other without crossing a box. The layout crates on offer have no such lanes: a port of
//! dagre draws twenty hosts as a strip of a few centimetres by six metres.

use petgraph::algo::toposort;
use petgraph::graph::DiGraph;

use super::{Edge, Graph};

/// A node's box.
pub(crate) const WIDTH: i32 = 204;
/// A node's box.
pub(crate) const HEIGHT: i32 = 42;
/// Between two columns: room for the curves.
const GUTTER: i32 = 96;
/// Between two boxes of a column.
const ROW_GAP: i32 = 14;
/// From a lane's upper edge to its first box: its heading is there.
const HEAD: i32 = 40;
const PADDING: i32 = 16;
const LANE_GAP: i32 = 14;
/// So many columns are used for what has no edges, where there are not as many layers.
const LEAST_COLUMNS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) x: i32,
    pub(crate) y: i32,
}

/// A lane's extent from top to bottom; it is as wide as the drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Band {
    pub(crate) y: i32,
    pub(crate) height: i32,
}

/// How an edge goes: from the left side of what needs to the right side of what is needed, in curves through the
/// gaps between the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) from: Point,
    /// Where it goes straight past the boxes of other columns, through a gap between two rows.
    pub(crate) past: Option<(Point, Point)>,
    pub(crate) to: Point,
}

/// Positions, of everything in the order of the graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) lanes: Vec<Band>,
    /// Upper left corners.
    pub(crate) nodes: Vec<Point>,
    pub(crate) routes: Vec<Route>,
}

/// Where each node stands in its lane.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    column: usize,
    row: usize,
}

/// Lays `graph` out.
pub(crate) fn layout(graph: &Graph) -> Layout {
    let cells = cells(graph);
    let columns = cells.iter().map(|cell| cell.column + 1).max().unwrap_or(1);
    let mut rows = vec![0; graph.lanes.len()];
    for (node, cell) in graph.nodes.iter().zip(&cells) {
        rows[node.lane] = rows[node.lane].max(cell.row + 1);
    }
    let mut y = 0;
    let lanes: Vec<Band> = rows
        .into_iter()
        .map(|rows| {
            let band = Band { y, height: HEAD + pixels(rows, HEIGHT + ROW_GAP) - ROW_GAP + PADDING };
            y += band.height + LANE_GAP;
            band
        })
        .collect();
    let nodes: Vec<Point> = graph
        .nodes
        .iter()
        .zip(&cells)
        .map(|(node, cell)| Point {
            x: left_of(cell.column),
            y: lanes[node.lane].y + HEAD + pixels(cell.row, HEIGHT + ROW_GAP),
        })
        .collect();
    let routes = graph.edges.iter().map(|edge| route(edge, &cells, &nodes)).collect();
    Layout { width: left_of(columns) - GUTTER + PADDING, height: (y - LANE_GAP).max(0), lanes, nodes, routes }
}

/// `count` times `each`. A drawing has a few hundred nodes.
fn pixels(count: usize, each: i32) -> i32 {
    i32::try_from(count).unwrap_or(0) * each
}

fn left_of(column: usize) -> i32 {
    PADDING + pixels(column, WIDTH + GUTTER)
}

fn route(edge: &Edge, cells: &[Cell], nodes: &[Point]) -> Route {
    let (needing, needed) = (nodes[edge.needing], nodes[edge.needed]);
    let from = Point { x: needing.x, y: needing.y + HEIGHT / 2 };
    let to = Point { x: needed.x + WIDTH, y: needed.y + HEIGHT / 2 };
    let is_next = cells[edge.needing].column == cells[edge.needed].column + 1;
    let y = needing.y - ROW_GAP / 2;
    let past = (!is_next).then_some((Point { x: from.x - GUTTER, y }, Point { x: to.x + GUTTER, y }));
    Route { from, past, to }
}

/// In a lane, a column holds the nodes of its layer beside what they need. What has no edges fills up the shortest
/// columns.
fn cells(graph: &Graph) -> Vec<Cell> {
    let layers = layers(graph);
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    let mut is_joined = vec![false; graph.nodes.len()];
    for edge in &graph.edges {
        needs[edge.needing].push(edge.needed);
        is_joined[edge.needing] = true;
        is_joined[edge.needed] = true;
    }
    let mut of_lanes: Vec<Vec<usize>> = vec![Vec::new(); graph.lanes.len()];
    for (at, node) in graph.nodes.iter().enumerate() {
        of_lanes[node.lane].push(at);
    }
    let mut columns = layers.iter().map(|layer| layer + 1).max().unwrap_or(1);
    if is_joined.contains(&false) {
        columns = columns.max(LEAST_COLUMNS);
    }
    let mut cells = vec![Cell::default(); graph.nodes.len()];
    for of_lane in of_lanes {
        let mut rows = vec![0; columns];
        let (mut joined, apart): (Vec<usize>, Vec<usize>) =
            of_lane.into_iter().partition(|at| is_joined[*at]);
        joined.sort_by_key(|at| layers[*at]);
        for layer in joined.chunk_by_mut(|one, other| layers[*one] == layers[*other]) {
            layer.sort_by_cached_key(|at| {
                let here =
                    needs[*at].iter().filter(|needed| graph.nodes[**needed].lane == graph.nodes[*at].lane);
                mean_row(here.map(|needed| cells[*needed].row))
            });
            for at in layer {
                let column = layers[*at];
                cells[*at] = Cell { column, row: rows[column] };
                rows[column] += 1;
            }
        }
        for at in apart {
            let shortest = (0..columns).min_by_key(|column| rows[*column]);
            let column = shortest.unwrap_or(0);
            cells[at] = Cell { column, row: rows[column] };
            rows[column] += 1;
        }
    }
    cells
}

/// In hundredths of a row; of nothing, the top.
fn mean_row(rows: impl Iterator<Item = usize>) -> usize {
    let (count, sum) = rows.fold((0, 0), |(count, sum), row| (count + 1, sum + row));
    (sum * 100).checked_div(count).unwrap_or(0)
}

/// How many steps there are at most from each node to one that needs nothing.
fn layers(graph: &Graph) -> Vec<usize> {
    let mut directed = DiGraph::<(), ()>::new();
    let nodes: Vec<_> = graph.nodes.iter().map(|_| directed.add_node(())).collect();
    for edge in &graph.edges {
        directed.add_edge(nodes[edge.needed], nodes[edge.needing], ());
    }
    let mut layers = vec![0; graph.nodes.len()];
    // A checked configuration has no cycle among components, so that there is none here.
    for node in toposort(&directed, None).unwrap_or_default() {
        for needing in directed.neighbors(node) {
            layers[needing.index()] = layers[needing.index()].max(layers[node.index()] + 1);
        }
    }
    layers
}

#[cfg(test)]
mod tests;
