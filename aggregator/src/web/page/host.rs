//! One host: what is wrong with it, its instances, and how it is watched.

use maud::{Markup, html};
use rta_shared::overview::{EnvironmentOverview, HostOverview, Located};

use super::health::{ago, badge, text};
use super::{Shown, agent, config, instance, maintenance};

/// The host's card.
pub(super) fn host(environment: &EnvironmentOverview, host: &HostOverview, shown: &Shown<'_>) -> Markup {
    let now = shown.now;
    html! {
        article class={ "host " (host.health) } {
            header {
                h3 { (text(host.name.as_str())) }
                @if let Some(role) = &host.role { span.role { (text(role.as_str())) } }
                (badge(host.health))
                p.seen {
                    @match (host.seen_at(), host.reachable) {
                        (Some(at), true) => { "seen " (ago(at, now)) }
                        (Some(at), false) => { "last seen " (ago(at, now)) }
                        (None, _) => "not seen yet",
                    }
                }
            }
            @if let Some(maintenance) = &host.maintenance { (maintenance::line(maintenance)) }
            @if let Some(error) = &host.error { p.error { (text(error)) } }
            // What a lost agent said of itself need not be so any longer.
            @if let Some(agent) = host.agent.as_ref().filter(|_| host.reachable) {
                (config::warnings(agent, shown.digest))
            }
            ul.instances {
                @for instance in &host.instances {
                    (instance::row(Located { environment, host, instance }, shown))
                }
            }
            (agent::footer(host, now))
        }
    }
}
