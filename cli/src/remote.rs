//! The commands that ask the aggregator.

use std::io::{self, Write};
use std::time::Duration;

use rta_shared::action::ActionKind;
use rta_shared::overview::{Health, Overview};
use rta_shared::root_cause::suppressed_instances;
use rta_shared::selector::Purpose;

use crate::client::Client;
use crate::command::{Check, Control, Remote};
use crate::control::control;
use crate::control::person::Operator;
use crate::event_follower::follow_events;
use crate::events::events;
use crate::exit::{CANNOT_TELL, FAILED, Failure, NOT_UP, OK, Outcome};
use crate::logs::logs;
use crate::maintenance::maintenance;
use crate::render::Style;
use crate::render::summary::summary;
use crate::render::table::{table, table_with_users};
use crate::render::verbose::verbose;
use crate::select::select;
use crate::watch::watch;

/// Does what `command` says, writing to `out`.
pub(crate) async fn remote(
    command: &Remote,
    client: &Client,
    style: Style,
    out: &mut (dyn Write + Send),
) -> Outcome {
    match command {
        Remote::Status { name, place, verbose: detailed, json } => {
            let overview = select(client.overview().await?, &place.selector(name)?, Purpose::Reading)?;
            if *json {
                write_json(&overview, out)?;
            } else {
                // By the aggregator's clock: this machine's may differ.
                let now = overview.generated_at;
                write!(out, "{}\n{}", summary(&overview, now), table(&overview, style, now))?;
                if *detailed {
                    write!(out, "\n{}", verbose(&overview, now))?;
                }
            }
            Ok(if overview.counts().worst() == Some(Health::Up) { OK } else { NOT_UP })
        }
        Remote::List { place, verbose, json } => {
            let overview = select(client.overview().await?, &place.selector(&[])?, Purpose::Reading)?;
            match (json, verbose) {
                (true, _) => write_json(&overview, out)?,
                (false, true) => {
                    write!(out, "{}", table_with_users(&overview, style, overview.generated_at))?
                }
                (false, false) => write!(out, "{}", table(&overview, style, overview.generated_at))?,
            }
            Ok(OK)
        }
        Remote::Watch { name, place } => watch(client, &place.selector(name)?, style, out).await,
        Remote::Start(wish) => act(ActionKind::Start, wish, client, style, out).await,
        Remote::Stop(wish) => act(ActionKind::Stop, wish, client, style, out).await,
        Remote::Restart(wish) => act(ActionKind::Restart, wish, client, style, out).await,
        Remote::Maintenance(wish) => maintenance(wish, client, out).await,
        Remote::Events(wish) if wish.follow => follow_events(wish, client, out, &mut io::stderr()).await,
        Remote::Events(wish) => events(wish, client, out).await,
        Remote::Logs(wish) => logs(wish, client, out, &mut io::stderr()).await,
        Remote::Refresh => {
            let overview = client.refresh().await?;
            let now = overview.generated_at;
            write!(out, "{}\n{}", summary(&overview, now), table(&overview, style, now))?;
            Ok(OK)
        }
    }
}

fn write_json(overview: &Overview, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(overview).map_err(|error| {
        Failure::new(CANNOT_TELL, format!("the overview cannot be written as JSON: {error}"))
    })?;
    Ok(writeln!(out, "{json}")?)
}

async fn act(
    kind: ActionKind,
    wish: &Control,
    client: &Client,
    style: Style,
    out: &mut (dyn Write + Send),
) -> Outcome {
    let mut person = Operator::new(style.terminal)
        .map_err(|error| Failure::new(FAILED, format!("Ctrl-C cannot be heard: {error}")))?;
    control(kind, wish, client, &mut person, style, out).await
}

/// Has the configuration read anew everywhere, and tells how that went at each place.
pub(crate) async fn reload(client: &Client, out: &mut (dyn Write + Send)) -> Outcome {
    let reload = client.reload().await?;
    write!(out, "{}", crate::render::reload::reload(&reload))?;
    Ok(if reload.is_complete() { OK } else { FAILED })
}

/// The one line of `rta check`; whatever goes wrong is a line too.
pub(crate) async fn check(client: Result<Client, Failure>, wish: &Check, out: &mut dyn Write) -> Outcome {
    let overview = async {
        let all = client?.overview().await?;
        // What is in maintenance may lie elsewhere.
        let quiet = suppressed_instances(&all);
        // Nobody reads along: a check must not turn to a host that merely has a similar name.
        Ok((select(all, &wish.place.selector(&[])?, Purpose::Acting)?, quiet))
    };
    let overview = tokio::time::timeout(Duration::from_secs(wish.timeout), overview).await;
    let late =
        |_| Failure::new(CANNOT_TELL, format!("no answer of the aggregator within {} s", wish.timeout));
    let (code, line) = match overview.map_err(late).flatten() {
        Ok((overview, quiet)) => {
            crate::render::check::check(&overview, &quiet, &wish.thresholds(), wish.verbose > 0)
        }
        Err(error @ Failure::Output(_)) => return Err(error),
        Err(failure) => (3, crate::render::check::unknown(&failure.message())),
    };
    writeln!(out, "{line}")?;
    Ok(code)
}
