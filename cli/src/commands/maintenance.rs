//! `rta maintenance`: starts, ends, plans and lists maintenance.

use std::io::Write;

use rta_shared::proto::{to_wire_duration, v1};
use rta_shared::sanitize::printable;
use rta_shared::selector::{Purpose, Selector};
use serde_json::json;

use crate::args::{self, MaintenanceCommand, MaintenancePlanArgs, MaintenanceTarget};
use crate::client::AggregatorClient;
use crate::current_user::current_user;
use crate::exit::{CommandFailure, CommandResult, OK};
use crate::output::maintenance::{maintenance_entries, maintenance_line, maintenance_place, planned_lines};
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
                writeln!(out, "{:#}", json!(known))?;
                return Ok(OK);
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
        Some(MaintenanceCommand::Plan(plan)) => {
            let planned = client.plan_maintenance(plan_request(plan)?).await?;
            write!(out, "{}", planned_lines(&planned))?;
        }
        Some(MaintenanceCommand::List { json }) => {
            let active = maintenance_entries(&client.overview().await?);
            let planned = client.planned_maintenance().await?;
            if *json {
                writeln!(out, "{:#}", json!({ "maintenance": active, "planned": planned }))?;
                return Ok(OK);
            }
            if active.is_empty() {
                writeln!(out, "nothing is in maintenance")?;
            }
            for maintenance in &active {
                write!(out, "{}", maintenance_line(maintenance))?;
            }
            if planned.is_empty() {
                writeln!(out, "nothing is planned")?;
            }
            for one in &planned {
                write!(out, "{}", planned_lines(one))?;
            }
        }
        Some(MaintenanceCommand::Cancel { id }) => {
            let cancelled = client.cancel_planned_maintenance(*id, current_user()).await?.planned;
            let sentence = format!("cancelled {id}: {}, {}", cancelled.place(), cancelled.sentence());
            writeln!(out, "{}", printable(&sentence))?;
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

fn plan_request(plan: &MaintenancePlanArgs) -> Result<v1::PlanMaintenanceRequest, CommandFailure> {
    use v1::plan_maintenance_request::Begins;
    let MaintenancePlanArgs { target, every, at, length, time_zone, reason } = plan;
    let Selector { environment, host, component } = target.selector()?;
    Ok(v1::PlanMaintenanceRequest {
        component,
        environment,
        host,
        all: target.all,
        begins: every.clone().map(Begins::Every).or_else(|| at.clone().map(Begins::At)),
        // The duration is checked to be positive when it is parsed.
        length: Some(to_wire_duration(length.unsigned_abs())),
        time_zone: time_zone.clone(),
        reason: reason.clone(),
        user: current_user(),
    })
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

    #[tokio::test]
    async fn plan_is_passed_on_listed_and_cancelled() {
        let script = AggregatorScript {
            overview: Some(sample_overview(&[("a", Health::Up)])),
            ..AggregatorScript::default()
        };
        let (fake, client) = FakeAggregator::serve(script).await;
        let plan = ["rta", "maintenance", "plan", "--env", "ITG", "--every", "sat 02:00", "--for", "2h"];
        let more = ["--time-zone", "Europe/Berlin", "--reason", "patches"];
        let said = run(&client, &[&plan[..], &more[..]].concat()).await;
        assert_eq!(said, "1 ITG: every sat 02:00 Europe/Berlin for 2h: patches\n");
        let said = run(&client, &["rta", "maintenance", "list"]).await;
        assert_eq!(said, "nothing is in maintenance\n1 ITG: every sat 02:00 Europe/Berlin for 2h: patches\n");
        let said = run(&client, &["rta", "maintenance", "cancel", "1"]).await;
        assert_eq!(said, "cancelled 1: ITG, every sat 02:00 Europe/Berlin for 2h: patches\n");
        assert!(fake.script().planned.is_empty());
    }

    #[test]
    fn plan_needs_one_begin_and_a_length() {
        for wrong in [
            &["rta", "maintenance", "plan", "x", "--for", "2h"] as &[&str],
            &["rta", "maintenance", "plan", "x", "--every", "sat 02:00"],
            &["rta", "maintenance", "plan", "x", "--every", "sat", "--for", "2h"],
            &["rta", "maintenance", "plan", "x", "--at", "soon", "--for", "2h"],
            &[
                "rta",
                "maintenance",
                "plan",
                "x",
                "--at",
                "2026-12-05 02:00",
                "--every",
                "sat 02:00",
                "--for",
                "2h",
            ],
            &["rta", "maintenance", "plan", "--every", "sat 02:00", "--for", "2h"],
        ] {
            assert!(CliArgs::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
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
