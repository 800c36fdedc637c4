//! Layout of a graph: hosts as lanes one below the other, prerequisites left of their dependents.
//!
//! Columns go through all lanes, so that the gaps between them are free of boxes from top to bottom and an
//! edge can go from any lane to any other without crossing a box. The available layout crates have no such
//! lanes: a port of dagre draws twenty hosts as a strip of 18,000 by 240 pixels.

use std::collections::BTreeSet;

use super::{EnvironmentGraph, GraphEdge};

/// Width of a node's box.
pub(crate) const WIDTH: i32 = 236;
/// Height of a node's box.
pub(crate) const HEIGHT: i32 = 42;
/// Distance between two columns: room for the curves within a lane, beside the trunks.
const GUTTER: i32 = 92;
/// Distance from a column to the first trunk right of it.
const BEFORE_TRUNKS: i32 = 26;
/// Distance between two trunks if there are few.
const TRUNK_GAP: i32 = 7;
/// Distance from a box's lower edge to the point where edges to other lanes leave it.
const OFF_MIDDLE: i32 = 10;
/// Maximum width of all trunks right of a column.
const TRUNKS: i32 = 140;
/// Distance between two boxes of a column.
const ROW_GAP: i32 = 14;
/// Distance from a lane's upper edge to its first box: room for its heading.
const HEAD: i32 = 40;
const PADDING: i32 = 16;
const LANE_GAP: i32 = 14;
/// Minimum number of columns for nodes without edges, even if there are fewer layers.
const MIN_COLUMNS: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) x: i32,
    pub(crate) y: i32,
}

/// Vertical extent of a lane; it is as wide as the drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneBand {
    pub(crate) y: i32,
    pub(crate) height: i32,
}

/// Route of an edge: from the left side of the dependent to the right side of the prerequisite, through the
/// gaps between the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EdgeRoute {
    pub(crate) from: Point,
    /// Horizontal part past the boxes of other columns, through a gap between two rows.
    pub(crate) past: Option<(Point, Point)>,
    /// Position of the vertical part to another lane. All edges to one node share it, so that they appear as
    /// one.
    pub(crate) trunk: Option<i32>,
    pub(crate) to: Point,
}

/// Positions of everything, in the order of the graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct GraphLayout {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) lanes: Vec<LaneBand>,
    /// Upper left corners.
    pub(crate) nodes: Vec<Point>,
    pub(crate) routes: Vec<EdgeRoute>,
}

/// Position of a node in its lane.
#[derive(Clone, Copy, Debug, Default)]
struct NodeCell {
    column: usize,
    row: usize,
}

/// Computes the layout of `graph`.
pub(crate) fn compute_layout(graph: &EnvironmentGraph) -> GraphLayout {
    let cells = assign_cells(graph);
    let columns = assign_columns(graph, &cells);
    let mut rows = vec![0; graph.lanes.len()];
    for (node, cell) in graph.nodes.iter().zip(&cells) {
        rows[node.lane] = rows[node.lane].max(cell.row + 1);
    }
    let mut y = 0;
    let lanes: Vec<LaneBand> = rows
        .into_iter()
        .map(|rows| {
            let band = LaneBand { y, height: HEAD + pixels(rows, HEIGHT + ROW_GAP) - ROW_GAP + PADDING };
            y += band.height + LANE_GAP;
            band
        })
        .collect();
    let nodes: Vec<Point> = graph
        .nodes
        .iter()
        .zip(&cells)
        .map(|(node, cell)| Point {
            x: columns[cell.column].x,
            y: lanes[node.lane].y + HEAD + pixels(cell.row, HEIGHT + ROW_GAP),
        })
        .collect();
    let routes = graph.edges.iter().map(|edge| route_edge(graph, edge, &cells, &columns, &nodes)).collect();
    GraphLayout {
        width: columns.last().map_or(0, |last| last.x + WIDTH + PADDING),
        height: (y - LANE_GAP).max(0),
        lanes,
        nodes,
        routes,
    }
}

/// Returns `count` times `each`. A drawing has a few hundred nodes, so that the product fits.
fn pixels(count: usize, each: i32) -> i32 {
    i32::try_from(count).unwrap_or(0) * each
}

/// Column, and the trunks right of it.
struct LayoutColumn {
    x: i32,
    /// Nodes of the column that are needed from other lanes.
    needed: Vec<usize>,
}

impl LayoutColumn {
    fn right(&self) -> i32 {
        self.x + WIDTH
    }

    /// Returns the width of its trunks.
    fn room(&self) -> i32 {
        pixels(self.needed.len(), TRUNK_GAP).min(TRUNKS)
    }

    /// Returns the trunk of one of its nodes.
    fn trunk(&self, node: usize) -> Option<i32> {
        let nth = self.needed.binary_search(&node).ok()?;
        Some(self.right() + BEFORE_TRUNKS + pixels(nth, self.room()) / pixels(self.needed.len(), 1))
    }
}

fn assign_columns(graph: &EnvironmentGraph, cells: &[NodeCell]) -> Vec<LayoutColumn> {
    let count = cells.iter().map(|cell| cell.column + 1).max().unwrap_or(0);
    let mut columns: Vec<LayoutColumn> =
        (0..count).map(|_| LayoutColumn { x: PADDING, needed: Vec::new() }).collect();
    let needed: BTreeSet<usize> =
        graph.edges.iter().filter(|edge| is_between_lanes(graph, edge)).map(|edge| edge.needed).collect();
    for node in needed {
        columns[cells[node].column].needed.push(node);
    }
    let mut x = PADDING;
    for column in &mut columns {
        column.x = x;
        x += WIDTH + GUTTER + column.room();
    }
    columns
}

fn is_between_lanes(graph: &EnvironmentGraph, edge: &GraphEdge) -> bool {
    graph.nodes[edge.needing].lane != graph.nodes[edge.needed].lane
}

fn route_edge(
    graph: &EnvironmentGraph,
    edge: &GraphEdge,
    cells: &[NodeCell],
    columns: &[LayoutColumn],
    nodes: &[Point],
) -> EdgeRoute {
    let (needing, needed) = (nodes[edge.needing], nodes[edge.needed]);
    let (last, first) = (cells[edge.needing].column, cells[edge.needed].column);
    let y = needing.y - ROW_GAP / 2;
    let past = (last > first + 1)
        .then(|| (Point { x: columns[last - 1].right(), y }, Point { x: columns[first + 1].x, y }));
    let trunk = is_between_lanes(graph, edge).then(|| columns[first].trunk(edge.needed)).flatten();
    // Lower than edges within the lane, so that the two cannot be confused.
    let leaves_at = if trunk.is_some() { HEIGHT - OFF_MIDDLE } else { HEIGHT / 2 };
    EdgeRoute {
        from: Point { x: needing.x, y: needing.y + leaves_at },
        past,
        trunk,
        to: Point { x: needed.x + WIDTH, y: needed.y + HEIGHT / 2 },
    }
}

/// Assigns cells. Within a lane, a column holds the nodes of its layer, close to the rows of their
/// prerequisites. Nodes without edges fill the shortest columns.
fn assign_cells(graph: &EnvironmentGraph) -> Vec<NodeCell> {
    let layers = compute_layers(graph);
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
        columns = columns.max(MIN_COLUMNS);
    }
    let mut cells = vec![NodeCell::default(); graph.nodes.len()];
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
                cells[*at] = NodeCell { column, row: rows[column] };
                rows[column] += 1;
            }
        }
        for at in apart {
            let shortest = (0..columns).min_by_key(|column| rows[*column]);
            let column = shortest.unwrap_or(0);
            cells[at] = NodeCell { column, row: rows[column] };
            rows[column] += 1;
        }
    }
    cells
}

/// Returns the mean in hundredths of a row; 0, the top, if there are no rows.
fn mean_row(rows: impl Iterator<Item = usize>) -> usize {
    let (count, sum) = rows.fold((0, 0), |(count, sum), row| (count + 1, sum + row));
    (sum * 100).checked_div(count).unwrap_or(0)
}

/// Returns the length of the longest path from each node to a node without prerequisites. A node whose
/// prerequisites form a cycle, which no validated configuration contains, stays at the lengths found so far.
fn compute_layers(graph: &EnvironmentGraph) -> Vec<usize> {
    let mut dependents = vec![Vec::new(); graph.nodes.len()];
    let mut unplaced = vec![0_usize; graph.nodes.len()];
    for edge in &graph.edges {
        dependents[edge.needed].push(edge.needing);
        unplaced[edge.needing] += 1;
    }
    let mut layers = vec![0; graph.nodes.len()];
    // Topological order after Kahn: a node follows once its last prerequisite has its layer.
    let mut ready: Vec<usize> = (0..graph.nodes.len()).filter(|node| unplaced[*node] == 0).collect();
    while let Some(node) = ready.pop() {
        for dependent in &dependents[node] {
            layers[*dependent] = layers[*dependent].max(layers[node] + 1);
            unplaced[*dependent] -= 1;
            if unplaced[*dependent] == 0 {
                ready.push(*dependent);
            }
        }
    }
    layers
}

#[cfg(test)]
mod tests;
