//! Plans with planned stops, apart from problems.

use maud::html;
use rta_shared::overview::EnvironmentOverview;
use rta_shared::planned_outage::planned_outages;
use rta_shared::root_cause::RootCause;

use crate::web::pages::overview::context::OverviewContext;
use crate::web::parts::anchors::slug;
use crate::web::parts::health::{HealthTone, icon};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};
use crate::web::parts::planned::{outage_summary, start_again_button};

/// Maximum number of plans listed; the instances of others are shown in their hosts' cards.
const MAX_PLANS: usize = 20;

/// Renders the plans with planned stops in `environments`; empty if there are none.
pub(crate) fn outages(
    environments: &[&EnvironmentOverview],
    root_causes: &[RootCause<'_>],
    shown: &OverviewContext<'_>,
    id: &str,
) -> Vec<HtmlNode> {
    // Root causes are compared with each environment: those without a planned stop are left out.
    let stopped = environments.iter().filter(|environment| environment.planned_stops() > 0);
    let outages: Vec<_> = stopped
        .take(MAX_PLANS + 1)
        .flat_map(|environment| planned_outages(environment, root_causes))
        .collect();
    if outages.is_empty() {
        return Vec::new();
    }
    let part = |name: &str| format!("{id}:{name}");
    let more = outages.len().saturating_sub(MAX_PLANS);
    let head = html! {
        h3 id=(part("head")) {
            "Stopped on purpose"
            @if more > 0 { ", the first " (MAX_PLANS) " of " (outages.len()) " outages" }
        }
    };
    let rows = outages.iter().take(MAX_PLANS).map(|outage| {
        let plan = outage.stop.plan;
        let place = outage.stopped[0].environment.name.as_str();
        let row_id = part(&format!("{}:{plan}", slug(place)));
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
