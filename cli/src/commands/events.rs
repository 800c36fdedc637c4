//! `rta events`: shows recorded events.

use std::io::Write;

use jiff::Timestamp;
use rta_shared::event::Event;
use rta_shared::proto::{to_wire_time, v1};
use rta_shared::selector::Selector;

use crate::args::EventsArgs;
use crate::client::AggregatorClient;
use crate::exit::{CommandFailure, CommandResult, FAILED, OK};
use crate::output::events::event_lines;

/// Writes the events, newest last.
pub(crate) async fn show_events(
    arguments: &EventsArgs,
    client: &AggregatorClient,
    out: &mut (dyn Write + Send),
) -> CommandResult {
    let mut events = client.list_events(event_query(arguments, Timestamp::now())?).await?;
    // The aggregator sends the newest first; on a terminal the newest belongs at the bottom.
    events.reverse();
    if arguments.json {
        return write_json(&events, out);
    }
    match events.is_empty() {
        true => writeln!(out, "nothing that fits was recorded")?,
        false => write!(out, "{}", event_lines(&events))?,
    }
    Ok(OK)
}

/// Returns the query for these events.
///
/// # Errors
/// Returns an error if a name has a blank part.
pub(crate) fn event_query(
    arguments: &EventsArgs,
    now: Timestamp,
) -> Result<v1::ListEventsRequest, CommandFailure> {
    let Selector { environment, host, component } =
        arguments.place.selector(arguments.component.as_slice())?;
    Ok(v1::ListEventsRequest {
        since: arguments.since.map(|since| to_wire_time(since.moment(now))),
        before: 0,
        environment,
        host,
        component,
        kinds: arguments.kind.clone(),
        limit: arguments.number,
        plan: arguments.plan.unwrap_or_default(),
        person: arguments.by.clone().unwrap_or_default(),
        incident: arguments.incident.unwrap_or_default(),
    })
}

fn write_json(events: &[Event], out: &mut (dyn Write + Send)) -> CommandResult {
    let json = serde_json::to_string_pretty(events).map_err(|error| {
        CommandFailure::new(FAILED, format!("the events cannot be written as JSON: {error}"))
    })?;
    writeln!(out, "{json}")?;
    Ok(OK)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rta_shared::event::EventKind;

    use super::*;
    use crate::args::{CliArgs, CliCommand, RemoteCommand};
    use crate::fake_aggregator::{AggregatorScript, FakeAggregator};

    #[tokio::test]
    async fn newest_event_is_last_and_the_query_is_passed_on() {
        let event = |id, text: &str| {
            v1::Event::from(&Event {
                id,
                at: Timestamp::UNIX_EPOCH,
                kind: EventKind::Aggregator,
                environment: None,
                host: None,
                component: None,
                from: None,
                to: None,
                text: text.to_owned(),
                by: None,
                plan: None,
                incident: None,
            })
        };
        let script = AggregatorScript {
            events: vec![event(2, "new"), event(1, "old")],
            ..AggregatorScript::default()
        };
        let (fake, client) = FakeAggregator::serve(script).await;
        let line = "rta events --env DEV --host h --component kafka --kind step --kind plan -n 3 --since 2h \
                    --plan 7 --by ann --incident 2";
        let CliCommand::Remote(RemoteCommand::Events(arguments)) =
            CliArgs::parse_from(line.split(' ')).command
        else {
            panic!("{line}");
        };
        let mut out = Vec::new();
        assert_eq!(
            show_events(&arguments, &client, &mut out).await.map_err(CommandFailure::into_parts),
            Ok(OK)
        );
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1970-01-01 00:00:00 UTC  aggregator  -  old\n1970-01-01 00:00:00 UTC  aggregator  -  new\n"
        );
        let asked = fake.script().event_queries.remove(0);
        assert!(asked.since.is_some());
        assert_eq!((asked.plan, asked.person.as_str(), asked.incident), (7, "ann", 2));
        let rest = (asked.environment, asked.host, asked.component, asked.kinds, asked.limit);
        let of = |word: &str| word.to_owned();
        assert_eq!(rest, (of("DEV"), of("h"), of("kafka"), vec![of("step"), of("plan")], 3));
    }
}
