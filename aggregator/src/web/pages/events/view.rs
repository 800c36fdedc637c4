//! Page of recorded events, the newest first, and the form that filters them.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::event::{Event, EventKind};
use rta_shared::overview::{Health, Overview};

use crate::web::address::with_query;
use crate::web::parts::health::{icon, text};
use crate::web::parts::{config, layout};
use crate::web::request_context::RequestContext;

/// Periods that the form offers, as parameter and as text.
const PERIODS: [(&str, &str); 4] =
    [("1h", "1 hour"), ("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days")];

/// Filter of the page, as in its address; empty fields: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct EventForm {
    pub(in crate::web) environment: String,
    pub(in crate::web) host: String,
    pub(in crate::web) component: String,
    pub(in crate::web) kind: String,
    pub(in crate::web) since: String,
}

/// Renders the page of `events`, filtered by `filter`, or the `error` for which they cannot be read. `older`
/// is the ID of the last event if there are more. The choices come from `overview`.
pub(in crate::web) fn events(
    context: &RequestContext,
    events: &[Event],
    error: Option<&str>,
    filter: &EventForm,
    older: Option<u64>,
    overview: &Overview,
) -> Markup {
    let body = html! {
        header.top {
            div.events-head { h1 { "Events" } p { "What happened, and who asked for it, the newest first" } }
        }
        main.events-page {
            (config::store_impairment(overview))
            (form(filter, overview))
            @match (error, events) {
                (Some(error), _) => p.empty { (text(error)) },
                (None, []) => p.empty { "Nothing was recorded that fits." },
                (None, events) => ol.events { @for event in events { (row(event)) } },
            }
            @if let Some(older) = older {
                p.older { a href=(older_address(filter, older)) { "Older events" } }
            }
        }
    };
    layout::layout(context, "Events - rta", &body)
}

/// Renders one event.
pub(crate) fn row(event: &Event) -> Markup {
    let health = event.to.as_deref().filter(|_| event.kind == EventKind::Health).and_then(Health::from_word);
    // Further lines are a failure's last log lines, or the details of a change.
    let (first, rest) = event.text.split_once('\n').unwrap_or((&event.text, ""));
    html! {
        li.event {
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
        @if let Some(plan) = event.plan { span { "plan " (plan) } }
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
    html! {
        form.filter method="get" action="/events" {
            (select_field("environment", "Environment", &filter.environment, distinct_sorted(environments)))
            (select_field("host", "Host", &filter.host, distinct_sorted(hosts)))
            (select_field("component", "Component", &filter.component, distinct_sorted(components)))
            (select_field("kind", "Kind", &filter.kind, kinds.to_vec()))
            label {
                span { "Within" }
                select name="since" {
                    option value="" { "any time" }
                    @for (value, shown) in PERIODS { option value=(value) selected[filter.since == value] { (shown) } }
                    @if !filter.since.is_empty() && PERIODS.iter().all(|(value, _)| *value != filter.since) {
                        option value=(filter.since) selected { (text(&filter.since)) }
                    }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

/// Returns the distinct names in alphabetical order.
pub(crate) fn distinct_sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

/// Renders a selection of `values` or any. A chosen value that is not among them, such as a removed host, is
/// kept.
pub(crate) fn select_field(name: &str, title: &str, chosen: &str, mut values: Vec<String>) -> Markup {
    if !chosen.is_empty() && !values.iter().any(|value| value == chosen) {
        values.push(chosen.to_owned());
    }
    html! {
        label {
            span { (title) }
            select name=(name) {
                option value="" { "any" }
                @for value in values { option value=(value) selected[value == chosen] { (text(&value)) } }
            }
        }
    }
}

/// Returns the address of the older events with the same filter.
fn older_address(filter: &EventForm, before: u64) -> String {
    with_query(
        "/events",
        &[
            ("before", &before.to_string()),
            ("environment", &filter.environment),
            ("host", &filter.host),
            ("component", &filter.component),
            ("kind", &filter.kind),
            ("since", &filter.since),
        ],
    )
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
        }
    }

    #[test]
    fn an_event_says_when_what_where_and_who() {
        let filter = EventForm {
            component: "gone & forgotten".to_owned(),
            kind: "health".to_owned(),
            since: "7d".to_owned(),
            ..EventForm::default()
        };
        let html =
            events(&RequestContext::anonymous("/events"), &[event()], None, &filter, Some(7), &sample())
                .into_string();
        for expected in [
            "1970-01-01 <strong>00:00:00</strong> UTC",
            "<p>kafka is down</p><pre>last &lt;words&gt;\\u{1b}\n</pre>",
            "DEV/c9t21193/kafka &lt;server&gt;",
            "<span>up \u{2192} down</span><span>by ann from 10.0.0.7</span><span>plan 3</span>",
            "<option value=\"health\" selected>health</option>",
            "<option value=\"gone &amp; forgotten\" selected>gone &amp; forgotten</option>",
            "href=\"/events?before=7&amp;component=gone+%26+forgotten&amp;kind=health&amp;since=7d\"",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
        assert!(!html.contains("class=\"banner\""));
    }

    #[test]
    fn what_cannot_be_written_or_read_is_told() {
        let mut overview = sample();
        let message = "events are not recorded since 09:30 UTC: <full>";
        overview.impairments = vec![Impairment::new(ImpairedPart::Store, message)];
        let html = events(
            &RequestContext::anonymous("/events"),
            &[event()],
            None,
            &EventForm::default(),
            None,
            &overview,
        )
        .into_string();
        assert!(html.contains("since 09:30 UTC: &lt;full&gt;"), "{html}");
        assert!(!html.contains("Older events"));
        let html = events(
            &RequestContext::anonymous("/events"),
            &[],
            Some("it cannot be read"),
            &EventForm::default(),
            None,
            &sample(),
        )
        .into_string();
        assert!(html.contains("it cannot be read") && !html.contains("Nothing was recorded"));
    }
}
