//! `rta incidents`: shows recorded incidents, or one with its events.

use std::io::Write;

use jiff::Timestamp;
use rta_shared::proto::{to_wire_time, v1};

use crate::args::IncidentsArgs;
use crate::client::AggregatorClient;
use crate::exit::{CommandFailure, CommandResult, FAILED, OK};
use crate::output::OutputStyle;
use crate::output::incidents::{incident_details, incident_lines};

/// Writes the incidents, newest last, or one with its events.
pub(crate) async fn show_incidents(
    arguments: &IncidentsArgs,
    client: &AggregatorClient,
    style: OutputStyle,
    out: &mut (dyn Write + Send),
) -> CommandResult {
    if let Some(id) = arguments.id {
        let details = client.incident(id).await?;
        if arguments.json {
            return write_json(serde_json::to_string_pretty(&details), out);
        }
        write!(out, "{}", incident_details(&details, style))?;
        return Ok(OK);
    }
    let mut incidents = client.list_incidents(incident_query(arguments, Timestamp::now())).await?;
    // The aggregator sends the newest first; on a terminal the newest belongs at the bottom.
    incidents.reverse();
    if arguments.json {
        return write_json(serde_json::to_string_pretty(&incidents), out);
    }
    match incidents.is_empty() {
        true => writeln!(out, "no incident that fits was recorded")?,
        false => write!(out, "{}", incident_lines(&incidents, style))?,
    }
    Ok(OK)
}

fn incident_query(arguments: &IncidentsArgs, now: Timestamp) -> v1::ListIncidentsRequest {
    v1::ListIncidentsRequest {
        open: arguments.open,
        environment: arguments.env.clone().unwrap_or_default(),
        since: arguments.since.map(|since| to_wire_time(since.moment(now))),
        person: arguments.by.clone().unwrap_or_default(),
        before: 0,
        limit: arguments.number,
    }
}

fn write_json(json: Result<String, serde_json::Error>, out: &mut (dyn Write + Send)) -> CommandResult {
    let json = json.map_err(|error| {
        CommandFailure::new(FAILED, format!("the incidents cannot be written as JSON: {error}"))
    })?;
    writeln!(out, "{json}")?;
    Ok(OK)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{CliArgs, CliCommand, RemoteCommand};
    use crate::fake_aggregator::{AggregatorScript, FakeAggregator};
    use crate::output::incidents::tests::incident;

    const STYLE: OutputStyle = OutputStyle { terminal: false, colour: false };

    async fn run(line: &str) -> (Result<String, CommandFailure>, AggregatorScript) {
        let incidents = vec![(&incident(8)).into(), (&incident(7)).into()];
        let script = AggregatorScript { incidents, ..AggregatorScript::default() };
        let (fake, client) = FakeAggregator::serve(script).await;
        let CliCommand::Remote(RemoteCommand::Incidents(arguments)) =
            CliArgs::parse_from(line.split(' ')).command
        else {
            panic!("{line}");
        };
        let mut out = Vec::new();
        let end = show_incidents(&arguments, &client, STYLE, &mut out).await;
        let script = std::mem::take(&mut *fake.script());
        (end.map(|_| String::from_utf8(out).unwrap()), script)
    }

    #[tokio::test]
    async fn newest_incident_is_last_and_the_filter_is_passed_on() {
        let (out, script) = run("rta incidents --open --env DEV --since 2h --by ann -n 3").await;
        let out = out.unwrap_or_else(|failure| panic!("{}", failure.message()));
        let ids: Vec<&str> = out.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
        assert_eq!(ids, ["7", "8"]);
        let asked = &script.incident_queries[0];
        assert!(asked.open && asked.since.is_some());
        assert_eq!((asked.environment.as_str(), asked.person.as_str(), asked.limit), ("DEV", "ann", 3));
    }

    #[tokio::test]
    async fn one_incident_is_shown_with_its_events_and_an_unknown_one_is_an_error() {
        let (out, _) = run("rta incidents 8").await;
        let out = out.unwrap_or_else(|failure| panic!("{}", failure.message()));
        assert!(out.starts_with("Incident 8: "), "{out}");
        let (out, _) = run("rta incidents 9").await;
        assert!(out.unwrap_err().message().contains("incident 9 is not known"));
        let (out, _) = run("rta incidents 8 --json").await;
        let out = out.unwrap_or_else(|failure| panic!("{}", failure.message()));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["incident"]["id"], 8);
    }
}
