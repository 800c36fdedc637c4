//! `rta events --follow`: shows recorded events, then every new one, across lost connections.

use std::io::Write;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use rta_shared::event::Event;
use rta_shared::format::counted;
use rta_shared::proto::v1;

use crate::args::EventsArgs;
use crate::client::{AggregatorClient, EventItem, EventItemStream};
use crate::commands::events::event_query;
use crate::exit::{CommandFailure, CommandResult, FAILED};
use crate::output::events::EventTable;

/// Interval between attempts to reconnect to the aggregator.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(500);

/// Writes the events to `out` as they arrive, and remarks about the connection to `notices`. Reconnects for ever
/// after a connection was lost; returns only with an error.
pub(crate) async fn follow_events(
    arguments: &EventsArgs,
    client: &AggregatorClient,
    out: &mut (dyn Write + Send),
    notices: &mut (dyn Write + Send),
) -> CommandResult {
    let query = event_query(arguments, Timestamp::now())?;
    let v1::ListEventsRequest { since, environment, host, component, kinds, limit, before: _, .. } = query;
    let v1::ListEventsRequest { plan, person, incident, .. } = query;
    let mut request = v1::WatchEventsRequest {
        since,
        environment,
        host,
        component,
        kinds,
        limit,
        after: None,
        plan,
        person,
        incident,
    };
    let mut printer =
        EventPrinter { json: arguments.json, table: EventTable::default(), recorded: Some(Vec::new()) };
    let mut items = client.watch_events(request.clone()).await?;
    loop {
        let why = print_items(&mut items, &mut request, &mut printer, out, notices).await?;
        writeln!(notices, "rta: the connection was lost: {why}; trying again until Ctrl-C")?;
        items = loop {
            tokio::time::sleep(RECONNECT_INTERVAL).await;
            match client.watch_events(request.clone()).await {
                Ok(items) => break items,
                Err(CommandFailure::Unreachable(_)) => {}
                Err(failure) => return Err(failure),
            }
        };
        writeln!(notices, "rta: the aggregator answers again")?;
    }
}

/// Prints items until the connection is lost, and moves `request` on to where it continues. Returns the reason for
/// the loss.
async fn print_items(
    items: &mut EventItemStream,
    request: &mut v1::WatchEventsRequest,
    printer: &mut EventPrinter,
    out: &mut (dyn Write + Send),
    notices: &mut (dyn Write + Send),
) -> Result<String, CommandFailure> {
    loop {
        match items.next().await {
            Some(Ok(EventItem::Event(event))) => {
                request.after = Some(event.id);
                printer.print(*event, out)?;
            }
            Some(Ok(EventItem::Missed(missed))) => {
                let most = counted(usize::try_from(missed).unwrap_or(usize::MAX), "event");
                writeln!(
                    notices,
                    "rta: up to {most} are left out here, since they were too many; rta events shows them"
                )?;
            }
            Some(Ok(EventItem::CaughtUp(last_id))) => {
                request.after = Some(last_id);
                printer.finish_recorded(out)?;
            }
            Some(Err(CommandFailure::Unreachable(why))) => return Ok(why),
            Some(Err(failure)) => return Err(failure),
            None => return Ok("the aggregator ended the call".to_owned()),
        }
    }
}

/// Printer of events as lines of text or JSON.
struct EventPrinter {
    json: bool,
    table: EventTable,
    /// Recorded events that are collected, so that they form one table; `None` once they are printed.
    recorded: Option<Vec<Event>>,
}

impl EventPrinter {
    fn print(&mut self, event: Event, out: &mut (dyn Write + Send)) -> Result<(), CommandFailure> {
        match &mut self.recorded {
            Some(recorded) => recorded.push(event),
            None => self.write(&[event], out)?,
        }
        Ok(())
    }

    fn finish_recorded(&mut self, out: &mut (dyn Write + Send)) -> Result<(), CommandFailure> {
        match self.recorded.take() {
            Some(recorded) => self.write(&recorded, out),
            None => Ok(()),
        }
    }

    fn write(&mut self, events: &[Event], out: &mut (dyn Write + Send)) -> Result<(), CommandFailure> {
        if self.json {
            for event in events {
                let json = serde_json::to_string(event).map_err(|error| {
                    CommandFailure::new(FAILED, format!("the event cannot be written as JSON: {error}"))
                })?;
                writeln!(out, "{json}")?;
            }
        } else {
            write!(out, "{}", self.table.lines(events))?;
        }
        Ok(out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rta_shared::event::EventKind;

    use super::*;
    use crate::args::{CliArgs, CliCommand, RemoteCommand};
    use crate::fake_aggregator::{AggregatorScript, FakeAggregator};

    fn arguments(line: &str) -> EventsArgs {
        let CliCommand::Remote(RemoteCommand::Events(arguments)) =
            CliArgs::parse_from(line.split(' ')).command
        else {
            panic!("{line}");
        };
        arguments
    }

    fn event(id: u64, text: &str) -> v1::watch_events_response::Item {
        let event = Event::new(Timestamp::UNIX_EPOCH, EventKind::Config, text.to_owned());
        v1::watch_events_response::Item::Event((&Event { id, ..event }).into())
    }

    #[tokio::test]
    async fn lost_connection_continues_after_the_last_event() {
        use v1::watch_events_response::Item::{CaughtUp, Missed};
        let streams = [
            vec![event(3, "three"), CaughtUp(5)],
            vec![event(6, "six"), Missed(2), event(9, "nine"), CaughtUp(9), event(10, "ten")],
        ];
        let script = AggregatorScript { event_streams: streams.into(), ..AggregatorScript::default() };
        let (fake, client) = FakeAggregator::serve(script).await;
        let (mut out, mut notices) = (Vec::new(), Vec::new());
        let end =
            follow_events(&arguments("rta events --follow -n 7"), &client, &mut out, &mut notices).await;
        assert_eq!(end.unwrap_err().message(), "that is all");
        let at = "1970-01-01 00:00:00 UTC  config  -  ";
        let lines = ["three", "six", "nine", "ten"].map(|text| format!("{at}{text}\n"));
        assert_eq!(String::from_utf8(out).unwrap(), lines.concat());
        let notices = String::from_utf8(notices).unwrap();
        assert_eq!(
            notices.lines().filter(|line| line.contains("connection was lost")).count(),
            2,
            "{notices}"
        );
        assert!(notices.contains("up to 2 events are left out"), "{notices}");
        let asked: Vec<_> =
            fake.script().event_watches.iter().map(|asked| (asked.limit, asked.after)).collect();
        assert_eq!(asked, [(7, None), (7, Some(5)), (7, Some(10))]);
    }

    #[tokio::test]
    async fn json_is_one_event_a_line() {
        let caught_up = v1::watch_events_response::Item::CaughtUp(1);
        let script = AggregatorScript {
            event_streams: [vec![event(1, "one"), caught_up, event(2, "two")]].into(),
            ..AggregatorScript::default()
        };
        let (_fake, client) = FakeAggregator::serve(script).await;
        let (mut out, mut notices) = (Vec::new(), Vec::new());
        let arguments = arguments("rta events --follow --json");
        follow_events(&arguments, &client, &mut out, &mut notices).await.unwrap_err();
        let out = String::from_utf8(out).unwrap();
        let ids: Vec<_> = out
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap())
            .collect();
        assert_eq!(ids, [1, 2]);
    }
}
