//! The plans under way and of late, as the overview shows them.

use maud::{Markup, html};
use rta_shared::text::counted;

use super::health::{clock, text};
use super::plan::{address, standing, title};
use crate::plan::account::Snapshot;

/// How many of the plans of late are listed.
const LISTED: usize = 8;

/// A plan that is under way.
pub(super) fn notice(plan: &Snapshot) -> Markup {
    html! {
        div.notice.under-way role="status" {
            p { a href=(address(plan)) { strong { (title(&plan.begun.plan)) } } ": " (standing(plan)) }
            span { (counted(plan.steps.len(), "step")) }
        }
    }
}

/// The plans of late, the newest first.
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
