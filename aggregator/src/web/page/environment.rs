//! One environment: its verdict, its root causes, its hosts.

use std::cmp::Reverse;

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::overview::{Counts, EnvironmentOverview, Health, HostOverview, InstanceOverview, Located};
use rta_shared::text::counted;
use rta_shared::trouble::{Trouble, consequence, verdict};

use super::health::{ago, badge, icon, lasting, text};
use super::instance::address;
use super::tree::{Node, Tag};
use super::{Shown, graph, host, maintenance, slug, wall};

/// How many hosts are shown as cards at once; where there are more, those that are not well.
const CARDS: usize = 24;
/// How many of the instances that a cause takes down are named.
const NAMED: usize = 12;
/// How many causes are seen at once.
const SEEN: usize = 10;
/// How many causes are listed.
const CAUSES: usize = 60;

/// The environment's part of the page.
pub(super) fn environment(
    environment: &EnvironmentOverview,
    troubles: &[Trouble<'_>],
    shown: &Shown<'_>,
) -> Node {
    let id = slug(environment.name.as_str());
    let children = vec![
        head(environment, &id),
        causes(environment, troubles, shown, &id),
        hosts(environment, shown, &id),
    ];
    Node::group(id, Tag::Section, "environment", children)
}

fn head(environment: &EnvironmentOverview, id: &str) -> Node {
    let counts = environment.counts();
    let id = format!("{id}-head");
    let element = html! {
        div.environment-head #(id) {
            h2 { (text(environment.name.as_str())) }
            (badge(environment.health))
            p { (verdict(counts)) }
            a href=(graph::address(&environment.name)) { "Graph" }
            (bar(counts))
        }
    };
    Node::leaf(id, &element)
}

fn causes(environment: &EnvironmentOverview, troubles: &[Trouble<'_>], shown: &Shown<'_>, id: &str) -> Node {
    let own: Vec<_> =
        troubles.iter().filter(|trouble| trouble.environment.name == environment.name).collect();
    let id = format!("{id}-causes");
    let element = html! {
        div #(id) class=[(!own.is_empty()).then_some("troubles")] {
            @if !own.is_empty() {
                h3 { "What is wrong" }
                ul {
                    @for trouble in own.iter().take(SEEN) { (cause(trouble, shown.now)) }
                    @if own.len() > SEEN {
                        li.trouble {
                            details {
                                summary { "and " (own.len() - SEEN) " more" }
                                ul { @for trouble in own.iter().take(CAUSES).skip(SEEN) { (cause(trouble, shown.now)) } }
                                @if own.len() > CAUSES { p.affected { "The other " (own.len() - CAUSES) " are found below." } }
                            }
                        }
                    }
                }
            }
        }
    };
    Node::leaf(id, &element)
}

/// The hosts that are selected: all as cards where they are few, those that are not well first; where they are
/// many, a wall of tiles below the cards of those that are not well.
fn hosts(environment: &EnvironmentOverview, shown: &Shown<'_>, id: &str) -> Node {
    let all: Vec<(&HostOverview, Vec<&InstanceOverview>)> = environment
        .hosts
        .iter()
        .map(|host| (host, shown.selection.of(host)))
        .filter(|(_, instances)| !instances.is_empty())
        .collect();
    let is_many = all.len() > CARDS;
    let mut cards: Vec<&(&HostOverview, Vec<&InstanceOverview>)> =
        all.iter().filter(|(host, _)| !is_many || host.health != Health::Up).collect();
    // Stable: those of the same health stay in the configuration's order.
    cards.sort_by_key(|(host, _)| Reverse(host.health));
    let more = cards.len().saturating_sub(CARDS);
    cards.truncate(CARDS);
    let nodes =
        cards.iter().map(|(host, instances)| host::host(environment, host, instances, shown)).collect();
    let mut children = vec![Node::group(format!("{id}-hosts"), Tag::Division, "hosts", nodes)];
    let note = match (all.len(), more) {
        (0, _) if !shown.selection.is_everything() => "Nothing here fits what is looked for.".to_owned(),
        (0, _) => "No host of it carries a component.".to_owned(),
        (_, 0) => String::new(),
        (_, more) => {
            format!("{} more are not up: see the tiles, or look for them by name.", counted(more, "host"))
        }
    };
    let note_id = format!("{id}-note");
    children.push(Node::leaf(note_id.clone(), &html! { p.hosts-note #(note_id) { (note) } }));
    if is_many {
        let hosts: Vec<&HostOverview> = all.iter().map(|(host, _)| *host).collect();
        children.push(wall::wall(environment, &hosts));
    }
    Node::group(format!("{id}-all"), Tag::Division, "hosts-all", children)
}

/// One root cause, with what it takes down.
fn cause(trouble: &Trouble<'_>, now: Timestamp) -> Markup {
    let host_name = text(trouble.host.name.as_str());
    let consequence = consequence(trouble);
    html! {
        li class={ "trouble " (trouble.health()) } {
            (icon(trouble.health()))
            div {
                @if let Some(maintenance) = trouble.maintenance() { p { (maintenance::badge(maintenance)) } }
                @match trouble.instance {
                    Some(instance) => {
                        p {
                            a href=(address(&Located { environment: trouble.environment, host: trouble.host, instance }.id())) {
                                strong { (text(instance.component.as_str())) } " on " (host_name)
                            }
                            " is " strong { (instance.health) }
                            @if let Some(since) = instance.since { " for " (lasting(since, now)) }
                            ": " (text(&instance.reason))
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
                        @for (at, other) in trouble.affected.iter().take(NAMED).enumerate() {
                            @if at > 0 { ", " }
                            a href=(address(&other.id())) { (text(other.instance.component.as_str())) }
                            @if other.host.name != trouble.host.name { " on " (text(other.host.name.as_str())) }
                        }
                        @if trouble.affected.len() > NAMED { " and " (trouble.affected.len() - NAMED) " more" }
                    }
                }
            }
        }
    }
}

/// The counts as one bar; the words beside it say the same.
fn bar(counts: Counts) -> Markup {
    let mut x = 0;
    let parts = Health::ALL.map(|health| {
        let from = x;
        x += counts.of(health);
        (health, from, counts.of(health))
    });
    html! {
        svg.bar viewBox={ "0 0 " (counts.total().max(1)) " 1" } preserveAspectRatio="none" aria-hidden="true" {
            @for (health, from, width) in parts {
                @if width > 0 { rect class=(health) x=(from) y="0" width=(width) height="1" {} }
            }
        }
    }
}
