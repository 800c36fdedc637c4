//! Problems: the root causes, each with its consequences. Many of the same kind are one item.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::overview::{EnvironmentOverview, LocatedInstance};
use rta_shared::root_cause::{RootCause, affected_sentence};
use rta_shared::root_cause_groups::{RootCauseGroup, group_root_causes};

use crate::web::pages::overview::cause_group;
use crate::web::pages::overview::context::OverviewContext;
use crate::web::pages::overview::outages;
use crate::web::pages::overview::selection::Selection;
use crate::web::parts::anchors::{anchor, slug};
use crate::web::parts::health::{ago, duration_since, icon, reason, text};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};
use crate::web::parts::links::{address, names};
use crate::web::parts::maintenance;

/// Maximum number of problems shown before the rest is folded. With more root causes, those of the same
/// kind are one problem.
const MAX_SHOWN: usize = 10;
/// Maximum number of problems listed on a page.
const MAX_PROBLEMS: usize = 30;

/// Renders those of `root_causes` that belong to this environment, which is one of `sharing` on the page;
/// `id` is the environment's.
pub(crate) fn causes(
    environment: &EnvironmentOverview,
    root_causes: &[RootCause<'_>],
    sharing: usize,
    shown: &OverviewContext<'_>,
    id: &str,
) -> HtmlNode {
    let own: Vec<_> = root_causes
        .iter()
        .filter(|trouble| trouble.environment.name == environment.name && trouble.planned_stop().is_none())
        .collect();
    let id = format!("{id}:causes");
    let planned = outages::outages(&[environment], root_causes, shown, &format!("{id}:planned"));
    let rest = Selection::of_environment(&environment.name);
    let most = (MAX_PROBLEMS / sharing.max(1)).max(MAX_SHOWN);
    card(id.clone(), wrong(&own, most, &rest, shown.now, &id), planned)
}

/// Renders the root causes of all these environments.
pub(crate) fn all_causes(
    environments: &[&EnvironmentOverview],
    root_causes: &[RootCause<'_>],
    shown: &OverviewContext<'_>,
) -> HtmlNode {
    let own: Vec<_> = root_causes.iter().filter(|trouble| trouble.planned_stop().is_none()).collect();
    let id = "problems";
    let planned = outages::outages(environments, root_causes, shown, &format!("{id}:planned"));
    card(id.to_owned(), wrong(&own, MAX_PROBLEMS, &Selection::default(), shown.now, id), planned)
}

fn card(id: String, wrong: Vec<HtmlNode>, planned: Vec<HtmlNode>) -> HtmlNode {
    let children = [wrong, planned].concat();
    let class = if children.is_empty() { "" } else { "troubles" };
    HtmlNode::group(id, GroupTag::Division, class, children)
}

/// Renders the problems that nobody caused on purpose, `most` at most; `rest` leads to the others.
fn wrong(own: &[&RootCause<'_>], most: usize, rest: &Selection, now: Timestamp, id: &str) -> Vec<HtmlNode> {
    if own.is_empty() {
        return Vec::new();
    }
    let groups: Vec<RootCauseGroup<'_, '_>> = match own.len() {
        0..=MAX_SHOWN => {
            own.iter().map(|cause| RootCauseGroup { first: cause, causes: vec![*cause] }).collect()
        }
        _ => group_root_causes(own.iter().copied()),
    };
    let part = |name: &str| format!("{id}:{name}");
    let listed = |name: &str, some: &[RootCauseGroup<'_, '_>]| {
        let nodes = some.iter().map(|group| problem(group, rest, now, id)).collect();
        HtmlNode::group(part(name), GroupTag::List, "causes", nodes)
    };
    let (seen, others) = groups.split_at(groups.len().min(MAX_SHOWN));
    let (others, unlisted) = others.split_at(others.len().min(most - MAX_SHOWN));
    let head = html! { h3 id=(part("head")) { "What is wrong" } };
    let mut children = vec![HtmlNode::leaf(part("head"), &head), listed("seen", seen)];
    if !others.is_empty() {
        let more = html! { summary id=(part("more")) { "and " (others.len() + unlisted.len()) " more" } };
        let others = vec![HtmlNode::leaf(part("more"), &more), listed("listed", others)];
        children.push(HtmlNode::group(part("others"), GroupTag::Details, "more-causes", others));
    }
    if !unlisted.is_empty() {
        let link = html! {
            p.rest-of-causes id=(part("rest")) {
                a href=(rest.clone().with_problems().address()) {
                    (unlisted.len()) " more kinds of problems: show all that is not up"
                }
            }
        };
        children.push(HtmlNode::leaf(part("rest"), &link));
    }
    children
}

fn problem(group: &RootCauseGroup<'_, '_>, rest: &Selection, now: Timestamp, id: &str) -> HtmlNode {
    match group.causes.len() {
        1 => cause(group.first, now),
        _ => cause_group::cause_group(group, rest, now, id),
    }
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
    let consequence = affected_sentence(trouble);
    let element = html! {
        li #(id) class={ "trouble " (trouble.health()) } {
            (icon(trouble.health()))
            div {
                @if let Some(maintenance) = trouble.maintenance() { p { (maintenance::badge(maintenance)) } }
                (subject(trouble, now))
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

/// Renders what is wrong with the root cause itself, and why.
fn subject(trouble: &RootCause<'_>, now: Timestamp) -> Markup {
    let RootCause { environment, host, .. } = trouble;
    let host_name = text(host.name.as_str());
    let Some(instance) = trouble.instance else {
        return html! {
            p {
                "host " strong { (host_name) } " is " strong { "unknown" }
                @match host.seen_at() {
                    Some(at) => { ", last seen " (ago(at, now)) }
                    None => ", never seen",
                }
            }
            @if let Some(error) = &host.error { p.error { (text(error)) } }
        };
    };
    html! {
        p {
            a href=(address(&LocatedInstance { environment, host, instance }.id())) {
                strong { (text(instance.component.as_str())) } " on " (host_name)
            }
            " is " strong { (instance.health) }
            @if let Some(since) = instance.since { " for " (duration_since(since, now)) }
            ": " (reason(instance, now))
        }
    }
}
