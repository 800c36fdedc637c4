//! Current and recent plans on the overview page.

use maud::{Markup, html};
use rta_shared::format::counted;

use super::health::{clock, text};
use super::plan::{address, progress_text, title};
use crate::plans::run::PlanSnapshot;

/// Maximum number of recent plans listed.
const MAX_PLANS: usize = 8;

/// Renders a plan that is under way.
pub(super) fn notice(plan: &PlanSnapshot) -> Markup {
    html! {
        div.notice.under-way role="status" {
            p { a href=(address(plan)) { strong { (title(&plan.begun.plan)) } } ": " (progress_text(plan)) }
            span { (counted(plan.steps.len(), "step")) }
        }
    }
}

/// Renders the recent plans, the newest first.
pub(super) fn recent(plans: &[PlanSnapshot]) -> Markup {
    html! {
        @if !plans.is_empty() {
            section.recent aria-labelledby="recent" {
                h2 #recent { "Recent actions" }
                ol {
                    @for plan in plans.iter().take(MAX_PLANS) {
                        li {
                            (clock(plan.begun.at)) " "
                            a href=(address(plan)) { (title(&plan.begun.plan)) }
                            ", for " (text(&plan.begun.by.to_string())) ": " (progress_text(plan))
                        }
                    }
                }
            }
        }
    }
}
