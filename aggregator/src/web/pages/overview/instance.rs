//! Row of one instance: its health, its details, and the buttons.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::action::ActionKind;
use rta_shared::format::{memory, percent};
use rta_shared::overview::{Health, LocatedInstance};
use rta_shared::probe::ProbeState;
use rta_shared::report::{PartReport, State};

use crate::web::pages::overview::context::OverviewContext;
use crate::web::pages::plan::view::capitalised;
use crate::web::parts::anchors::anchor;
use crate::web::parts::health::{HealthTone, badge, duration_since, text};
use crate::web::parts::links::{address, log_address};
use crate::web::parts::{form, maintenance, planned};
use crate::web::request_context::RequestContext;

/// Renders the instance's row in its host's card.
pub(crate) fn row(located: LocatedInstance<'_>, shown: &OverviewContext<'_>) -> Markup {
    let instance = located.instance;
    let pids: Vec<String> = instance.processes.iter().map(|process| process.id.pid.to_string()).collect();
    let tone = HealthTone::of_instance(instance);
    html! {
        li class={ "instance " (tone.class()) } id=(anchor(&located.id())) {
            div.what {
                a.component href=(address(&located.id())) { (text(instance.component.as_str())) }
                @if !instance.reason.is_empty() {
                    span.reason {
                        (planned::reason(instance, shown.now))
                    }
                }
                // Maintenance of the whole host is shown at the host.
                @if let Some(own) = instance.maintenance.as_ref().filter(|one| one.component.is_some()) {
                    (maintenance::badge(own))
                }
                (details(located, shown.now))
            }
            span.standing {
                (badge(tone))
                @if let Some(since) = instance.since.filter(|_| instance.health != Health::Up) {
                    span.since { "for " (duration_since(since, shown.now)) }
                }
            }
            span.state {
                (instance.state.map_or("-", State::word))
                @if !pids.is_empty() {
                    span.pids { (if pids.len() == 1 { "pid " } else { "pids " }) (pids.join(", ")) }
                }
            }
            @if shown.context.may_act { span.control { (control(shown.context, located)) } }
        }
    }
}

/// Renders parts, probe and usage, if there are any.
fn details(located: LocatedInstance<'_>, now: Timestamp) -> Markup {
    let instance = located.instance;
    let is_divided = instance.parts.iter().any(|part| part.name.is_some());
    let pids = instance.processes.iter().map(|process| process.id.pid);
    let used = located.host.usage.as_ref().and_then(|usage| usage.total_of(pids));
    html! {
        @if is_divided || instance.probe.is_some() || used.is_some() || instance.has_log {
            ul.facts {
                @if is_divided { @for part in instance.parts.iter() { (tally(part)) } }
                @if let Some(probe) = &instance.probe {
                    li class=[(probe.state == ProbeState::Failing).then_some("lacking")] { (probe.status_text(now)) }
                }
                @if let Some(used) = used {
                    li { "cpu " (percent(used.cpu_percent)) }
                    li { (memory(used.resident_bytes)) }
                }
                @if instance.has_log { li { a href=(log_address(&located.id())) { "log" } } }
            }
        }
    }
}

/// Renders a part, such as `driver 0/1 missing`: the word states what is wrong.
fn tally(part: &PartReport) -> Markup {
    let word = match (part.missing(), part.running, part.surplus()) {
        (Some(_), 0, _) => " missing",
        (Some(_), ..) => " too few",
        (None, _, Some(_)) => " too many",
        (None, _, None) => "",
    };
    html! { li class=[(!word.is_empty()).then_some("lacking")] { (text(&part.tally())) (word) } }
}

/// Renders the buttons that the state permits.
fn control(context: &RequestContext, located: LocatedInstance<'_>) -> Markup {
    let instance = located.instance;
    html! {
        @for kind in instance.allowed_actions() { (button(context, *kind, located)) }
        @if instance.state.is_some_and(State::is_stopped) && !instance.startable {
            span.hint title="The configuration has no start command for it" { "watched only" }
        }
    }
}

fn button(context: &RequestContext, kind: ActionKind, located: LocatedInstance<'_>) -> Markup {
    let id = located.id();
    let word = capitalised(kind.word());
    let content = html! {
        (form::instance_fields(&id))
        button type="submit" class=(kind.word())
            aria-label={ (word) " " (text(id.component.as_str())) " on " (text(id.host.as_str())) } { (word) }
    };
    form::post(context, &format!("/{kind}"), None, &content)
}
