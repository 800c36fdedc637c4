//! One host with its instances, and the buttons.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::overview::{EnvironmentOverview, HostOverview, InstanceOverview, Located};
use rta_shared::report::State;

use super::anchor;
use super::health::{ago, badge, text};

/// The host's card.
pub(super) fn host(environment: &EnvironmentOverview, host: &HostOverview, now: Timestamp) -> Markup {
    html! {
        article class={ "host " (host.health) } {
            header {
                h3 { (text(host.name.as_str())) }
                @if let Some(role) = &host.role { span.role { (text(role.as_str())) } }
                (badge(host.health))
                p.scanned {
                    @match (host.scanned_at, host.reachable) {
                        (Some(at), true) => { "scanned " (ago(at, now)) }
                        (Some(at), false) => { "last scan heard of " (ago(at, now)) }
                        (None, _) => "no scan heard of yet",
                    }
                }
            }
            @if let Some(error) = &host.error { p.error { (text(error)) } }
            ul.instances {
                @for instance in &host.instances { (row(Located { environment, host, instance })) }
            }
        }
    }
}

fn row(located: Located<'_>) -> Markup {
    let instance = located.instance;
    let pids: Vec<String> = instance.processes.iter().map(|process| process.id.pid.to_string()).collect();
    html! {
        li class={ "instance " (instance.health) } id=(anchor(&located.id())) {
            span.what {
                span.component { (text(instance.component.as_str())) }
                @if !instance.reason.is_empty() {
                    span.reason {
                        @match &instance.cause {
                            Some(cause) => a href={ "#" (anchor(cause)) } { (text(&instance.reason)) },
                            None => (text(&instance.reason)),
                        }
                    }
                }
            }
            (badge(instance.health))
            span.state {
                (instance.state.map_or("-", State::word))
                @if !pids.is_empty() {
                    span.pids { (if pids.len() == 1 { "pid " } else { "pids " }) (pids.join(", ")) }
                }
            }
            span.control { (control(located)) }
        }
    }
}

/// The button that makes sense, if one does.
fn control(located: Located<'_>) -> Markup {
    let InstanceOverview { state, startable, .. } = located.instance;
    html! {
        @match (state, startable) {
            (Some(State::Stopped), true) => (button("/start", "Start", located)),
            (Some(State::Stopped), false) => {
                span.hint title="The configuration has no start command for it" { "watched only" }
            }
            (Some(State::Running), _) => (button("/stop", "Stop", located)),
            (Some(State::Partial), true) => {
                (button("/start", "Start", located))
                (button("/stop", "Stop", located))
            }
            (Some(State::Partial), false) => (button("/stop", "Stop", located)),
            (Some(State::Starting | State::Stopping | State::Unknown) | None, _) => {}
        }
    }
}

fn button(path: &str, word: &str, located: Located<'_>) -> Markup {
    let id = located.id();
    html! {
        form method="post" action=(path) {
            input type="hidden" name="environment" value=(id.environment);
            input type="hidden" name="host" value=(id.host);
            input type="hidden" name="component" value=(id.component);
            button type="submit" class=(word.to_lowercase())
                aria-label={ (word) " " (text(id.component.as_str())) " on " (text(id.host.as_str())) } { (word) }
        }
    }
}
