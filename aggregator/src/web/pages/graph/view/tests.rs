use super::*;
use crate::graph::layout::compute_layout;
use crate::graph::tests::{LARGE, build_sample_graph, entangled, platform, sample_needs};
use crate::sample_overview::sample;

fn html_of(needs: &rta_shared::dependency::DependencyGraph, overview: &Overview) -> String {
    let drawn = build_sample_graph(needs, overview);
    graph(
        &RequestContext::anonymous("/graph"),
        overview,
        &overview.environments[0],
        &drawn,
        &compute_layout(&drawn),
    )
    .into_string()
}

fn sample_html() -> String {
    html_of(&sample_needs(), &sample())
}

#[test]
fn the_way_of_trouble_stands_out_in_the_drawing_and_in_words() {
    let html = sample_html();
    assert_eq!(html.matches("class=\"graph-edge across trouble down\"").count(), 1);
    assert!(html.contains("marker-start=\"url(#head-down)\"") && html.contains("<marker id=\"head-down\""));
    assert!(html.contains("<title>kafka server on c9t21193: down, the cause: it is not running</title>"));
    let words = &html[html.find("id=\"in-words\"").unwrap()..];
    assert!(
        words.contains("<strong>Lacks </strong><a href=\"#n0\">kafka server</a> on c9t21193 (down)"),
        "{words}"
    );
    assert!(
        words.contains("Needed by <a href=\"#n1\">novelty detector</a> on c2t08978 (degraded)"),
        "{words}"
    );
    assert!(words.contains("<li id=\"n0\">") && words.contains("<li id=\"n1\">"));
}

#[test]
fn any_one_of_several_is_said_so() {
    let (needs, overview) = platform(4);
    let html = html_of(&needs, &overview);
    let words = &html[html.find("id=\"in-words\"").unwrap()..];
    let buses: Vec<_> = words.split("any one of ").skip(1).collect();
    assert_eq!(buses.len(), 4, "one for each top");
    let providers = |one: &&str| one.split("</p>").next().unwrap().matches("</a> on h").count();
    assert_eq!(buses.iter().map(providers).collect::<Vec<_>>(), [2, 2, 3, 2]);
    let html = html_of(&LARGE.0, &LARGE.1);
    assert!(html.contains("any one of <a href=\"#n12\">run bus</a> (up)"), "{html}");
}

#[test]
fn each_node_leads_to_its_instance() {
    let mut shown = sample();
    shown.environments[0].hosts[0].instances[0].component = "a&b=c d/\u{e9}".into();
    let html = html_of(&sample_needs(), &shown);
    let address = "/instance?environment=DEV&amp;host=c9t21193&amp;component=a%26b%3Dc+d%2F%C3%A9";
    assert_eq!(html.matches(address).count(), 2, "drawing and words\n{html}");
}

#[test]
fn a_healthy_graph_is_calm() {
    let (needs, overview) = platform(2);
    let html = html_of(&needs, &overview);
    assert!(!html.contains("trouble") && !html.contains("Lacks") && !html.contains("the cause"));
    assert!(html.contains("needs, on its own host") && html.contains("all 28 instances up"));
    assert!(!html.contains("class=\"hint\""));
}

#[test]
fn names_are_text_and_never_longer_than_their_boxes() {
    let mut shown = sample();
    let kafka = &mut shown.environments[0].hosts[0].instances[0];
    kafka.component = format!("<script>\u{1b}\u{202e}{}", "x".repeat(200)).as_str().into();
    kafka.reason = "</title><img src=x onerror=y>\u{1b}[31m".to_owned();
    shown.environments[0].hosts[1].name = "h\u{65e5}".repeat(80).as_str().into();
    shown.environments[0].hosts[1].role = Some("\"><b>".repeat(30).as_str().into());
    let html = html_of(&sample_needs(), &shown);
    for harm in ["<script>", "<img", "<b>", "\u{1b}", "\u{202e}", "style="] {
        assert!(!html.contains(harm), "{harm}\n{html}");
    }
    assert!(html.contains("&lt;script&gt;\\u{1b}\\u{202e}x"), "the full name is shown: {html}");
    for text in html.split("class=\"graph-name\"").skip(1) {
        let drawn = text.split(['>', '<']).nth(1).unwrap();
        assert!(drawn.replace("&lt;", "<").replace("&gt;", ">").len() <= 60, "{drawn}");
    }
}

#[test]
fn a_large_environment_makes_a_small_page_that_says_so() {
    let html = html_of(&LARGE.0, &LARGE.1);
    assert!(html.contains("1000 of them are drawn together") && html.contains("667 hosts of run"));
    assert!(html.contains("all 667 instances up"));
    assert!(html.contains("<a href=\"/?environment=dev&amp;health=bad\">All that is not up</a>"));
    assert!(html.contains("<a class=\"graph-node\" href=\"/?environment=dev&amp;q=run+bus&amp;role=run\">"));
    assert!(html.len() < 100_000, "{}", html.len());
}

#[test]
fn the_largest_drawing_makes_a_page_that_can_be_loaded() {
    let (needs, overview) = entangled();
    let html = html_of(&needs, &overview);
    assert!(html.contains("Left out: 21900 arrows."));
    assert!(html.len() < 1_100_000, "{}", html.len());
}

#[test]
fn an_environment_without_hosts_says_so() {
    let mut shown = sample();
    shown.environments[0].hosts.clear();
    let html = html_of(&sample_needs(), &shown);
    assert!(
        html.contains("No host of this environment carries a component.")
            && !html.contains("<svg class=\"graph\"")
    );
}
