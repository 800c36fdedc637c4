//! Commands that the aggregator answers.

use std::io::{self, Write};
use std::time::Duration;

use rta_shared::action::ActionKind;
use rta_shared::overview::{Health, Overview};
use rta_shared::root_cause::suppressed_instances;
use rta_shared::sanitize::printable;
use rta_shared::selector::Purpose;

use crate::args::{ActionArgs, CheckArgs, RemoteCommand};
use crate::client::AggregatorClient;
use crate::commands::event_follower::follow_events;
use crate::commands::events::show_events;
use crate::commands::explain::instance_selector;
use crate::commands::incidents::show_incidents;
use crate::commands::list::run_list;
use crate::commands::logs::show_logs;
use crate::commands::maintenance::run_maintenance;
use crate::commands::notify::run_notify;
use crate::commands::what_if::show_what_if;
use crate::exit::{CommandFailure, CommandResult, FAILED, NOT_UP, OK, UNAVAILABLE};
use crate::output::OutputStyle;
use crate::output::component_notes::component_notes;
use crate::output::host_details::host_details;
use crate::output::json::write_json;
use crate::output::status::{full_status, status_text};
use crate::output::summary::missing_hosts;
use crate::overview_filter::filter_overview;
use crate::plan_run::confirm_prompt::TerminalPrompt;
use crate::plan_run::run_plan;
use crate::top::run_watch;

/// Runs a command that the aggregator answers, and writes its output to `out`.
pub(crate) async fn run_remote(
    command: &RemoteCommand,
    client: &AggregatorClient,
    style: OutputStyle,
    out: &mut (dyn Write + Send),
) -> CommandResult {
    match command {
        RemoteCommand::Status { name, place, verbose: detailed, json } => {
            let overview =
                filter_overview(client.overview().await?, &place.selector(name)?, Purpose::Reading)?;
            if *json {
                write_json(&overview, out)?;
            } else {
                // The aggregator's clock, because this machine's may differ.
                let now = overview.generated_at;
                if *detailed {
                    write!(out, "{}\n{}", full_status(&overview, style, now), host_details(&overview, now))?;
                } else {
                    write!(out, "{}", status_text(&overview, style, now))?;
                }
                write_notes(client, &overview, out).await?;
            }
            Ok(if overview.counts().worst() == Some(Health::Up) { OK } else { NOT_UP })
        }
        RemoteCommand::List(arguments) => run_list(arguments, client, style, out).await,
        RemoteCommand::Watch { name, place } => run_watch(client, &place.selector(name)?, style, out).await,
        RemoteCommand::Act(command) => {
            let (kind, arguments) = command.parts();
            run_action(kind, arguments, client, style, out).await
        }
        RemoteCommand::WhatIf(command) => show_what_if(command, client, style, out).await,
        RemoteCommand::Maintenance(arguments) => run_maintenance(arguments, client, out).await,
        RemoteCommand::Events(arguments) if arguments.follow => {
            follow_events(arguments, client, out, &mut io::stderr()).await
        }
        RemoteCommand::Events(arguments) => show_events(arguments, client, out).await,
        RemoteCommand::Incidents(arguments) => show_incidents(arguments, client, style, out).await,
        RemoteCommand::Logs(arguments) => show_logs(arguments, client, out, &mut io::stderr()).await,
        RemoteCommand::Notify(command) => run_notify(command, client, out).await,
        RemoteCommand::Refresh => {
            let (overview, missing) = client.refresh().await?;
            write!(out, "{}", status_text(&overview, style, overview.generated_at))?;
            write!(out, "{}", missing_hosts(&missing))?;
            Ok(OK)
        }
    }
}

/// Writes what people should know of the instance, if `overview` has been narrowed to a single one.
async fn write_notes(
    client: &AggregatorClient,
    overview: &Overview,
    out: &mut (dyn Write + Send),
) -> Result<(), CommandFailure> {
    let mut instances = overview.instances();
    let (Some(only), None) = (instances.next(), instances.next()) else { return Ok(()) };
    let id = only.id();
    match client.notes(instance_selector(&id)).await {
        Ok((_, notes)) if notes.is_empty() => {}
        Ok((_, notes)) => {
            write!(out, "\nNotes on {}:\n{}", printable(&id.to_string()), component_notes(&notes))?
        }
        // The status itself is there.
        Err(failure) => writeln!(out, "\nThe notes cannot be shown: {}", failure.message())?,
    }
    Ok(())
}

async fn run_action(
    kind: ActionKind,
    arguments: &ActionArgs,
    client: &AggregatorClient,
    style: OutputStyle,
    out: &mut (dyn Write + Send),
) -> CommandResult {
    let mut prompt = TerminalPrompt::new(style.terminal)
        .map_err(|error| CommandFailure::new(FAILED, format!("Ctrl-C cannot be heard: {error}")))?;
    run_plan(kind, arguments, client, &mut prompt, style, out).await
}

/// Lets the aggregator and every agent reload their configuration, and writes the result of each place.
pub(crate) async fn run_reload(client: &AggregatorClient, out: &mut (dyn Write + Send)) -> CommandResult {
    let reload = client.reload().await?;
    write!(out, "{}", crate::output::reload::reload_text(&reload))?;
    Ok(if reload.is_complete() { OK } else { FAILED })
}

/// Writes the line of `rta check`. Failures are written as a line too.
pub(crate) async fn run_check(
    client: Result<AggregatorClient, CommandFailure>,
    arguments: &CheckArgs,
    out: &mut dyn Write,
) -> CommandResult {
    let overview = async {
        let all = client?.overview().await?;
        // Maintenance outside of the selection may affect instances in it.
        let quiet = suppressed_instances(&all);
        // No user reads the output: a check must not select a host that merely has a similar name.
        Ok((filter_overview(all, &arguments.place.selector(&[])?, Purpose::Acting)?, quiet))
    };
    let overview = tokio::time::timeout(Duration::from_secs(arguments.timeout), overview).await;
    let late = |_| {
        CommandFailure::new(
            UNAVAILABLE,
            format!("no answer of the aggregator within {} s", arguments.timeout),
        )
    };
    let (code, line) = match overview.map_err(late).flatten() {
        Ok((overview, quiet)) => crate::output::check::plugin_output(
            &overview,
            &quiet,
            &arguments.thresholds(),
            arguments.verbose > 0,
        ),
        Err(error @ CommandFailure::Output(_)) => return Err(error),
        Err(failure) => (3, crate::output::check::unknown_output(&failure.message())),
    };
    writeln!(out, "{line}")?;
    Ok(code)
}
