//! Page of one plan: its steps and their progress.

use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::overview::{InstanceId, Overview};
use rta_shared::plan::{Plan, Step, StepState};
use rta_shared::planned_outage::PlannedStopIndex;

use crate::plans::run::PlanSnapshot;
use crate::web::parts::health::{clock, text};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};
use crate::web::parts::layout::PageFrame;
use crate::web::parts::{form, layout, planned};
use crate::web::request_context::RequestContext;

/// Seconds until the page reloads while the plan is under way.
const RELOAD_SECONDS: u32 = 1;

/// Returns the address of a plan's page.
pub(crate) fn address(plan: &PlanSnapshot) -> String {
    format!("/plan?id={}", plan.begun.id)
}

/// Returns a title, such as `stop of kafka server on h1 and 2 more`.
pub(crate) fn title(plan: &Plan) -> String {
    let subject = match plan.requested_instances().as_slice() {
        [] if plan.steps.is_empty() => return format!("{}: nothing to do", plan.kind),
        [one] => text(&one.name_in_text()).into_owned(),
        several => counted(several.len(), "instance"),
    };
    match plan.implied_instances().len() {
        0 => format!("{} of {subject}", plan.kind),
        more => format!("{} of {subject} and {more} more", plan.kind),
    }
}

/// Returns a plan's progress or its end.
pub(crate) fn progress_text(plan: &PlanSnapshot) -> String {
    match &plan.end {
        Some(end) => end.to_string(),
        None => {
            let settled = plan.steps.iter().filter(|(state, _)| state.is_final()).count();
            format!("under way, {settled} of {} done with", counted(plan.steps.len(), "step"))
        }
    }
}

/// Renders the page of a plan. `overview` contains the instances that it stopped and that have not run since.
pub(in crate::web) fn plan(context: &RequestContext, plan: &PlanSnapshot, overview: &Overview) -> Markup {
    let is_under_way = plan.end.is_none();
    let frame = PageFrame {
        reload_seconds: is_under_way.then_some(RELOAD_SECONDS),
        live: is_under_way.then(|| format!("/live/plan?id={}", plan.begun.id)),
    };
    let body = html! { main { (parts(context, plan, overview)) } };
    layout::frame(context, &format!("{} - rta", title(&plan.begun.plan)), &frame, &body)
}

/// Returns the live parts of that page.
pub(in crate::web) fn parts(context: &RequestContext, plan: &PlanSnapshot, overview: &Overview) -> HtmlNode {
    let title = title(&plan.begun.plan);
    let head = html! {
        div.plan-head #plan-head {
            h1 { (capitalised(&title)) }
            p { "Plan " (plan.begun.id) ", begun " (clock(plan.begun.at)) " for " (text(&plan.begun.by.to_string())) }
            @if let Some(why) = &plan.begun.unrecorded {
                p.warning role="alert" { "Not on disk before its first step: " (text(why)) ". Should the aggregator end, nobody will know what this plan did." }
            }
        }
    };
    let line = html! {
        div.plan-line #plan-line {
            strong role="status" { (progress_text(plan)) }
            @if plan.end.is_none() && context.may_act {
                (form::post(context, "/cancel", None, &html! {
                    input type="hidden" name="id" value=(plan.begun.id);
                    button.danger type="submit" { "Cancel what has not begun" }
                }))
            }
            @if plan.end.is_some() {
                (planned::start_again_button(context, plan.begun.id, PlannedStopIndex::new(overview).startable(plan.begun.id)))
            }
            a href="/" { "Back to the overview" }
        }
    };
    let steps =
        plan.begun.plan.steps.iter().zip(&plan.steps).enumerate().map(|(at, (step, (state, said)))| {
            let id = format!("step-{at}");
            HtmlNode::leaf(id.clone(), &step_row(step, Some(*state), said, Some(&id)))
        });
    let steps = HtmlNode::group("steps", GroupTag::List, "steps", steps.collect());
    let parts = vec![HtmlNode::leaf("plan-head", &head), HtmlNode::leaf("plan-line", &line), steps];
    HtmlNode::group("page", GroupTag::Division, "plan", parts)
}

/// Parses the field "agreed" of a form to an instance.
pub(in crate::web) fn instance(field: &str) -> Option<InstanceId> {
    // Names contain no slash.
    let mut parts = field.splitn(3, '/').filter(|part| !part.is_empty());
    let (environment, host, component) = (parts.next()?, parts.next()?, parts.next()?);
    Some(InstanceId { environment: environment.into(), host: host.into(), component: component.into() })
}

/// Renders one step: its action, its reason, its state if the plan has begun, and its last text.
pub(super) fn step_row(step: &Step, state: Option<StepState>, said: &str, id: Option<&str>) -> Markup {
    let mut lines = said.lines();
    let sentence = lines.next().unwrap_or_default();
    let log: Vec<String> = lines.map(|line| text(line).into_owned()).collect();
    html! {
        li.step id=[id] {
            @match state {
                Some(state) => {
                    span class={ "step-state " (state.word().replace(' ', "-")) } { (icon(state)) (state) }
                }
                None => { span class="step-state waiting" { (icon(StepState::Waiting)) "planned" } }
            }
            div {
                p.what {
                    strong { (capitalised(step.word())) " " (text(step.instance.component.as_str())) }
                    " on " (text(step.instance.host.as_str()))
                    @if step.batch > 0 { ", batch " (step.batch) }
                }
                @if !step.why.is_empty() { p.why { (text(&reason(step))) } }
                @if !step.irreversible.is_empty() { p.why { "rta cannot start it again: " (text(&step.irreversible)) } }
                @if !sentence.is_empty() { p.said { (text(sentence)) } }
                @if !log.is_empty() { pre { (log.join("\n")) } }
            }
        }
    }
}

/// Returns the reason for a step that was not requested, or the note of a requested one.
fn reason(step: &Step) -> String {
    if step.named {
        return step.why.clone();
    }
    let effect = if step.action.stops() { "taken down" } else { "not asked for" };
    format!("{effect}: {}", step.why)
}

/// Returns the text with its first letter in upper case.
pub(crate) fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Renders the shape of a state, so that colour is never the only sign. It has the colour of the text around
/// it.
fn icon(state: StepState) -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
            @match state {
                StepState::Waiting => {
                    circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.6" {}
                }
                StepState::UnderWay => {
                    circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.6" {}
                    path d="M8 8V1.8A6.2 6.2 0 0 1 8 14.2z" fill="currentColor" {}
                }
                StepState::Done => {
                    circle cx="8" cy="8" r="7" fill="currentColor" {}
                    path.cut d="M4.8 8.3l2.2 2.2 4.2-4.6" fill="none" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" {}
                }
                StepState::Failed => {
                    path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" fill="currentColor" {}
                    path.cut d="M5.6 5.6l4.8 4.8m0-4.8l-4.8 4.8" fill="none" stroke-width="1.8" stroke-linecap="round" {}
                }
                StepState::Skipped => {
                    path d="M3 3.5l5 4.5-5 4.5zM9.5 3.5v9" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round" {}
                }
                StepState::Interrupted => {
                    rect x="1.7" y="1.7" width="12.6" height="12.6" rx="3" fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="2.6 1.6" {}
                    path d="M8 4.5v4.5M8 11.4v.1" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::action::Requester;
    use rta_shared::plan::{PlanEnd, PlanStart};

    use super::*;
    use crate::sample_overview::sample;
    use crate::sample_plan::stop;

    fn snapshot(steps: Vec<(StepState, String)>, end: Option<PlanEnd>) -> PlanSnapshot {
        let by = Requester { user: "<ann>".to_owned(), address: "10.0.0.7".to_owned() };
        let begun = PlanStart { id: 7, plan: stop(), at: Timestamp::UNIX_EPOCH, by, unrecorded: None };
        PlanSnapshot { begun, steps, end }
    }

    #[test]
    fn what_was_agreed_comes_back_from_the_form() {
        let id = stop().steps[0].instance.clone();
        assert_eq!(instance(&id.to_string()), Some(id));
        for broken in ["", "a", "a/b", "a//c", "a/b/"] {
            assert_eq!(instance(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_plan_under_way_is_shown_step_by_step_and_looks_again() {
        let steps =
            vec![(StepState::UnderWay, "SIGTERM sent".to_owned()), (StepState::Waiting, String::new())];
        let html = plan(&RequestContext::anonymous("/plan"), &snapshot(steps, None), &sample()).into_string();
        for expected in [
            "content=\"1\"",
            "<h1>Stop of kafka server on h1 and 1 more</h1>",
            "for &lt;ann&gt; from 10.0.0.7",
            "under way, 0 of 2 steps done with",
            "class=\"step-state under-way\"",
            "SIGTERM sent",
            "action=\"/cancel\"",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
    }

    #[test]
    fn a_plan_that_ended_says_how_with_the_logs_last_lines() {
        let steps = vec![
            (StepState::Failed, "it did not end\n<script>\u{1b}[31m\nsecond".to_owned()),
            (StepState::Skipped, "not attempted".to_owned()),
        ];
        let end = PlanEnd {
            at: Timestamp::UNIX_EPOCH,
            done: 0,
            failed: 1,
            skipped: 1,
            interrupted: 0,
            cancelled: false,
        };
        let shown = snapshot(steps, Some(end));
        let html = plan(&RequestContext::anonymous("/plan"), &shown, &sample()).into_string();
        for expected in [
            "0 steps done, 1 failed, 1 skipped",
            "<p class=\"said\">it did not end</p><pre>&lt;script&gt;\\u{1b}[31m\nsecond</pre>",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
        assert!(!html.contains("http-equiv") && !html.contains("/cancel"));
        let list = crate::web::pages::overview::notice::recent(&[shown]).into_string();
        assert!(
            list.contains(
                "<a href=\"/plan?id=7\">stop of kafka server on h1 and 1 more</a>, for &lt;ann&gt;"
            ),
            "{list}"
        );
    }
}
