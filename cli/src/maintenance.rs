//! `rta maintenance`: starts, ends and lists maintenance.

use std::io::Write;

use rta_shared::maintenance::Maintenance;
use rta_shared::proto::{to_wire_duration, v1};
use rta_shared::selector::{Purpose, Selector};

use crate::client::Client;
use crate::command::{self, MaintenanceChange, MaintenanceWish};
use crate::exit::{FAILED, Failure, OK, Outcome};
use crate::render::maintenance::{all, line, place};
use crate::select::select;
use crate::user::user;

/// Starts or ends maintenance, or lists it.
pub(crate) async fn maintenance(
    wish: &command::Maintenance,
    client: &Client,
    out: &mut (dyn Write + Send),
) -> Outcome {
    match &wish.change {
        None => {
            let known = all(&select(client.overview().await?, &wish.place.selector(&[])?, Purpose::Reading)?);
            if wish.json {
                return write_json(&known, out);
            }
            if known.is_empty() {
                writeln!(out, "nothing is in maintenance")?;
            }
            for maintenance in &known {
                write!(out, "{}", line(maintenance))?;
            }
        }
        Some(MaintenanceChange::On { wish, length, reason }) => {
            // The duration is checked to be positive when it is parsed.
            let length = length.map(|length| to_wire_duration(length.unsigned_abs()));
            let request =
                v1::SetMaintenanceRequest { on: true, length, reason: reason.clone(), ..named(wish)? };
            for maintenance in client.set_maintenance(request).await? {
                write!(out, "{}", line(&maintenance))?;
            }
        }
        Some(MaintenanceChange::Off { wish }) => {
            let ended = client.set_maintenance(named(wish)?).await?;
            if ended.is_empty() {
                writeln!(out, "nothing of it was in maintenance")?;
            }
            for maintenance in &ended {
                writeln!(out, "{}: no longer in maintenance", place(maintenance))?;
            }
        }
    }
    Ok(OK)
}

fn named(wish: &MaintenanceWish) -> Result<v1::SetMaintenanceRequest, Failure> {
    let Selector { environment, host, component } = wish.selector()?;
    Ok(v1::SetMaintenanceRequest {
        component,
        environment,
        host,
        all: wish.all,
        user: user(),
        ..Default::default()
    })
}

fn write_json(known: &[Maintenance], out: &mut (dyn Write + Send)) -> Outcome {
    let json = serde_json::to_string_pretty(known)
        .map_err(|error| Failure::new(FAILED, format!("the list cannot be written as JSON: {error}")))?;
    writeln!(out, "{json}")?;
    Ok(OK)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rta_shared::overview::Health;

    use super::*;
    use crate::command::{Arguments, Command, Remote};
    use crate::fake::{Fake, Script, overview};

    async fn run(client: &Client, words: &[&str]) -> String {
        let wish = match Arguments::parse_from(words).command {
            Command::Remote(Remote::Maintenance(wish)) => wish,
            other => panic!("{other:?}"),
        };
        let mut out = Vec::new();
        let outcome = maintenance(&wish, client, &mut out).await;
        assert_eq!(outcome.map_err(Failure::into_parts), Ok(OK));
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn what_for_how_long_and_why_is_passed_on() {
        let script = Script { overview: Some(overview(&[("a", Health::Up)])), ..Script::default() };
        let (fake, client) = Fake::serve(script).await;
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
            assert!(Arguments::try_parse_from(wrong).is_err(), "{wrong:?}");
        }
    }
}
