//! Problems of an environment: the root causes, each with its consequences.

use jiff::Timestamp;
use maud::html;
use rta_shared::overview::{EnvironmentOverview, LocatedInstance};
use rta_shared::root_cause::{RootCause, affected_sentence};

use crate::web::pages::overview::context::OverviewContext;
use crate::web::pages::overview::outages;
use crate::web::parts::anchors::{anchor, slug};
use crate::web::parts::health::{ago, duration_since, icon, reason, text};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};
use crate::web::parts::links::{address, names};
use crate::web::parts::maintenance;

/// Maximum number of causes shown before the rest is folded.
const MAX_SHOWN: usize = 10;
/// Maximum number of causes listed.
const MAX_CAUSES: usize = 60;

/// Renders those of `root_causes` that belong to this environment; `id` is the environment's.
pub(crate) fn causes(
    environment: &EnvironmentOverview,
    root_causes: &[RootCause<'_>],
    shown: &OverviewContext<'_>,
    id: &str,
) -> HtmlNode {
    let own: Vec<_> = root_causes
        .iter()
        .filter(|trouble| trouble.environment.name == environment.name && trouble.planned_stop().is_none())
        .collect();
    let id = format!("{id}:causes");
    let planned = outages::outages(environment, root_causes, shown, &format!("{id}:planned"));
    let children = [wrong(&own, shown.now, &id), planned].concat();
    let class = if children.is_empty() { "" } else { "troubles" };
    HtmlNode::group(id, GroupTag::Division, class, children)
}

/// Renders the problems that nobody caused on purpose.
fn wrong(own: &[&RootCause<'_>], now: Timestamp, id: &str) -> Vec<HtmlNode> {
    if own.is_empty() {
        return Vec::new();
    }
    let part = |name: &str| format!("{id}:{name}");
    let listed = |name: &str, some: &[&RootCause<'_>]| {
        let nodes = some.iter().map(|trouble| cause(trouble, now)).collect();
        HtmlNode::group(part(name), GroupTag::List, "causes", nodes)
    };
    let (seen, others) = own.split_at(own.len().min(MAX_SHOWN));
    let (others, unlisted) = others.split_at(others.len().min(MAX_CAUSES - MAX_SHOWN));
    let head = html! { h3 id=(part("head")) { "What is wrong" } };
    let mut children = vec![HtmlNode::leaf(part("head"), &head), listed("seen", seen)];
    if !others.is_empty() {
        let more = html! {
            summary id=(part("more")) {
                "and " (others.len() + unlisted.len()) " more"
                @if !unlisted.is_empty() { "; " (unlisted.len()) " of them are found below only" }
            }
        };
        let others = vec![HtmlNode::leaf(part("more"), &more), listed("listed", others)];
        children.push(HtmlNode::group(part("others"), GroupTag::Details, "more-causes", others));
    }
    children
}

/// Returns a string that identifies the place of a problem on the page.
fn place(trouble: &RootCause<'_>) -> String {
    let RootCause { environment, host, instance, .. } = trouble;
    match instance {
        Some(instance) => anchor(&LocatedInstance { environment, host, instance }.id()),
        None => format!("{}:{}", slug(environment.name.as_str()), slug(host.name.as_str())),
    }
}

/// Renders one root cause with its consequences.
fn cause(trouble: &RootCause<'_>, now: Timestamp) -> HtmlNode {
    let id = format!("cause:{}", place(trouble));
    let host_name = text(trouble.host.name.as_str());
    let consequence = affected_sentence(trouble);
    let element = html! {
        li #(id) class={ "trouble " (trouble.health()) } {
            (icon(trouble.health()))
            div {
                @if let Some(maintenance) = trouble.maintenance() { p { (maintenance::badge(maintenance)) } }
                @match trouble.instance {
                    Some(instance) => {
                        p {
                            a href=(address(&LocatedInstance { environment: trouble.environment, host: trouble.host, instance }.id())) {
                                strong { (text(instance.component.as_str())) } " on " (host_name)
                            }
                            " is " strong { (instance.health) }
                            @if let Some(since) = instance.since { " for " (duration_since(since, now)) }
                            ": " (reason(instance, now))
                        }
                    }
                    None => {
                        p {
                            "host " strong { (host_name) } " is " strong { "unknown" }
                            @match trouble.host.seen_at() {
                                Some(at) => { ", last seen " (ago(at, now)) }
                                None => ", never seen",
                            }
                        }
                        @if let Some(error) = &trouble.host.error { p.error { (text(error)) } }
                    }
                }
                @if !consequence.is_empty() {
                    p.affected {
                        (consequence) ": "
                        (names(&trouble.affected, Some(trouble.host)))
                    }
                }
            }
        }
    };
    HtmlNode::leaf(id, &element)
}
