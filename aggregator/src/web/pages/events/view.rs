//! Page of recorded events, the newest first, and the form that filters them.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::event::{Event, EventKind};
use rta_shared::overview::{Health, Overview};

use crate::operation_error::OperationError;
use crate::web::address::with_query;
use crate::web::parts::filter::{
    distinct_sorted, filter_form, number_field, period_field, select_field, text_field,
};
use crate::web::parts::health::{icon, text};
use crate::web::parts::html_patch::{GroupTag, HtmlNode};
use crate::web::parts::record_list::RecordList;
use crate::web::request_context::RequestContext;

/// Maximum number of events on the page.
pub(in crate::web) const MAX_LISTED: usize = 200;
/// Frame of the page.
const LIST: RecordList = RecordList {
    title: "Events",
    subtitle: "What happened, and who asked for it, the newest first",
    empty: "Nothing was recorded that fits.",
    limit: MAX_LISTED,
};
/// Filter of the page, as in its address; empty fields: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct EventForm {
    pub(in crate::web) environment: String,
    pub(in crate::web) host: String,
    pub(in crate::web) component: String,
    pub(in crate::web) kind: String,
    pub(in crate::web) plan: String,
    pub(in crate::web) person: String,
    pub(in crate::web) incident: String,
    pub(in crate::web) since: String,
}

impl EventForm {
    /// Returns an address with this filter; `before`: the ID below which the events of the page are.
    pub(in crate::web) fn address(&self, path: &str, before: Option<u64>) -> String {
        let before = before.map(|before| before.to_string()).unwrap_or_default();
        with_query(
            path,
            &[
                ("before", &before),
                ("environment", &self.environment),
                ("host", &self.host),
                ("component", &self.component),
                ("kind", &self.kind),
                ("plan", &self.plan),
                ("person", &self.person),
                ("incident", &self.incident),
                ("since", &self.since),
            ],
        )
    }
}

/// Renders the page of the events in `parts`, filtered by `filter`. `live` is the address of the live
/// changes. The choices come from `overview`.
pub(in crate::web) fn events(
    context: &RequestContext,
    parts: &HtmlNode,
    filter: &EventForm,
    live: Option<String>,
    overview: &Overview,
) -> Markup {
    LIST.page(context, &form(filter, overview), parts, live)
}

/// Renders the live part of that page: `events` that match `filter`, or the error for which they cannot be
/// read. Of more than [`MAX_LISTED`] events, the last ones are left out behind a link.
pub(in crate::web) fn parts(
    events: &Result<Vec<Event>, OperationError>,
    filter: &EventForm,
    overview: &Overview,
) -> HtmlNode {
    let list =
        |listed: &[Event]| HtmlNode::group("events", GroupTag::OrderedList, "events", event_rows(listed));
    LIST.live(LIST.parts(events, overview, list, |last| filter.address("/events", Some(last.id))))
}

/// Renders each event as a row.
pub(in crate::web) fn event_rows(events: &[Event]) -> Vec<HtmlNode> {
    events.iter().map(|event| HtmlNode::leaf(row_id(event), &row(event))).collect()
}

fn row_id(event: &Event) -> String {
    format!("event-{}", event.id)
}

/// Renders one event.
pub(crate) fn row(event: &Event) -> Markup {
    let health = event.to.as_deref().filter(|_| event.kind == EventKind::Health).and_then(Health::from_word);
    // Further lines are a failure's last log lines, or the details of a change.
    let (first, rest) = event.text.split_once('\n').unwrap_or((&event.text, ""));
    html! {
        li.event id=(row_id(event)) {
            (moment(event.at))
            span.event-kind { @if let Some(health) = health { span class=(health) { (icon(health)) } } (event.kind.word()) }
            div.event-text {
                p { (text(first)) }
                @if !rest.is_empty() { pre { @for line in rest.lines() { (text(line)) "\n" } } }
                p.event-facts { (facts(event)) }
            }
        }
    }
}

/// Renders place, change, user and plan of an event.
fn facts(event: &Event) -> Markup {
    let place: Vec<_> = [&event.environment, &event.host, &event.component]
        .into_iter()
        .flatten()
        .map(|name| text(name.as_str()))
        .collect();
    html! {
        @if !place.is_empty() { span { (place.join("/")) } }
        @if let (Some(from), Some(to)) = (&event.from, &event.to) { span { (text(from)) " \u{2192} " (text(to)) } }
        @if let Some(by) = &event.by { span { "by " (text(&by.to_string())) } }
        @if let Some(plan) = event.plan { a href={ "/events?plan=" (plan) } { "plan " (plan) } }
    }
}

fn moment(at: Timestamp) -> Markup {
    html! {
        time datetime=(at) { (at.strftime("%Y-%m-%d")) " " strong { (at.strftime("%H:%M:%S")) } " UTC" }
    }
}

fn form(filter: &EventForm, overview: &Overview) -> Markup {
    let environments = overview.environments.iter().map(|environment| environment.name.as_str().to_owned());
    let hosts = overview.environments.iter().flat_map(|environment| &environment.hosts);
    let hosts = hosts.map(|host| host.name.as_str().to_owned());
    let components = overview.instances().map(|located| located.instance.component.as_str().to_owned());
    let kinds = EventKind::ALL.map(|kind| kind.word().to_owned());
    let fields = html! {
        (select_field("environment", "Environment", &filter.environment, distinct_sorted(environments)))
        (select_field("host", "Host", &filter.host, distinct_sorted(hosts)))
        (select_field("component", "Component", &filter.component, distinct_sorted(components)))
        (select_field("kind", "Kind", &filter.kind, kinds.to_vec()))
        (number_field("plan", "Plan", &filter.plan))
        (text_field("person", "Person", &filter.person))
        (number_field("incident", "Incident", &filter.incident))
        (period_field(&filter.since))
    };
    filter_form("/events", &fields)
}

#[cfg(test)]
mod tests {
    use rta_shared::action::Requester;

    use rta_shared::impairment::{ImpairedPart, Impairment};

    use super::*;
    use crate::sample_overview::sample;

    fn event() -> Event {
        Event {
            id: 7,
            at: Timestamp::UNIX_EPOCH,
            kind: EventKind::Health,
            environment: Some("DEV".into()),
            host: Some("c9t21193".into()),
            component: Some("kafka <server>".into()),
            from: Some("up".to_owned()),
            to: Some("down".to_owned()),
            text: "kafka is down\nlast <words>\u{1b}".to_owned(),
            by: Some(Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() }),
            plan: Some(3),
            incident: None,
        }
    }

    fn page(events: &Result<Vec<Event>, OperationError>, filter: &EventForm, overview: &Overview) -> String {
        let parts = parts(events, filter, overview);
        super::events(&RequestContext::anonymous("/events"), &parts, filter, None, overview).into_string()
    }

    #[test]
    fn an_event_says_when_what_where_and_who() {
        let filter = EventForm {
            component: "gone & forgotten".to_owned(),
            kind: "health".to_owned(),
            since: "7d".to_owned(),
            ..EventForm::default()
        };
        let html = page(&Ok(vec![event()]), &filter, &sample());
        for expected in [
            "<li class=\"event\" id=\"event-7\">",
            "1970-01-01 <strong>00:00:00</strong> UTC",
            "<p>kafka is down</p><pre>last &lt;words&gt;\\u{1b}\n</pre>",
            "DEV/c9t21193/kafka &lt;server&gt;",
            "<span>up \u{2192} down</span><span>by ann from 10.0.0.7</span><a href=\"/events?plan=3\">plan 3</a>",
            "<option value=\"health\" selected>health</option>",
            "<option value=\"gone &amp; forgotten\" selected>gone &amp; forgotten</option>",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
        assert!(!html.contains("class=\"banner\"") && !html.contains("Older events"));
        let many = (0..=MAX_LISTED as u64).rev().map(|id| Event { id: id + 10, ..event() }).collect();
        let html = page(&Ok(many), &filter, &sample());
        let older =
            "href=\"/events?before=11&amp;component=gone+%26+forgotten&amp;kind=health&amp;since=7d\"";
        assert!(
            html.contains(older) && html.contains("event-11\"") && !html.contains("event-10\""),
            "{html}"
        );
    }

    #[test]
    fn what_cannot_be_written_or_read_is_told() {
        let mut overview = sample();
        let message = "events are not recorded since 09:30 UTC: <full>";
        overview.impairments = vec![Impairment::new(ImpairedPart::Store, message)];
        let html = page(&Ok(vec![event()]), &EventForm::default(), &overview);
        assert!(html.contains("since 09:30 UTC: &lt;full&gt;"), "{html}");
        let error = OperationError::new(tonic::Code::Unavailable, "it cannot be read");
        let html = page(&Err(error), &EventForm::default(), &sample());
        assert!(html.contains("it cannot be read") && !html.contains("Nothing was recorded"));
    }

    #[test]
    fn new_event_changes_its_own_row_only() {
        let (filter, overview) = (EventForm::default(), sample());
        let before = parts(&Ok(vec![event()]), &filter, &overview);
        let new = Event { id: 8, text: "new".to_owned(), ..event() };
        let changes = parts(&Ok(vec![new, event()]), &filter, &overview).changes(&before);
        assert!(changes.contains("data-into=\"events\"") && changes.contains("event-8"), "{changes}");
        assert!(!changes.contains("event-7"), "{changes}");
    }
}
