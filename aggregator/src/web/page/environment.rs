//! One environment: its verdict, its root causes, its hosts.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::overview::{Counts, EnvironmentOverview, Health, Located};
use rta_shared::trouble::{Trouble, consequence, verdict};

use super::health::{ago, badge, icon, text};
use super::{anchor, graph, host, maintenance, slug};

/// The environment's part of the page; `digest` is that of the aggregator's configuration.
pub(super) fn environment(
    environment: &EnvironmentOverview,
    troubles: &[Trouble<'_>],
    digest: &str,
    now: Timestamp,
) -> Markup {
    let counts = environment.counts();
    let own: Vec<_> =
        troubles.iter().filter(|trouble| trouble.environment.name == environment.name).collect();
    let id = slug(environment.name.as_str());
    html! {
        section.environment #(id) aria-labelledby={ (id) "-title" } {
            div.environment-head {
                h2 id={ (id) "-title" } { (text(environment.name.as_str())) }
                (badge(environment.health))
                p { (verdict(counts)) }
                a href=(graph::address(&environment.name)) { "Graph" }
                (bar(counts))
            }
            @if !own.is_empty() {
                div.troubles {
                    h3 { "What is wrong" }
                    ul { @for trouble in own { (cause(trouble, now)) } }
                }
            }
            div class="hosts" {
                @for shown in &environment.hosts { (host::host(environment, shown, digest, now)) }
            }
        }
    }
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
                            a href={ "#" (anchor(&Located { environment: trouble.environment, host: trouble.host, instance }.id())) } {
                                strong { (text(instance.component.as_str())) } " on " (host_name)
                            }
                            " is " strong { (instance.health) } ": " (text(&instance.reason))
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
                        @for (at, other) in trouble.affected.iter().enumerate() {
                            @if at > 0 { ", " }
                            a href={ "#" (anchor(&other.id())) } { (text(other.instance.component.as_str())) }
                            @if other.host.name != trouble.host.name { " on " (text(other.host.name.as_str())) }
                        }
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
