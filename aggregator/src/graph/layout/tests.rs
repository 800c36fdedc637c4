use super::*;
use crate::graph::tests::{LARGE, build_sample_graph, entangled, platform, sample_needs};
use crate::web::page::tests::sample;

fn graphs() -> Vec<EnvironmentGraph> {
    let mut graphs = vec![build_sample_graph(&sample_needs(), &sample()), EnvironmentGraph::default()];
    for hosts in [1, 2, 11, 21, 22] {
        let (needs, overview) = platform(hosts);
        graphs.push(build_sample_graph(&needs, &overview));
    }
    let (needs, overview) = entangled();
    graphs.push(build_sample_graph(&needs, &overview));
    graphs.push(build_sample_graph(&LARGE.0, &LARGE.1));
    graphs
}

#[test]
fn what_is_needed_is_left_of_what_needs_it() {
    for graph in graphs() {
        let laid_out = compute_layout(&graph);
        assert_eq!(laid_out.routes.len(), graph.edges.len());
        for edge in &graph.edges {
            assert!(laid_out.nodes[edge.needed].x + WIDTH < laid_out.nodes[edge.needing].x);
        }
    }
}

#[test]
fn boxes_are_apart_in_their_lanes_and_in_the_drawing() {
    for graph in graphs() {
        let laid_out = compute_layout(&graph);
        for (at, one) in laid_out.nodes.iter().enumerate() {
            let lane = laid_out.lanes[graph.nodes[at].lane];
            assert!(one.y >= lane.y + HEAD && one.y + HEIGHT < lane.y + lane.height);
            assert!(one.x > 0 && one.x + WIDTH < laid_out.width);
            for other in &laid_out.nodes[..at] {
                let are_apart = (one.x - other.x).abs() >= WIDTH || (one.y - other.y).abs() >= HEIGHT;
                assert!(are_apart, "{one:?} {other:?}");
            }
        }
        for pair in laid_out.lanes.windows(2) {
            assert!(pair[0].y + pair[0].height < pair[1].y);
        }
        assert_eq!(laid_out.height, laid_out.lanes.last().map_or(0, |last| last.y + last.height));
    }
}

/// Returns true if no box lies between two points on the same horizontal or vertical line.
fn is_free(nodes: &[Point], (one, other): (Point, Point)) -> bool {
    let (left, right) = (one.x.min(other.x), one.x.max(other.x));
    let (top, bottom) = (one.y.min(other.y), one.y.max(other.y));
    !nodes.iter().any(|node| {
        node.x < right && left < node.x + WIDTH && node.y <= bottom && top <= node.y + HEIGHT
            || node.x <= left && right <= node.x + WIDTH && node.y < bottom && top < node.y + HEIGHT
    })
}

#[test]
fn what_goes_past_other_columns_or_lanes_crosses_no_box() {
    let mut counted = (0, 0);
    for graph in graphs() {
        let GraphLayout { nodes, routes, .. } = compute_layout(&graph);
        for EdgeRoute { past, trunk, to, .. } in routes {
            if let Some((near, far)) = past {
                counted.0 += 1;
                assert!(far.x < near.x && near.y == far.y && is_free(&nodes, (near, far)));
            }
            if let Some(x) = trunk {
                counted.1 += 1;
                let ends = (Point { x, y: 0 }, Point { x, y: 100_000 });
                assert!(to.x < x && is_free(&nodes, ends));
            }
        }
    }
    assert!(counted.0 > 0 && counted.1 > 0, "{counted:?}");
}
