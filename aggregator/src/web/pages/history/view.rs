//! Page of timelines over the last day or week, host by host, the worst first.

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::format::counted;
use rta_shared::format::{memory, percent};
use rta_shared::overview::Overview;

use crate::timeline::description::UPTIME_EXPLANATION;
use crate::usage::UsageSample;
use crate::web::address::with_query;
use crate::web::pages::history::listing::{HistoryListing, InstancePast};
use crate::web::parts::filter::{distinct_sorted, select_field};
use crate::web::parts::health::{badge, text};
use crate::web::parts::links::address;
use crate::web::parts::sparkline::sparkline;
use crate::web::parts::timeline::{legend, strip};
use crate::web::parts::{config, layout};
use crate::web::request_context::RequestContext;

/// Lengths that the page offers, as parameter and as text.
const LENGTHS: [(&str, &str); 2] = [("24h", "24 hours"), ("7d", "7 days")];

/// Filter of the page, as in its address; empty fields: any, and the first length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct HistoryFilter {
    pub(in crate::web) environment: String,
    pub(in crate::web) host: String,
    pub(in crate::web) component: String,
    pub(in crate::web) length: String,
}

/// Renders the page of these instances, or of the `error` for which there are none.
pub(in crate::web) fn history(
    context: &RequestContext,
    listing: Result<HistoryListing<'_>, &str>,
    shown: &HistoryFilter,
    overview: &Overview,
) -> Markup {
    let length = if shown.length.is_empty() { LENGTHS[0].0 } else { &shown.length };
    let body = html! {
        header.top {
            div.events-head {
                h1 { "History" }
                @match listing.as_ref().ok().and_then(|listing| listing.past.first()) {
                    Some(first) => p { "From " (moment(first.strip.from)) " to " (moment(first.strip.to)) ", the worst first" },
                    None => p { "How everything was, the worst first" },
                }
            }
        }
        main.history-page {
            (config::store_impairment(overview))
            (filter_form(shown, length, overview))
            @match listing {
                Err(error) => p.empty { (text(error)) },
                Ok(listing) if listing.past.is_empty() => p.empty { "There is no instance." },
                Ok(listing) => (list(listing, shown, length)),
            }
        }
    };
    layout::layout(context, "History - rta", &body)
}

fn list(listing: HistoryListing<'_>, shown: &HistoryFilter, length: &str) -> Markup {
    let called = called(length);
    let pieces = listing.pieces_of_strip();
    let HistoryListing { past, offset, total, at, pages } = listing;
    let last = offset + past.len();
    html! {
        (legend())
        @for (name, hosts) in grouped(past, |past| past.located.environment.name.as_str()) {
            section.environment {
                div.environment-head { h2 { (text(name)) } }
                @for (name, past) in grouped(hosts, |past| past.located.host.name.as_str()) {
                    section.past {
                        div.past-head aria-hidden="true" {
                            span {} span { "Last " (called) } span { "CPU, 1 h" } span { "Memory, 1 h" }
                        }
                        h3 { (text(name)) }
                        ul { @for past in &past { (row(past, &called, pieces)) } }
                    }
                }
            }
        }
        p.hint { (UPTIME_EXPLANATION) "." }
        @if pages > 1 {
            p.hint {
                (offset + 1) " to " (last) " of " (counted(total, "instance")) ", the worst first. All of them "
                a href=(address_of("/api/v1/history", shown, length, 1)) { "as JSON" } "."
            }
            nav.pager aria-label="Pages of this list" {
                @if at > 0 { a href=(address_of("/history", shown, length, at)) rel="prev" { "Previous" } }
                span { "Page " (at + 1) " of " (pages) }
                @if at + 1 < pages { a href=(address_of("/history", shown, length, at + 2)) rel="next" { "Next" } }
            }
        }
    }
}

/// Groups items by name; groups are in the order of their first item.
fn grouped<'v, T>(all: Vec<T>, name: impl Fn(&T) -> &'v str) -> Vec<(&'v str, Vec<T>)> {
    let mut groups: Vec<(&str, Vec<T>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for one in all {
        let name = name(&one);
        let at = *places.entry(name).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, group)) => group.push(one),
            None => groups.push((name, vec![one])),
        }
    }
    groups
}

fn row(past: &InstancePast<'_>, called: &str, pieces: u16) -> Markup {
    let InstancePast { located, strip: shown, used } = past;
    let name = located.instance.component.as_str();
    let series = |value: fn(&UsageSample) -> f64| -> Vec<(Timestamp, f64)> {
        used.iter().map(|sample| (sample.at, value(sample))).collect()
    };
    let pids = located.instance.processes.iter().map(|process| process.id.pid);
    let now = located.host.usage.as_ref().and_then(|usage| usage.total_of(pids));
    let written = |now: Option<String>| now.unwrap_or("-".to_owned());
    // The largest value drawn is far from the loss of digits.
    #[expect(clippy::cast_precision_loss, reason = "a drawing needs no more digits")]
    let memory_series = series(|sample| sample.resident_bytes as f64);
    html! {
        li {
            div.what {
                a.component href=(address(&located.id())) { (text(name)) }
                (badge(located.instance.health))
            }
            (strip(shown, &format!("{name} on {}, last {called}", located.host.name), pieces))
            div.used {
                // On a wide screen the heading is above the column.
                span.used-name aria-hidden="true" { "CPU" }
                (sparkline(
                    &series(|sample| sample.cpu_percent),
                    &format!("CPU of {name}, in percent of one core,"),
                    &written(now.map(|used| percent(used.cpu_percent))),
                ))
            }
            div.used {
                span.used-name aria-hidden="true" { "Memory" }
                (sparkline(
                    &memory_series,
                    &format!("memory of {name}, in bytes,"),
                    &written(now.map(|used| memory(used.resident_bytes))),
                ))
            }
        }
    }
}

/// Renders the form that filters the page.
fn filter_form(shown: &HistoryFilter, length: &str, overview: &Overview) -> Markup {
    let environments = overview.environments.iter();
    let hosts = environments
        .clone()
        .filter(|environment| shown.environment.is_empty() || environment.name == *shown.environment.as_str())
        .flat_map(|environment| environment.hosts.iter().map(|host| host.name.as_str().to_owned()));
    html! {
        div.narrowing {
            nav aria-label="Length" {
                @for (value, called) in LENGTHS {
                    a href=(address_of("/history", shown, value, 1)) aria-current=[(value == length).then_some("page")] { (called) }
                }
            }
            form.filter method="get" action="/history" {
                (select_field("environment", "Environment", &shown.environment, environments.map(|environment| environment.name.as_str().to_owned()).collect()))
                (select_field("host", "Host", &shown.host, distinct_sorted(hosts)))
                input type="hidden" name="length" value=(length);
                button type="submit" { "Show" }
            }
        }
    }
}

/// Returns the address of the same filter with this length, and the page counted from 1.
fn address_of(path: &str, shown: &HistoryFilter, length: &str, page: usize) -> String {
    let HistoryFilter { environment, host, component, .. } = shown;
    let page = if page > 1 { page.to_string() } else { String::new() };
    with_query(
        path,
        &[
            ("environment", environment),
            ("host", host),
            ("component", component),
            ("length", length),
            ("page", &page),
        ],
    )
}

/// Returns the text for a length.
fn called(length: &str) -> String {
    let known = LENGTHS.into_iter().find(|(value, _)| *value == length);
    known.map_or_else(|| text(length).into_owned(), |(_, called)| called.to_owned())
}

fn moment(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.strftime("%Y-%m-%d %H:%M UTC")) } }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use rta_shared::overview::InstanceOverview;

    use super::*;
    use crate::sample_overview::{instance, sample};
    use crate::timeline::{Timeline, TimelineSample, TimelineState};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    /// Returns the timeline of an hour with a mark at its start and another one ten minutes later.
    fn of(first: TimelineState, then: TimelineState) -> Timeline {
        let marks = [TimelineSample { at: at(0), state: first }, TimelineSample { at: at(10), state: then }];
        Timeline::from_samples(at(0), at(60), &marks, &[])
    }

    fn html_of(overview: &Overview, timelines: &[Timeline], shown: &HistoryFilter) -> String {
        page_html(overview, timelines, shown, 1)
    }

    fn page_html(overview: &Overview, timelines: &[Timeline], shown: &HistoryFilter, page: usize) -> String {
        let used = [UsageSample { at: at(0), cpu_percent: 12.5, resident_bytes: 512_000_000 }];
        let listing =
            HistoryListing::new(overview.instances().zip(timelines).collect(), page, |_| used.to_vec());
        history(&RequestContext::anonymous("/history"), Ok(listing), shown, overview).into_string()
    }

    #[test]
    fn what_fared_worst_comes_first_and_what_is_not_known_before_what_was_up() {
        let timelines = [
            of(TimelineState::Up, TimelineState::Up),
            of(TimelineState::Down, TimelineState::Up),
            of(TimelineState::NotRecorded, TimelineState::Unknown),
        ];
        let html = html_of(&sample(), &timelines, &HistoryFilter::default());
        let places =
            ["novelty detector</a>", "cassandra</a>", "kafka server</a>"].map(|name| html.find(name));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
        for expected in [
            "From <time datetime=\"1970-01-01T00:00:00Z\">1970-01-01 00:00 UTC</time>",
            "aria-label=\"novelty detector on c2t08978, last 24 hours: up 83.3 %, down 10 min in 1 outage\"",
            "aria-label=\"CPU of novelty detector, in percent of one core, from 00:00 to 00:00 UTC: \
             least 12.5, most 12.5, now -\"",
            "/instance?environment=DEV&amp;host=c2t08978&amp;component=novelty+detector",
            "<a href=\"/history?length=24h\" aria-current=\"page\">24 hours</a>",
            "<a href=\"/history?length=7d\">7 days</a>",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
        assert!(!html.contains("style="));
    }

    #[test]
    fn of_very_many_the_worst_are_shown_and_it_is_said_where_the_others_are() {
        let mut overview = sample();
        let component = |number: usize| InstanceOverview {
            component: format!("c{number}").as_str().into(),
            ..instance("c", None, rta_shared::overview::Health::Up)
        };
        overview.environments[0].hosts.truncate(1);
        overview.environments[0].hosts[0].instances = (0..250).map(component).map(Into::into).collect();
        let mut timelines = vec![of(TimelineState::Up, TimelineState::Up); 250];
        timelines[249] = of(TimelineState::Down, TimelineState::Up);
        let shown = HistoryFilter { host: "c9t21193".to_owned(), ..HistoryFilter::default() };
        let html = html_of(&overview, &timelines, &shown);
        assert!(html.find(">c249</a>") < html.find(">c0</a>"));
        assert_eq!(html.matches("role=\"img\" aria-label=\"c").count(), 40);
        assert!(html.contains("1 to 40 of 250 instances, the worst first."));
        assert!(
            html.contains(
                "<a href=\"/history?host=c9t21193&amp;length=24h&amp;page=2\" rel=\"next\">Next</a>"
            )
        );
        let last = page_html(&overview, &timelines, &shown, 99);
        assert!(last.contains("241 to 250 of 250 instances") && !last.contains("rel=\"next\""));
        assert!(html.contains("href=\"/api/v1/history?host=c9t21193&amp;length=24h\""));
    }

    #[test]
    fn page_of_very_many_that_change_all_the_time_is_bounded() {
        let mut overview = sample();
        let pattern = overview.environments[0].hosts[0].clone();
        overview.environments[0].hosts = (0..5_000)
            .map(|number| {
                let mut host = pattern.clone();
                host.name = format!("c9t{number:05}.example.net").as_str().into();
                host
            })
            .collect();
        let marks: Vec<_> = (0..3_600)
            .map(|second| TimelineSample {
                at: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second),
                state: if second / 40 % 2 == 0 { TimelineState::Down } else { TimelineState::Up },
            })
            .collect();
        let timeline = Timeline::from_samples(at(0), at(60), &marks, &[]);
        let timelines = vec![timeline; 5_000];
        let html = html_of(&overview, &timelines, &HistoryFilter::default());
        assert!(html.len() < 600_000, "{}", html.len());
        assert!(html.contains("<input type=\"text\" name=\"host\""), "too many hosts for a list");
    }

    #[test]
    fn what_cannot_be_read_is_told_and_hostile_names_stay_text() {
        let shown = HistoryFilter {
            length: "\"><img>".to_owned(),
            host: "<script>".to_owned(),
            ..HistoryFilter::default()
        };
        let html = history(
            &RequestContext::anonymous("/history"),
            Err("times past cannot be read: <full>"),
            &shown,
            &sample(),
        )
        .into_string();
        assert!(html.contains("times past cannot be read: &lt;full&gt;"));
        assert!(!html.contains("<script>") && !html.contains("<img"));
        let mut overview = sample();
        overview.environments[0].name = "<script>\u{1b}".into();
        overview.environments[0].hosts[0].name = "<script>\u{202e}".into();
        overview.environments[0].hosts[0].instances[0].component = "\"><img src=x onerror=y>\u{1b}".into();
        let html = html_of(&overview, &[of(TimelineState::Up, TimelineState::Down)], &shown);
        assert!(!html.contains("<script>") && !html.contains("<img"));
        // A value that a form sends back has to stay unchanged.
        let list = html.split_once("class=\"past\"").unwrap().1;
        assert!(!list.contains(['\u{1b}', '\u{202e}']), "{list}");
    }
}
