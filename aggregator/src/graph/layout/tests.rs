use super::*;
use crate::graph::tests::{LARGE, gathered, platform, sample_needs};
use crate::web::page::tests::sample;

fn graphs() -> Vec<Graph> {
    let mut graphs = vec![gathered(&sample_needs(), &sample()), Graph::default()];
    for hosts in [1, 2, 11, 21, 22] {
        let (needs, overview) = platform(hosts);
        graphs.push(gathered(&needs, &overview));
    }
    graphs.push(gathered(&LARGE.0, &LARGE.1));
    graphs
}

#[test]
fn what_is_needed_is_left_of_what_needs_it() {
    for graph in graphs() {
        let laid_out = layout(&graph);
        assert_eq!(laid_out.routes.len(), graph.edges.len());
        for edge in &graph.edges {
            assert!(laid_out.nodes[edge.needed].x + WIDTH < laid_out.nodes[edge.needing].x);
        }
    }
}

#[test]
fn boxes_are_apart_in_their_lanes_and_in_the_drawing() {
    for graph in graphs() {
        let laid_out = layout(&graph);
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

#[test]
fn an_edge_past_other_columns_crosses_no_box() {
    for graph in graphs() {
        let laid_out = layout(&graph);
        for (near, far) in laid_out.routes.iter().filter_map(|route| route.past) {
            assert!(far.x < near.x && near.y == far.y);
            let is_crossed = |node: &Point| {
                node.y <= near.y && near.y <= node.y + HEIGHT && node.x < near.x && far.x < node.x + WIDTH
            };
            assert!(!laid_out.nodes.iter().any(is_crossed));
        }
    }
}
