//! Page of one instance: its state, its neighbours in the graph, and its actions.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::action::ActionKind;
use rta_shared::attributes::CriterionKind;
use rta_shared::config::{ComponentNotes, NamedLink};
use rta_shared::format::{memory, percent};
use rta_shared::overview::{Health, InstanceId, LocatedInstance, Overview};
use rta_shared::process::Process;
use rta_shared::report::State;

use crate::api::instance_definition::{InstanceDefinition, find_health};
use crate::web::address::with_query;
use crate::web::pages::instance::details::InstanceDetails;
use crate::web::pages::plan::view::capitalised;
use crate::web::parts::health::{HealthTone, ago, badge, duration_since, icon, text};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};
use crate::web::parts::layout;
use crate::web::parts::layout::PageFrame;
use crate::web::parts::links::{address, named};
use crate::web::parts::{form, maintenance, planned};
use crate::web::request_context::RequestContext;

/// Renders the page of the instance of `detail`.
pub(in crate::web) fn detail(
    detail: &InstanceDefinition,
    details: &InstanceDetails,
    overview: &Overview,
    context: &RequestContext,
    now: Timestamp,
) -> Markup {
    let id = &detail.id;
    let body = html! { main.detail { (parts(detail, details, overview, context, now)) } };
    let frame = PageFrame { reload_seconds: None, live: Some(named("/live/instance", id, &[])) };
    layout::frame(
        context,
        &format!("{} on {} - rta", text(id.component.as_str()), text(id.host.as_str())),
        &frame,
        &body,
    )
}

/// Returns the live parts of that page.
pub(in crate::web) fn parts(
    detail: &InstanceDefinition,
    details: &InstanceDetails,
    overview: &Overview,
    context: &RequestContext,
    now: Timestamp,
) -> HtmlNode {
    let located = overview.find(&detail.id);
    let mut parts = match located {
        Some(located) => vec![head(located, context, now), processes(located, now)],
        None => {
            let gone = html! { p #gone.empty { "It is not in the configuration any more." } };
            vec![HtmlNode::leaf("gone", &gone)]
        }
    };
    if !detail.notes.is_empty() {
        parts.push(notes(&detail.notes));
    }
    parts.push(relations(detail, overview));
    parts.push(details.past(&detail.id));
    parts.push(details.command_lines());
    parts.push(criteria(detail));
    parts.push(details.of_late(&detail.id));
    parts.extend(details.log_tail(&detail.id));
    HtmlNode::group("page", GroupTag::Division, "page", parts)
}

fn head(located: LocatedInstance<'_>, context: &RequestContext, now: Timestamp) -> HtmlNode {
    let (id, instance) = (located.id(), located.instance);
    let title =
        format!("{} on {}: {} - rta", text(id.component.as_str()), text(id.host.as_str()), instance.health);
    let element = html! {
        section #top.detail-head data-title=(title) {
            nav.crumbs aria-label="Where it is" {
                a href="/" { "Overview" } " / "
                a href=(with_query("/", &[("environment", id.environment.as_str())])) { (text(id.environment.as_str())) } " / "
                (text(id.host.as_str()))
            }
            div.detail-line {
                h1 { (text(id.component.as_str())) }
                (badge(HealthTone::of_instance(instance)))
                @if let Some(since) = instance.since { span { "for " (duration_since(since, now)) } }
                @if context.may_act { (buttons(located)) }
                a href=(what_if_address(located)) { "What if it were " (what_if_word(located)) "?" }
            }
            @if !instance.reason.is_empty() {
                p.detail-reason {
                    (planned::reason(instance, now))
                }
            }
            @if let Some(own) = &instance.maintenance { p { (maintenance::badge(own)) } }
            dl.standing-facts {
                (fact("State", &html! { (instance.state.map_or("not known", State::word)) }))
                @if let Some(hold) = &instance.action { (fact("Under way", &html! { (text(&hold.to_string())) })) }
                @if let Some(probe) = &instance.probe {
                    (fact("Probe", &html! {
                        (probe.status_text(now)) @if !probe.reason.is_empty() { ": " (text(&probe.reason)) }
                    }))
                }
                @if let Some(unit) = &instance.unit { (fact("Unit", &html! { (text(&unit.to_string())) })) }
                @if let Some(kept) = &instance.autostart {
                    (fact("Kept running", &html! {
                        (if kept.wanted { "yes" } else { "no" })
                        @if !kept.why.is_empty() { ": " (text(&kept.why)) }
                        @if kept.given_up { "; given up" }
                        @if !kept.waiting_for.is_empty() { "; waiting for " (text(&kept.waiting_for)) }
                        @if !kept.last_end.is_empty() { "; last " (text(&kept.last_end)) }
                    }))
                }
                @for part in instance.parts.iter().filter(|part| part.name.is_some()) {
                    (fact("Part", &html! { (text(&part.tally())) }))
                }
            }
        }
    };
    HtmlNode::leaf("top", &element)
}

/// Returns the action whose effect is of interest: a stop of what runs, a start of what does not.
fn assumed_action(located: LocatedInstance<'_>) -> ActionKind {
    match located.instance.run_state().is_some_and(State::is_stopped) {
        true => ActionKind::Start,
        false => ActionKind::Stop,
    }
}

fn what_if_address(located: LocatedInstance<'_>) -> String {
    named("/what-if", &located.id(), &[("action", assumed_action(located).word())])
}

fn what_if_word(located: LocatedInstance<'_>) -> &'static str {
    if assumed_action(located) == ActionKind::Start { "started" } else { "stopped" }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// Renders the buttons. Each leads to a preview of the plan, which can be confirmed there.
fn buttons(located: LocatedInstance<'_>) -> Markup {
    let id = located.id();
    html! {
        div.detail-actions {
            @for kind in located.instance.allowed_actions() {
                form method="get" action="/preview" {
                    input type="hidden" name="action" value=(kind.word());
                    (form::instance_fields(&id))
                    button type="submit" class=(kind.word()) { (capitalised(kind.word())) "…" }
                }
            }
        }
    }
}

fn processes(located: LocatedInstance<'_>, now: Timestamp) -> HtmlNode {
    let (processes, usage) = (&located.instance.processes, located.host.usage.as_ref());
    let used = |process: &Process| {
        usage.and_then(|usage| usage.processes.iter().find(|used| used.pid == process.id.pid))
    };
    let element = html! {
        section #processes.panel {
            h2 { "Processes" }
            @if processes.is_empty() {
                p.empty-line { "None matches." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Processes" {
                    table {
                        thead { tr {
                            th scope="col" { "PID" } th scope="col" { "User" } th scope="col" { "Started" } th scope="col" { "CPU" }
                            th scope="col" { "Memory" } th scope="col" { "Threads" } th scope="col" { "Open files" }
                        } }
                        tbody {
                            @for process in processes.iter() {
                                @let used = used(process);
                                tr {
                                    td {
                                        (process.id.pid)
                                        @if let Some(suspension) = process.suspension {
                                            " " strong.suspended { (suspension.word()) }
                                        }
                                    }
                                    td { @if process.user.is_empty() { "-" } @else { (text(&process.user)) } }
                                    td { @if let Some(at) = process.started_at { (ago(at, now)) } @else { "-" } }
                                    td { (used.map_or_else(|| "-".to_owned(), |used| percent(used.cpu_percent))) }
                                    td { (used.map_or_else(|| "-".to_owned(), |used| memory(used.resident_bytes))) }
                                    td { (used.map_or_else(|| "-".to_owned(), |used| used.threads.to_string())) }
                                    td { (used.and_then(|used| used.open_files).map_or_else(|| "-".to_owned(), |open| open.to_string())) }
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    HtmlNode::leaf("processes", &element)
}

/// Renders what people should know of the instance.
fn notes(notes: &ComponentNotes) -> HtmlNode {
    let link = |name: &str, url: &str| html! { a href=(url) rel="noopener noreferrer" { (text(name)) } };
    let element = html! {
        section #notes.panel {
            h2 { "Notes" }
            @for line in notes.notes.iter().flat_map(|notes| notes.lines()) { p { (text(line)) } }
            dl.standing-facts {
                @if let Some(owner) = &notes.owner { (fact("Owner", &html! { (text(owner)) })) }
                @if let Some(url) = &notes.runbook { (fact("Runbook", &link(url, url))) }
                @for NamedLink { name, url } in &notes.links { (fact("Link", &link(name, url))) }
                @for (name, value) in &notes.labels {
                    (fact("Label", &html! { (text(name)) "=" (text(value)) }))
                }
            }
        }
    };
    HtmlNode::leaf("notes", &element)
}

fn relations(detail: &InstanceDefinition, overview: &Overview) -> HtmlNode {
    let one = |id: &InstanceId| {
        let health = find_health(overview, id).unwrap_or(Health::Unknown);
        html! {
            li class={ "relation " (health) } {
                (icon(health)) a href=(address(id)) { (text(id.component.as_str())) }
                span { " on " (text(id.host.as_str())) " is " (health) }
            }
        }
    };
    let element = html! {
        div #relations.relations {
            section.panel {
                h2 { "Needs" }
                @if detail.needs.is_empty() { p.empty-line { "Nothing else." } }
                @for need in &detail.needs {
                    @if need.providers.len() > 1 { p.hint { "any one " (text(&need.component)) " of:" } }
                    ul { @for id in &need.providers { (one(id)) } }
                }
            }
            section.panel {
                h2 { "Needed by" }
                @if detail.dependents.is_empty() { p.empty-line { "Nothing else." } }
                ul { @for id in &detail.dependents { (one(id)) } }
            }
        }
    };
    HtmlNode::leaf("relations", &element)
}

fn criteria(detail: &InstanceDefinition) -> HtmlNode {
    let element = html! {
        section #criteria.panel {
            h2 { "Found by" }
            ul.criteria {
                @for criterion in &detail.criteria {
                    li {
                        @if let Some(part) = &criterion.part { strong { (text(part)) } ": " }
                        @match (criterion.kind, criterion.index) {
                            (CriterionKind::Argument, Some(index)) => { "argument " (index) " matches " }
                            (CriterionKind::Argument, None) => "any argument matches ",
                            (CriterionKind::User, _) => "the user is ",
                            (CriterionKind::Unit, _) => "the unit is ",
                            (CriterionKind::Directory, _) => "the working directory matches ",
                            (CriterionKind::Executable, _) => "the executable matches ",
                            (CriterionKind::Parent, _) => "an argument of its parent matches ",
                            (CriterionKind::Container, _) => "it is in no container ",
                        }
                        code { (text(&criterion.text)) }
                    }
                }
            }
        }
    };
    HtmlNode::leaf("criteria", &element)
}

#[cfg(test)]
mod tests {
    use rta_shared::inspection::InspectedProcess;
    use rta_shared::process::Suspension;

    use super::*;
    use crate::api::instance_definition::{ConfiguredCriterion, ConfiguredRequirement};
    use crate::api::logs::LogChunk;
    use crate::sample_overview::sample;

    fn id(host: &str, component: &str) -> InstanceId {
        InstanceId { environment: "DEV".into(), host: host.into(), component: component.into() }
    }

    fn shown(context: &RequestContext) -> String {
        let of_detector = InstanceDefinition {
            id: id("c2t08978", "novelty detector"),
            criteria: vec![
                ConfiguredCriterion {
                    part: None,
                    kind: CriterionKind::Argument,
                    index: Some(-1),
                    text: "<detector>".to_owned(),
                },
                ConfiguredCriterion {
                    part: None,
                    kind: CriterionKind::User,
                    index: None,
                    text: "kafka".to_owned(),
                },
            ],
            needs: vec![ConfiguredRequirement {
                component: "kafka server".to_owned(),
                providers: vec![id("c9t21193", "kafka server")],
            }],
            dependents: vec![],
            notes: ComponentNotes {
                notes: Some("First line <b>\nsecond line".to_owned()),
                owner: Some("data team".to_owned()),
                labels: [("tier".to_owned(), "gold".to_owned())].into(),
                runbook: Some("https://wiki.example/detector?a=1&b=2#restart".to_owned()),
                links: vec![NamedLink { name: "Dash".to_owned(), url: "http://c2t08978:3000/".to_owned() }],
            },
        };
        let details = InstanceDetails {
            processes: Ok(vec![InspectedProcess {
                pid: 4242,
                arguments: vec!["java".to_owned(), "<b>\u{1b}".to_owned()],
                more: 3,
            }]),
            timeline: Err("times past cannot be read".to_owned()),
            used: vec![],
            events: Err("events cannot be read".to_owned()),
            log: Some(Ok(LogChunk { lines: vec!["<i>".to_owned()], notice: String::new() })),
        };
        let mut overview = sample();
        let hosts = overview.environments.iter_mut().flat_map(|environment| &mut environment.hosts);
        for process in
            hosts.flat_map(|host| &mut host.instances).flat_map(|instance| instance.processes.iter_mut())
        {
            process.suspension = Some(Suspension::Signal);
        }
        detail(&of_detector, &details, &overview, context, Timestamp::UNIX_EPOCH).into_string()
    }

    #[test]
    fn it_says_how_it_is_why_and_what_it_stands_among() {
        let html = shown(&RequestContext::anonymous("/instance"));
        for expected in [
            "<h1>novelty detector</h1><span class=\"health degraded\">",
            "href=\"/instance?environment=DEV&amp;host=c9t21193&amp;component=kafka+server\">kafka server on c9t21193 is down</a>",
            " on c9t21193 is down</span>",
            "<p>First line &lt;b&gt;</p><p>second line</p>",
            "<dt>Owner</dt><dd>data team</dd>",
            "<a href=\"https://wiki.example/detector?a=1&amp;b=2#restart\" rel=\"noopener noreferrer\">",
            "<a href=\"http://c2t08978:3000/\" rel=\"noopener noreferrer\">Dash</a>",
            "<dd>tier=gold</dd>",
            "argument -1 matches <code>&lt;detector&gt;</code>",
            "the user is <code>kafka</code>",
            "<td>4242 <strong class=\"suspended\">stopped by a signal</strong></td><td>kafka</td>",
            "<code>&lt;b&gt;\\u{1b}</code>",
            "and 3 more",
            "events cannot be read",
            "&lt;i&gt;\n",
            "action=\"/preview\"><input type=\"hidden\" name=\"action\" value=\"stop\">",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
    }

    #[test]
    fn who_may_only_look_has_no_buttons() {
        let context = RequestContext { may_act: false, ..RequestContext::anonymous("/instance") };
        assert!(!shown(&context).contains("/preview"));
    }
}
