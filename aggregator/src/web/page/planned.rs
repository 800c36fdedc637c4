//! Planned stops: shown apart from problems, with the button to start the instances again.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::overview::{EnvironmentOverview, InstanceOverview, Overview};
use rta_shared::planned_outage::{PlannedOutage, PlannedStopIndex, planned_outages, start_again_label};
use rta_shared::planned_stop::PlannedStop;
use rta_shared::root_cause::{RootCause, find_root_causes};

use super::health::{self, HealthTone, ago, icon, text};
use super::links::{address, names};
use super::{OverviewContext, form, layout};
use crate::web::page::html_patch::{GroupTag, HtmlNode};
use crate::web::request_context::RequestContext;

/// Maximum number of plans listed; the instances of others are shown in their hosts' cards.
const MAX_PLANS: usize = 20;

/// Renders the plans with planned stops in `environment`; empty if there are none.
pub(super) fn outages(
    environment: &EnvironmentOverview,
    root_causes: &[RootCause<'_>],
    shown: &OverviewContext<'_>,
    id: &str,
) -> Vec<HtmlNode> {
    let outages = planned_outages(environment, root_causes);
    if outages.is_empty() {
        return Vec::new();
    }
    let part = |name: &str| format!("{id}:{name}");
    let more = outages.len().saturating_sub(MAX_PLANS);
    let head = html! {
        h3 id=(part("head")) {
            "Stopped on purpose"
            @if more > 0 { ", by the last " (MAX_PLANS) " of " (outages.len()) " plans" }
        }
    };
    let rows = outages.iter().take(MAX_PLANS).map(|outage| {
        let plan = outage.stop.plan;
        let row_id = part(&plan.to_string());
        let element = html! {
            li #(row_id) class="trouble planned" {
                (icon(HealthTone::of_instance(outage.stopped[0].instance)))
                div {
                    (outage_summary(outage, shown.now))
                    (start_again_button(shown.context, plan, shown.planned.startable(plan)))
                }
            }
        };
        HtmlNode::leaf(row_id, &element)
    });
    vec![
        HtmlNode::leaf(part("head"), &head),
        HtmlNode::group(part("plans"), GroupTag::List, "causes", rows.collect()),
    ]
}

/// Renders user, time and consequences of a planned stop.
fn outage_summary(outage: &PlannedOutage<'_>, now: Timestamp) -> Markup {
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
pub(super) fn reason(instance: &InstanceOverview, now: Timestamp) -> Markup {
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
pub(super) fn start_again_button(context: &RequestContext, plan: u64, count: usize) -> Markup {
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
    let of_plan = |environment| {
        planned_outages(environment, &root_causes).into_iter().find(|outage| outage.stop.plan == plan)
    };
    let outages: Vec<PlannedOutage<'_>> = overview.environments.iter().filter_map(of_plan).collect();
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
