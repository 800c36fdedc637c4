//! Current and recent plans on the overview page.

use maud::{Markup, html};
use rta_shared::format::counted;

use super::health::{clock, text};
use super::plan::{address, standing, title};
use crate::plan::account::Snapshot;

/// Maximum number of recent plans listed.
const LISTED: usize = 8;

/// Renders a plan that is under way.
pub(super) fn notice(plan: &Snapshot) -> Markup {
    html! {
        div.notice.under-way role="status" {
            p { a href=(address(plan)) { strong { (title(&plan.begun.plan)) } } ": " (standing(plan)) }
            span { (counted(plan.steps.len(), "step")) }
        }
    }
}

/// Renders the recent plans, the newest first.
pub(super) fn recent(plans: &[Snapshot]) -> Markup {
    html! {
        @if !plans.is_empty() {
            section.recent aria-labelledby="recent" {
                h2 #recent { "Recent actions" }
                ol {
                    @for plan in plans.iter().take(LISTED) {
                        li {
                            (clock(plan.begun.at)) " "
                            a href=(address(plan)) { (title(&plan.begun.plan)) }
                            ", for " (text(&plan.begun.by.to_string())) ": " (standing(plan))
                        }
                    }
                }
            }
        }
    }
}
