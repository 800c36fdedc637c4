//! `rta events`: shows recorded events.

use std::io::Write;

use jiff::Timestamp;
use rta_shared::event::Event;
use rta_shared::proto::{to_wire_time, v1};
use rta_shared::selector::Selector;

use crate::client::Client;
use crate::command::Events;
use crate::exit::{FAILED, Failure, OK, Outcome};
use crate::render::event::events as lines;

/// Writes the events, newest last.
pub(crate) async fn events(wish: &Events, client: &Client, out: &mut (dyn Write + Send)) -> Outcome {
    let mut events = client.events(request(wish, Timestamp::now())?).await?;
    // The aggregator sends the newest first; on a terminal the newest belongs at the bottom.
    events.reverse();
    if wish.json {
        return write_json(&events, out);
    }
    match events.is_empty() {
        true => writeln!(out, "nothing that fits was recorded")?,
        false => write!(out, "{}", lines(&events))?,
    }
    Ok(OK)
}

/// Returns the request for these events.
///
/// # Errors
/// Returns an error if a name has a blank part.
pub(crate) fn request(wish: &Events, now: Timestamp) -> Result<v1::ListEventsRequest, Failure> {
    let Selector { environment, host, component } = wish.place.selector(wish.component.as_slice())?;
    Ok(v1::ListEventsRequest {
        since: wish.since.map(|since| to_wire_time(since.moment(now))),
        before: 0,
        environment,
        host,
        component,
        kinds: wish.kind.clone(),
        limit: wish.number,
    })
}

fn write_json(events: &[Event], out: &mut (dyn Write + Send)) -> Outcome {
    let json = serde_json::to_string_pretty(events)
        .map_err(|error| Failure::new(FAILED, format!("the events cannot be written as JSON: {error}")))?;
    writeln!(out, "{json}")?;
    Ok(OK)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rta_shared::event::EventKind;

    use super::*;
    use crate::command::{Arguments, Command, Remote};
    use crate::fake::{Fake, Script};

    #[tokio::test]
    async fn the_newest_is_last_and_the_wish_is_passed_on() {
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
            })
        };
        let script = Script { events: vec![event(2, "new"), event(1, "old")], ..Script::default() };
        let (fake, client) = Fake::serve(script).await;
        let line = "rta events --env DEV --host h --component kafka --kind step --kind plan -n 3 --since 2h";
        let Command::Remote(Remote::Events(wish)) = Arguments::parse_from(line.split(' ')).command else {
            panic!("{line}");
        };
        let mut out = Vec::new();
        assert_eq!(events(&wish, &client, &mut out).await.map_err(Failure::into_parts), Ok(OK));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1970-01-01 00:00:00 UTC  aggregator  -  old\n1970-01-01 00:00:00 UTC  aggregator  -  new\n"
        );
        let asked = fake.script().events_asked.remove(0);
        assert!(asked.since.is_some());
        let rest = (asked.environment, asked.host, asked.component, asked.kinds, asked.limit);
        let of = |word: &str| word.to_owned();
        assert_eq!(rest, (of("DEV"), of("h"), of("kafka"), vec![of("step"), of("plan")], 3));
    }
}
