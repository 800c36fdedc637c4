//! Current and recent plans on the overview page.

use maud::{Markup, html};
use rta_shared::format::counted;

use crate::plans::run::PlanSnapshot;
use crate::web::pages::plan::view::{address, progress_text, title};
use crate::web::parts::health::{clock, text};

/// Maximum number of recent plans listed.
const MAX_PLANS: usize = 8;

/// Renders the plans that are under way.
pub(crate) fn notices(plans: &[PlanSnapshot]) -> Markup {
    let under_way = || plans.iter().filter(|plan| plan.end.is_none());
    let more = under_way().count().saturating_sub(MAX_PLANS);
    html! {
        @for plan in under_way().take(MAX_PLANS) { (notice(plan)) }
        @if more > 0 {
            div.notice.under-way { p { a href="/events?kind=plan" { (counted(more, "more plan")) } " under way" } }
        }
    }
}

fn notice(plan: &PlanSnapshot) -> Markup {
    html! {
        div.notice.under-way role="status" {
            p { a href=(address(plan)) { strong { (title(&plan.begun.plan)) } } ": " (progress_text(plan)) }
            span { (counted(plan.steps.len(), "step")) }
        }
    }
}

/// Renders the recent plans, the newest first.
pub(crate) fn recent(plans: &[PlanSnapshot]) -> Markup {
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
