//! Planned stops: shown apart from problems, with the button to start the instances again.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::overview::{InstanceOverview, Overview};
use rta_shared::planned_outage::{PlannedOutage, PlannedStopIndex, planned_outages, start_again_label};
use rta_shared::planned_stop::PlannedStop;
use rta_shared::root_cause::find_root_causes;

use crate::web::parts::health;
use crate::web::parts::health::{HealthTone, ago, icon, text};
use crate::web::parts::links::{address, names};
use crate::web::parts::{form, layout};
use crate::web::request_context::RequestContext;

/// Renders user, time and consequences of a planned stop.
pub(crate) fn outage_summary(outage: &PlannedOutage<'_>, now: Timestamp) -> Markup {
    html! {
        p {
            strong { (counted(outage.stopped.len(), "instance")) } " down: "
            (stopped_by_line(outage.stop, now))
        }
        p.affected { (names(&outage.stopped, None)) }
        @if !outage.affected.is_empty() {
            p.affected { (counted(outage.affected.len(), "instance")) " affected by it: " (names(&outage.affected, None)) }
        }
    }
}

/// Renders `stopped by ann 2 min ago (plan 5)`, with a link to the plan.
fn stopped_by_line(stop: &PlannedStop, now: Timestamp) -> Markup {
    html! {
        "stopped by " (text(stop.user())) " " (ago(stop.at, now))
        " (" a href={ "/plan?id=" (stop.plan) } { "plan " (stop.plan) } ")"
    }
}

/// Renders the reason why an instance is not up, with a link to the plan that stopped it or to its root
/// cause.
pub(crate) fn reason(instance: &InstanceOverview, now: Timestamp) -> Markup {
    // Other sentences follow the one about the stop.
    let rest = instance
        .stopped_by
        .as_ref()
        .and_then(|stop| Some((stop, instance.reason.strip_prefix(&stop.to_string())?)));
    match (rest, &instance.cause) {
        (Some((stop, rest)), cause) => html! {
            (stopped_by_line(stop, now))
            @match (cause, rest.strip_prefix("; ")) {
                (Some(cause), Some(rest)) => { "; " a href=(address(cause)) { (text(rest)) } }
                _ => (text(rest)),
            }
        },
        (None, Some(cause)) => html! { a href=(address(cause)) { (health::reason(instance, now)) } },
        (None, None) => health::reason(instance, now),
    }
}

/// Renders the button that starts `count` instances again; empty if there are none or the user may not act.
pub(crate) fn start_again_button(context: &RequestContext, plan: u64, count: usize) -> Markup {
    if count == 0 || !context.may_act {
        return html! {};
    }
    let label = start_again_label(count);
    form::post(
        context,
        "/start",
        Some("start-again"),
        &html! {
            (form::plan_fields(plan))
            button.start type="submit" aria-label={ (label) ", what plan " (plan) " has stopped" } { (label) }
        },
    )
}

/// Renders the page of a plan that is not kept any more; `None` if it has no planned stops.
pub(in crate::web) fn stopped_by(
    context: &RequestContext,
    plan: u64,
    overview: &Overview,
    now: Timestamp,
) -> Option<Markup> {
    let root_causes = find_root_causes(overview);
    let environments = overview.environments.iter();
    let planned = environments.flat_map(|environment| planned_outages(environment, &root_causes));
    let outages: Vec<PlannedOutage<'_>> = planned.filter(|outage| outage.stop.plan == plan).collect();
    if outages.is_empty() {
        return None;
    }
    let body = html! {
        main.plan {
            div.plan-head { h1 { "Plan " (plan) } p { "What it stopped and what has not run since:" } }
            ul.causes.troubles {
                @for outage in &outages {
                    li.trouble.planned { (icon(HealthTone::of_instance(outage.stopped[0].instance))) div { (outage_summary(outage, now)) } }
                }
            }
            div.plan-line {
                (start_again_button(context, plan, PlannedStopIndex::new(overview).startable(plan)))
                a href="/events?kind=plan" { "What is recorded of plans" }
                a href="/" { "Back to the overview" }
            }
        }
    };
    Some(layout::layout(context, &format!("Plan {plan} - rta"), &body))
}
