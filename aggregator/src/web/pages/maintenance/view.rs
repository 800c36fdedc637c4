//! Page of maintenance: what is active, what is planned, and the forms.

use maud::{Markup, html};
use rta_shared::maintenance::Maintenance;
use rta_shared::overview::Overview;
use rta_shared::planned_maintenance::{UpcomingMaintenance, local_time};

use crate::web::parts::filter::{distinct_sorted, select_field};
use crate::web::parts::health::text;
use crate::web::parts::{form, layout};
use crate::web::request_context::RequestContext;

/// Renders the page. `time_zone` is that of the aggregator.
pub(in crate::web) fn maintenance(
    context: &RequestContext,
    active: &[Maintenance],
    planned: &[UpcomingMaintenance],
    overview: &Overview,
    time_zone: &str,
) -> Markup {
    let body = html! {
        header.top {
            div.events-head {
                h1 { "Maintenance" }
                p { "In maintenance nobody is alerted, and nothing is started by itself" }
            }
        }
        main.detail {
            section.panel {
                h2 { "Now" }
                @if active.is_empty() { p.empty-line { "Nothing is in maintenance." } }
                ul.windows { @for one in active { (active_row(context, one)) } }
            }
            section.panel {
                h2 { "Planned" }
                @if planned.is_empty() { p.empty-line { "Nothing is planned." } }
                ul.windows { @for one in planned { (planned_row(context, one)) } }
            }
            @if context.may_act {
                section.panel { h2 { "Begin now" } (begin_form(context, overview)) }
                section.panel { h2 { "Plan" } (plan_form(context, overview, time_zone)) }
            }
        }
    };
    layout::layout(context, "Maintenance - rta", &body)
}

fn active_row(context: &RequestContext, one: &Maintenance) -> Markup {
    let mut place = format!("{}/{}", one.environment, one.host);
    if let Some(component) = &one.component {
        place.push_str(&format!("/{component}"));
    }
    let fields = html! {
        input type="hidden" name="environment" value=(one.environment);
        input type="hidden" name="host" value=(one.host);
        @if let Some(component) = &one.component { input type="hidden" name="component" value=(component); }
        button type="submit" { "End" span.unseen { " maintenance of " (text(&place)) } }
    };
    html! {
        li {
            div {
                p { strong { (text(&place)) } }
                p.event-facts { (text(&one.sentence())) ", since " (one.since.strftime("%Y-%m-%d %H:%M UTC")) }
            }
            @if context.may_act { (form::post(context, "/maintenance/end", None, &fields)) }
        }
    }
}

fn planned_row(context: &RequestContext, one: &UpcomingMaintenance) -> Markup {
    let UpcomingMaintenance { planned, next, problem } = one;
    let fields = html! {
        input type="hidden" name="id" value=(planned.id);
        button type="submit" { "Cancel" span.unseen { " planned maintenance " (planned.id) } }
    };
    html! {
        li {
            div {
                p { strong { (text(&planned.place())) } " " (text(&planned.sentence())) }
                @if let Some(problem) = problem { p.warning { "It cannot begin: " (text(problem)) } }
                p.event-facts {
                    span { "plan " (planned.id) }
                    @for (at, window) in next.iter().enumerate() {
                        span {
                            (if at == 0 { "next " } else { "then " })
                            time datetime=(window.begin) { (text(&local_time(window.begin, &planned.time_zone))) }
                        }
                    }
                }
            }
            @if context.may_act { (form::post(context, "/maintenance/cancel", None, &fields)) }
        }
    }
}

/// Renders the fields that name hosts or instances.
fn place_fields(overview: &Overview) -> Markup {
    let environments = overview.environments.iter().map(|environment| environment.name.as_str().to_owned());
    let hosts = overview.environments.iter().flat_map(|environment| &environment.hosts);
    let hosts = hosts.map(|host| host.name.as_str().to_owned());
    let components = overview.instances().map(|located| located.instance.component.as_str().to_owned());
    html! {
        (select_field("environment", "Environment", "", distinct_sorted(environments)))
        (select_field("host", "Host", "", distinct_sorted(hosts)))
        (select_field("component", "Component (any: whole hosts)", "", distinct_sorted(components)))
        label.check { input type="checkbox" name="all" value="1"; span { "All that match" } }
    }
}

fn text_field(name: &str, title: &str, placeholder: &str, is_required: bool) -> Markup {
    html! {
        label {
            span { (title) }
            input type="text" name=(name) placeholder=(placeholder) required[is_required] autocomplete="off" spellcheck="false";
        }
    }
}

fn begin_form(context: &RequestContext, overview: &Overview) -> Markup {
    let fields = html! {
        (place_fields(overview))
        (text_field("length", "For", "until it is ended", false))
        (text_field("reason", "Reason", "", false))
        button type="submit" { "Begin" }
    };
    form::post(context, "/maintenance/begin", Some("filter"), &fields)
}

fn plan_form(context: &RequestContext, overview: &Overview, time_zone: &str) -> Markup {
    let fields = html! {
        (place_fields(overview))
        (text_field("every", "Every", "sat 02:00, mon-fri 22:30, first sun 02:00", false))
        label { span { "or once, at" } input type="datetime-local" name="at"; }
        (text_field("length", "For", "2h", true))
        (text_field("time_zone", "Time zone", time_zone, false))
        (text_field("reason", "Reason", "", false))
        button type="submit" { "Plan" }
    };
    form::post(context, "/maintenance/plan", Some("filter"), &fields)
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use rta_shared::action::Requester;
    use rta_shared::planned_maintenance::{MaintenanceWindow, PlannedMaintenance, Recurrence};

    use super::*;
    use crate::sample_overview::sample;

    fn page(context: &RequestContext) -> String {
        let by = Requester { user: "ann".to_owned(), address: String::new() };
        let begin: Timestamp = "2026-12-05T01:00:00Z".parse().unwrap();
        let active = Maintenance {
            environment: "DEV".into(),
            host: "<d1>".into(),
            component: None,
            since: begin,
            until: None,
            reason: "disks".to_owned(),
            by: by.clone(),
        };
        let planned = UpcomingMaintenance {
            planned: PlannedMaintenance {
                id: 7,
                environment: "ITG".to_owned(),
                host: String::new(),
                component: String::new(),
                all: false,
                recurrence: Recurrence::parse_every("sat 02:00").unwrap(),
                length_seconds: 7200,
                time_zone: "Europe/Berlin".to_owned(),
                reason: "<patches>".to_owned(),
                by,
                created_at: begin,
                handled: begin,
            },
            next: vec![MaintenanceWindow { begin, end: begin + SignedDuration::from_hours(2) }],
            problem: Some("host <gone>".to_owned()),
        };
        maintenance(context, &[active], &[planned], &sample(), "Etc/UTC").into_string()
    }

    #[test]
    fn page_shows_windows_and_offers_what_may_be_done() {
        let html = page(&RequestContext::anonymous("/maintenance"));
        for expected in [
            "DEV/&lt;d1&gt;",
            "in maintenance: disks (ann), since 2026-12-05 01:00 UTC",
            "every sat 02:00 Europe/Berlin for 2h: &lt;patches&gt; (ann)",
            "Sat 2026-12-05 02:00 CET",
            "It cannot begin: host &lt;gone&gt;",
            "action=\"/maintenance/end\"",
            "action=\"/maintenance/cancel\"",
            "action=\"/maintenance/begin\"",
            "action=\"/maintenance/plan\"",
            "placeholder=\"Etc/UTC\"",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
        let viewer = RequestContext { may_act: false, ..RequestContext::anonymous("/maintenance") };
        assert!(!page(&viewer).contains("action=\"/maintenance"));
    }
}
