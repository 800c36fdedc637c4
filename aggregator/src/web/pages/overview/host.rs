//! Card of one host: its problems, its instances, and its agent.

use maud::html;
use rta_shared::overview::LocatedInstance;

use crate::web::pages::overview::content::SelectedHost;
use crate::web::pages::overview::context::OverviewContext;
use crate::web::pages::overview::selection::Selection;
use crate::web::pages::overview::{agent, instance};
use crate::web::parts::anchors::{anchor, slug};
use crate::web::parts::health::{HealthTone, ago, badge, text};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};
use crate::web::parts::links::host_down_address;
use crate::web::parts::{config, maintenance};

/// Renders the card of a host with the selected instances.
pub(crate) fn host(selected: &SelectedHost<'_>, shown: &OverviewContext<'_>) -> HtmlNode {
    let SelectedHost { environment, host, instances } = selected;
    let now = shown.now;
    let id = format!("host:{}:{}", slug(environment.name.as_str()), slug(host.name.as_str()));
    let part = |name: &str| format!("{id}:{name}");
    let tone = HealthTone::new(host.health, shown.planned.explains_host(environment, host));
    let head = html! {
        header id=(part("head")) {
            h3 { (text(host.name.as_str())) }
            @if shown.names_environment { span.role { (text(environment.name.as_str())) } }
            @if let Some(role) = &host.role { span.role { (text(role.as_str())) } }
            (badge(tone))
            p.seen {
                @match (host.seen_at(), host.reachable) {
                    (Some(at), true) => { "seen " (ago(at, now)) }
                    (Some(at), false) => { "last seen " (ago(at, now)) }
                    (None, _) => "not seen yet",
                }
            }
        }
    };
    let notes = html! {
        div.host-notes id=(part("notes")) {
            @if let Some(maintenance) = &host.maintenance { (maintenance::line(maintenance)) }
            @if let Some(error) = &host.error { p.error { (text(error)) } }
            // The last data of a lost agent about itself may be out of date.
            @if let Some(agent) = host.agent.as_ref().filter(|_| host.reachable) {
                (config::warnings(agent, shown.digest))
            }
            (config::host_impairments(host))
        }
    };
    let rows = instances.iter().map(|instance| {
        let located = LocatedInstance { environment, host, instance };
        HtmlNode::leaf(anchor(&located.id()), &instance::row(located, shown))
    });
    let foot = html! {
        div id=(part("foot")) {
            @if instances.len() < host.instances.len() {
                p.rest {
                    a href=(Selection::of_host(environment, host).address()) {
                        "Show all " (host.instances.len()) " of this host"
                    }
                }
            }
            @if host.reachable {
                p.rest { a href=(host_down_address(environment, host)) { "What if this host were down?" } }
            }
            (agent::footer(host, now))
        }
    };
    let parts = vec![
        HtmlNode::leaf(part("head"), &head),
        HtmlNode::leaf(part("notes"), &notes),
        HtmlNode::group(part("instances"), GroupTag::List, "instances", rows.collect()),
        HtmlNode::leaf(part("foot"), &foot),
    ];
    let class = format!("host {}", tone.class());
    HtmlNode::group(id, GroupTag::Article, &class, parts)
}
