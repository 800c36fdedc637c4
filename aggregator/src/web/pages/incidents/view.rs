//! Page of incidents, the newest first, each with its events folded.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::format::{counted, elapsed};
use rta_shared::incident::{Incident, IncidentDetails};
use rta_shared::overview::Overview;

use super::query::{IncidentsQuery, MAX_LISTED};
use crate::operation_error::OperationError;
use crate::web::address::with_query;
use crate::web::pages::events::view::event_rows;
use crate::web::parts::filter::{distinct_sorted, filter_form, period_field, select_field, text_field};
use crate::web::parts::health::text;
use crate::web::parts::html_patch::{GroupTag, HtmlNode};
use crate::web::parts::record_list::{RecordList, link};
use crate::web::request_context::RequestContext;

/// Frame of the page.
const LIST: RecordList = RecordList {
    title: "Incidents",
    subtitle: "What had one cause, from its begin to its end, the newest first",
    empty: "No incident that fits was recorded.",
    limit: MAX_LISTED,
};
/// Maximum number of affected instances that are named.
const MAX_NAMED: usize = 20;

/// Returns an address with this filter.
pub(super) fn address(path: &str, query: &IncidentsQuery) -> String {
    let IncidentsQuery { id, open, environment, person, since, before, .. } = query;
    with_query(
        path,
        &[
            ("id", id),
            ("before", before),
            ("environment", environment),
            ("open", open),
            ("person", person),
            ("since", since),
        ],
    )
}

/// Renders the page of the incidents in `parts`, filtered by `query`. `live` is the address of the live changes.
/// The choices come from `overview`.
pub(super) fn incidents(
    context: &RequestContext,
    parts: &HtmlNode,
    query: &IncidentsQuery,
    live: Option<String>,
    overview: &Overview,
) -> Markup {
    LIST.page(context, &form(query, overview), parts, live)
}

/// Renders the live part of that page: `incidents` that match `query`, or the error for which they cannot be read.
pub(in crate::web) fn parts(
    incidents: &Result<Vec<IncidentDetails>, OperationError>,
    query: &IncidentsQuery,
    overview: &Overview,
    now: Timestamp,
) -> HtmlNode {
    let list = |listed: &[IncidentDetails]| {
        let items = listed.iter().map(|details| item(details, !query.id.is_empty(), now)).collect();
        HtmlNode::group("incidents", GroupTag::Division, "incidents", items)
    };
    let older = |last: &IncidentDetails| {
        let older = IncidentsQuery { before: last.incident.id.to_string(), ..query.clone() };
        address("/incidents", &older)
    };
    let mut children = LIST.parts(incidents, overview, list, older);
    if !query.id.is_empty() {
        children.push(link("all-incidents", "/incidents", "All incidents"));
    }
    LIST.live(children)
}

/// Renders one incident: a line, and behind it its facts and events.
fn item(details: &IncidentDetails, is_single: bool, now: Timestamp) -> HtmlNode {
    let incident = &details.incident;
    let id = format!("incident-{}", incident.id);
    let part = |part: &str| format!("{id}-{part}");
    let head = HtmlNode::leaf(part("head"), &head(incident, &part("head"), now));
    let facts = HtmlNode::leaf(part("facts"), &facts(details, &part("facts")));
    let events =
        HtmlNode::group(part("events"), GroupTag::OrderedList, "events", event_rows(&details.events));
    let body = HtmlNode::group(part("body"), GroupTag::Division, "incident-body", vec![facts, events]);
    // The tag itself never changes, so that an incident stays as the reader left it.
    let tag = if is_single { GroupTag::UnfoldedDetails } else { GroupTag::Details };
    HtmlNode::group(id, tag, "incident", vec![head, body])
}

fn head(incident: &Incident, id: &str, now: Timestamp) -> Markup {
    html! {
        summary.is-open[incident.is_open()] id=(id) {
            span.incident-state { (if incident.is_open() { "open" } else { "over" }) }
            span.incident-text {
                strong { (text(&incident.text)) }
                span.incident-facts {
                    span.incident-number { "#" (incident.id) }
                    span { (incident.kind.word()) }
                    @if incident.affected > 0 { span { (counted(incident.affected, "instance")) " affected" } }
                    @if !incident.persons.is_empty() { span { (text(&incident.persons.join(", "))) } }
                    @if incident.begins > 1 { span { "came back " (times(incident.begins - 1)) } }
                    @if incident.notifications > 0 {
                        span { (counted(to_count(incident.notifications), "notification")) }
                    }
                }
            }
            span.incident-time {
                time datetime=(incident.begun_at) { (incident.begun_at.strftime("%Y-%m-%d %H:%M:%S UTC")) }
                span { (span_text(incident, now)) }
            }
        }
    }
}

/// Returns how long an incident lasted, or lasts.
fn span_text(incident: &Incident, now: Timestamp) -> String {
    match incident.ended_at {
        Some(end) => format!("for {}", elapsed(incident.begun_at, end)),
        None => format!("for {} so far", elapsed(incident.begun_at, now)),
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn to_count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn facts(details: &IncidentDetails, id: &str) -> Markup {
    let incident = &details.incident;
    let mut affected = incident.affected_instances.iter().map(ToString::to_string);
    let named: Vec<String> = affected.by_ref().take(MAX_NAMED).collect();
    let more = incident.affected.saturating_sub(named.len());
    html! {
        dl.incident-details id=(id) {
            @if let Some(earlier) = &incident.began_as {
                dt { "Began as" }
                dd { (text(earlier)) }
            }
            dt { (if incident.causes.len() == 1 { "Root cause" } else { "Root causes" }) }
            dd {
                @for (at, cause) in incident.causes.iter().take(MAX_NAMED).enumerate() {
                    @if at > 0 { ", " } (text(&cause.to_string()))
                }
                @if incident.causes.len() > MAX_NAMED { " and " (incident.causes.len() - MAX_NAMED) " more" }
            }
            @if !named.is_empty() {
                dt { "Affected" }
                dd { (text(&named.join(", "))) @if more > 0 { " and " (more) " more" } }
            }
            @if let Some(end) = incident.ended_at {
                dt { "End" }
                dd { (end.strftime("%Y-%m-%d %H:%M:%S UTC")) @if let Some(note) = &incident.end_note { ": " (text(note)) } }
            }
            @if !incident.persons.is_empty() {
                dt { "Acted" }
                dd { (text(&incident.persons.join(", "))) }
            }
            @if !incident.plans.is_empty() {
                dt { (if incident.plans.len() == 1 { "Plan" } else { "Plans" }) }
                dd {
                    @for (at, plan) in incident.plans.iter().enumerate() {
                        @if at > 0 { ", " }
                        a href=(with_query("/events", &[("plan", &plan.to_string())])) { (plan) }
                    }
                }
            }
            dt { "Notifications" }
            dd { (incident.notifications) }
            dt { "Events" }
            dd {
                a href=(with_query("/events", &[("incident", &incident.id.to_string())])) {
                    @if details.is_truncated { "All of them; these are the newest" } @else { "On the page of events" }
                }
            }
        }
    }
}

fn form(query: &IncidentsQuery, overview: &Overview) -> Markup {
    let environments = overview.environments.iter().map(|environment| environment.name.as_str().to_owned());
    let fields = html! {
        (select_field("environment", "Environment", &query.environment, distinct_sorted(environments)))
        label {
            span { "State" }
            select name="open" {
                option value="" { "any" }
                option value="true" selected[query.open == "true"] { "open" }
            }
        }
        (text_field("person", "Person", &query.person))
        (period_field(&query.since))
    };
    filter_form("/incidents", &fields)
}
