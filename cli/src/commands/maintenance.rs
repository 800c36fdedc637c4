//! `rta maintenance`: starts, ends and lists maintenance.

use std::io::Write;

use rta_shared::maintenance::Maintenance;
use rta_shared::proto::{to_wire_duration, v1};
use rta_shared::selector::{Purpose, Selector};

use crate::args::{self, MaintenanceCommand, MaintenanceTarget};
use crate::client::AggregatorClient;
use crate::current_user::current_user;
use crate::exit::{CommandFailure, CommandResult, FAILED, OK};
use crate::output::maintenance::{maintenance_entries, maintenance_line, maintenance_place};
use crate::overview_filter::filter_overview;

/// Starts or ends maintenance, or lists it.
pub(crate) async fn run_maintenance(
    arguments: &args::MaintenanceArgs,
    client: &AggregatorClient,
    out: &mut (dyn Write + Send),
) -> CommandResult {
    match &arguments.change {
        None => {
            let known = maintenance_entries(&filter_overview(
                client.overview().await?,
                &arguments.place.selector(&[])?,
                Purpose::Reading,
            )?);
            if arguments.json {
                return write_json(&known, out);
            }
            if known.is_empty() {
                writeln!(out, "nothing is in maintenance")?;
            }
            for maintenance in &known {
                write!(out, "{}", maintenance_line(maintenance))?;
            }
        }
        Some(MaintenanceCommand::On { target, length, reason }) => {
            // The duration is checked to be positive when it is parsed.
            let length = length.map(|length| to_wire_duration(length.unsigned_abs()));
            let request = v1::SetMaintenanceRequest {
                on: true,
                length,
                reason: reason.clone(),
                ..maintenance_request(target)?
            };
            for maintenance in client.set_maintenance(request).await? {
                write!(out, "{}", maintenance_line(&maintenance))?;
            }
        }
        Some(MaintenanceCommand::Off { target }) => {
            let ended = client.set_maintenance(maintenance_request(target)?).await?;
            if ended.is_empty() {
                writeln!(out, "nothing of it was in maintenance")?;
            }
            for maintenance in &ended {
                writeln!(out, "{}: no longer in maintenance", maintenance_place(maintenance))?;
            }
        }
    }
    Ok(OK)
}

fn maintenance_request(target: &MaintenanceTarget) -> Result<v1::SetMaintenanceRequest, CommandFailure> {
    let Selector { environment, host, component } = target.selector()?;
    Ok(v1::SetMaintenanceRequest {
        component,
        environment,
        host,
        all: target.all,
        user: current_user(),
        ..Default::default()
    })
}

fn write_json(known: &[Maintenance], out: &mut (dyn Write + Send)) -> CommandResult {
    let json = serde_json::to_string_pretty(known).map_err(|error| {
        CommandFailure::new(FAILED, format!("the list cannot be written as JSON: {error}"))
    })?;
    writeln!(out, "{json}")?;
    Ok(OK)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rta_shared::overview::Health;

    use super::*;
    use crate::args::{CliArgs, CliCommand, RemoteCommand};
    use crate::fake_aggregator::{AggregatorScript, FakeAggregator, sample_overview};

    async fn run(client: &AggregatorClient, words: &[&str]) -> String {
        let arguments = match CliArgs::parse_from(words).command {
            CliCommand::Remote(RemoteCommand::Maintenance(arguments)) => arguments,
            other => panic!("{other:?}"),
        };
        let mut out = Vec::new();
        let outcome = run_maintenance(&arguments, client, &mut out).await;
        assert_eq!(outcome.map_err(CommandFailure::into_parts), Ok(OK));
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn what_for_how_long_and_why_is_passed_on() {
        let script = AggregatorScript {
            overview: Some(sample_overview(&[("a", Health::Up)])),
            ..AggregatorScript::default()
        };
        let (fake, client) = FakeAggregator::serve(script).await;
        let on = ["rta", "maintenance", "on", "DEV/h/kafka server", "--for", "2h", "--reason", "new disks"];
        run(&client, &on).await;
        let said = run(&client, &["rta", "maintenance", "off", "--host", "h"]).await;
        assert_eq!(said, "nothing of it was in maintenance\n");
        assert_eq!(run(&client, &["rta", "maintenance"]).await, "nothing is in maintenance\n");
        let script = fake.script();
        let [on, off] = script.maintenance.as_slice() else { panic!("{:?}", script.maintenance) };
        assert_eq!(
            (on.environment.as_str(), on.host.as_str(), on.component.as_str()),
            ("DEV", "h", "kafka server")
        );
        assert_eq!((on.on, on.length.as_ref().map(|length| length.seconds)), (true, Some(7200)));
        assert_eq!((on.reason.as_str(), off.on, off.host.as_str()), ("new disks", false, "h"));
    }

    #[test]
    fn a_whole_platform_must_be_said_and_a_length_be_positive() {
        for wrong in [
            &["rta", "maintenance", "on"] as &[&str],
            &["rta", "maintenance", "on", "x", "--for", "0s"],
            &["rta", "maintenance", "on", "x", "--for", "-2h"],
            &["rta", "maintenance", "off", "--reason", "x", "y"],
        ] {
            assert!(CliArgs::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
