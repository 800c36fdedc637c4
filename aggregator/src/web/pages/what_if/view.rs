//! Page of a what-if: the differences first, then the overview as it would be.

use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::overview::HealthCounts;
use rta_shared::root_cause::counts_sentence;
use rta_shared::what_if::{HealthChange, WhatIfOverview};

use crate::web::pages::overview::view as overview_view;
use crate::web::parts::health::{icon, text};
use crate::web::parts::layout;
use crate::web::parts::links::address;
use crate::web::request_context::RequestContext;

/// Maximum number of differences that are listed; the overview below has all.
const MAX_CHANGES: usize = 500;

/// Renders the page. It has no buttons, since what it shows is not so.
pub(in crate::web) fn what_if(context: &RequestContext, answer: &WhatIfOverview) -> Markup {
    let overview = &answer.overview;
    let after = overview.counts();
    let before = counts_before(after, &answer.changes);
    let title = format!("If {}", text(&answer.assumption));
    let body = html! {
        main {
            div.plan-head {
                h1 { (title) }
                p { "Nothing was done. Now: " (counts_sentence(before)) ". Then: " (counts_sentence(after)) "." }
                @if let Some(plan) = &answer.plan {
                    p { "Assumed: a " (plan.kind) " of " (counted(plan.steps.len(), "instance")) ", without a failure." }
                }
                @for note in &answer.notes { p.warning { (text(note)) } }
                p { a href="/" { "Back to the overview as it is" } }
            }
            section.panel {
                h2 { "Differences" }
                @if answer.changes.is_empty() { p.empty-line { "The health of no instance would change." } }
                ul.differences { @for change in answer.changes.iter().take(MAX_CHANGES) { (difference(change)) } }
                @if answer.changes.len() > MAX_CHANGES {
                    p.hint { "and " (answer.changes.len() - MAX_CHANGES) " more, see below" }
                }
            }
            h2 { "The overview as it would be" }
            @for environment in overview_view::environments(overview, context) { (environment) }
        }
    };
    layout::layout(context, &format!("{title} - rta"), &body)
}

/// Returns the counts without the changes, of which `after` are the counts with them.
fn counts_before(after: HealthCounts, changes: &[HealthChange]) -> HealthCounts {
    let mut before = after;
    for change in changes {
        before.remove(change.after);
        before.add(change.before);
    }
    before
}

fn difference(change: &HealthChange) -> Markup {
    let id = &change.instance;
    html! {
        li class={ "relation " (change.after) } {
            (icon(change.after)) a href=(address(id)) { (text(id.component.as_str())) }
            span {
                " on " (text(id.host.as_str())) " in " (text(id.environment.as_str()))
                " would be " (change.after) ", is " (change.before)
                @if !change.reason.is_empty() { ": " (text(&change.reason)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::overview::{Health, InstanceId};

    use super::*;
    use crate::sample_overview::sample;

    #[test]
    fn differences_come_first_and_nothing_can_be_pressed() {
        let answer = WhatIfOverview {
            assumption: "<kafka> on c9t21193 were stopped".to_owned(),
            plan: None,
            changes: vec![HealthChange {
                instance: InstanceId {
                    environment: "DEV".into(),
                    host: "c9t21193".into(),
                    component: "kafka server".into(),
                },
                before: Health::Up,
                after: Health::Down,
                reason: "stopped by <this> what-if".to_owned(),
                cause: None,
            }],
            notes: vec!["nobody knows <x>".to_owned()],
            overview: sample(),
        };
        let html = what_if(&RequestContext::anonymous("/what-if"), &answer).into_string();
        for expected in [
            "<h1>If &lt;kafka&gt; on c9t21193 were stopped</h1>",
            "would be down, is up: stopped by &lt;this&gt; what-if",
            "nobody knows &lt;x&gt;",
            "c2t08978",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
        let differences = html.find("Differences").unwrap();
        assert!(differences < html.find("The overview as it would be").unwrap());
        assert!(!html[differences..].contains("<form"), "{html}");
    }
}
