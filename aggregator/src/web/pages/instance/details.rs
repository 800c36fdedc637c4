//! Details that are requested separately for the page of one instance: its timeline, its processes' command
//! lines, its events, the last lines of its log.

use jiff::Timestamp;
use maud::html;
use rta_shared::event::Event;
use rta_shared::format::{memory, percent};
use rta_shared::inspection::InspectedProcess;
use rta_shared::overview::InstanceId;
use rta_shared::sanitize::printable_line;

use crate::api::logs::LogChunk;
use crate::timeline::Timeline;
use crate::usage::UsageSample;
use crate::web::pages::events::view::row as event_row;
use crate::web::parts::health::text;
use crate::web::parts::html_patch::HtmlNode;
use crate::web::parts::links::{log_address, named};
use crate::web::parts::sparkline::sparkline;
use crate::web::parts::timeline::{MAX_PIECES, legend, strip};

/// Details of an instance; each is a value or the reason why it is unknown.
#[derive(Debug)]
pub(in crate::web) struct InstanceDetails {
    pub(in crate::web) processes: Result<Vec<InspectedProcess>, String>,
    pub(in crate::web) events: Result<Vec<Event>, String>,
    pub(in crate::web) timeline: Result<Timeline, String>,
    /// Recent resource usage.
    pub(in crate::web) used: Vec<UsageSample>,
    /// `None`: no log is configured.
    pub(in crate::web) log: Option<Result<LogChunk, String>>,
}

impl InstanceDetails {
    /// Renders the timeline of the last day, and the usage of the last hour.
    pub(crate) fn past(&self, id: &InstanceId) -> HtmlNode {
        let name = format!("{} on {}", id.component, id.host);
        let last = self.used.last();
        let series = |value: fn(&UsageSample) -> f64| -> Vec<(Timestamp, f64)> {
            self.used.iter().map(|sample| (sample.at, value(sample))).collect()
        };
        #[expect(clippy::cast_precision_loss, reason = "a drawing needs no more digits")]
        let memory_series = series(|sample| sample.resident_bytes as f64);
        let element = html! {
            section #past.panel {
                h2 { "Last 24 hours" }
                @match &self.timeline {
                    Err(reason) => p.error { (text(reason)) },
                    Ok(shown) => {
                        div.detail-strip { (strip(shown, &format!("{name}, last 24 hours"), MAX_PIECES)) }
                        (legend())
                    }
                }
                @if let Some(last) = last {
                    div.detail-use {
                        div { h3 { "CPU, last hour" }
                            (sparkline(&series(|sample| sample.cpu_percent), &format!("CPU of {name}, last hour"), &percent(last.cpu_percent)))
                        }
                        div { h3 { "Memory, last hour" }
                            (sparkline(&memory_series, &format!("memory of {name}, last hour"), &memory(last.resident_bytes)))
                        }
                    }
                }
                p.hint { a href=(named("/history", id, &[("length", "7d")])) { "Last 7 days" } }
            }
        };
        HtmlNode::leaf("past", &element)
    }

    /// Renders the command lines, with their secrets masked.
    pub(crate) fn command_lines(&self) -> HtmlNode {
        let element = html! {
            section #command-lines.panel {
                h2 { "Command lines" }
                @match &self.processes {
                    Err(reason) => p.error { (text(reason)) },
                    Ok(processes) if processes.is_empty() => p.empty-line { "No process matches." },
                    Ok(processes) => {
                        p.hint { "What looks like a secret is shown as ***." }
                        @for process in processes {
                            details id={ "pid-" (process.pid) } open[processes.len() == 1] {
                                summary { "pid " (process.pid) ", " (process.arguments.len() as u64 + u64::from(process.more)) " arguments" }
                                ol.arguments start="0" {
                                    @for argument in &process.arguments { li { code { (printable_line(argument)) } } }
                                    @if process.more > 0 { li.more { "and " (process.more) " more" } }
                                }
                            }
                        }
                    }
                }
            }
        };
        HtmlNode::leaf("command-lines", &element)
    }

    /// Renders the recent events.
    pub(crate) fn of_late(&self, id: &InstanceId) -> HtmlNode {
        let all = named("/events", id, &[]);
        let element = html! {
            section #of-late.panel {
                h2 { "Recent events" }
                @match &self.events {
                    Err(reason) => p.error { (text(reason)) },
                    Ok(events) if events.is_empty() => p.empty-line { "Nothing was recorded." },
                    Ok(events) => {
                        ol.events { @for event in events { (event_row(event)) } }
                        p.hint { a href=(all) { "All events of it" } }
                    }
                }
            }
        };
        HtmlNode::leaf("of-late", &element)
    }

    /// Renders the last lines of its log; `None` if it has no log.
    pub(crate) fn log_tail(&self, id: &InstanceId) -> Option<HtmlNode> {
        let log = self.log.as_ref()?;
        let element = html! {
            section #log.panel {
                h2 { "Log" }
                @match log {
                    Err(reason) => p.error { (text(reason)) },
                    Ok(piece) if piece.lines.is_empty() => p.empty-line { "It is empty." },
                    Ok(piece) => {
                        pre.lines tabindex="0" role="region" aria-label="The log's last lines" {
                            @for line in &piece.lines { (printable_line(line)) "\n" }
                        }
                    }
                }
                p.hint { a href=(log_address(id)) { "More of the log" } }
            }
        };
        Some(HtmlNode::leaf("log", &element))
    }
}
