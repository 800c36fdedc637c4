//! `rta start`, `stop` and `restart`: the plan, its confirmation, and its progress.

mod follow;
mod live;
mod loss;
pub(crate) mod person;
mod show;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::time::Duration;

use rta_shared::action::{ActionKind, ActionOutcome as Ended};
use rta_shared::plan::{ExecutionOptions, Plan};

use self::follow::Follow;
use self::person::{Heard, Person};
use self::show::Show;
use crate::client::Client;
use crate::command::Control;
use crate::exit::{FAILED, Failure, OK, Outcome};
use crate::render::{Style, plan as text};
use crate::user::user;

/// Time for which reconnecting is attempted: an aggregator that restarts is back earlier.
const RECONNECT: Duration = Duration::from_secs(30);

/// Executes the plan for `wish`, or only shows it; asks `person` if the plan needs confirmation.
pub(crate) async fn control(
    kind: ActionKind,
    wish: &Control,
    client: &Client,
    person: &mut impl Person,
    style: Style,
    out: &mut (dyn Write + Send),
) -> Outcome {
    let target = wish.wish()?;
    let plan = tokio::select! {
        plan = client.plan(kind, &target) => plan?,
        _ = person.heard(false) => return Err(nothing_done()),
    };
    if wish.plan && wish.json {
        return write_json(&plan, out);
    }
    if plan.steps.is_empty() && !wish.json {
        return nothing_to_do(kind, out);
    }
    if plan.steps.is_empty() {
        // One object per line, like the progress events.
        writeln!(out, "{}", serde_json::to_string(&plan).map_err(no_json)?)?;
        return Ok(OK);
    }
    if wish.plan {
        write!(out, "{}", text::plan(&plan))?;
        return Ok(OK);
    }
    let to_be_agreed = plan.instances_to_confirm();
    let asks = !wish.yes && !to_be_agreed.is_empty();
    if asks && !agreed(&plan, wish.json, person, out).await? {
        return Err(nothing_done());
    }
    if !asks && !wish.json {
        write!(out, "{}", text::notes(&plan))?;
    }
    let conduct = ExecutionOptions {
        everything: wish.yes,
        agreed: to_be_agreed.into_iter().cloned().collect(),
        keep_going: wish.keep_going,
        parallel: wish.parallel.unwrap_or_default(),
    };
    let events = client.control(kind, &target, &conduct, &user()).await?;
    let show = match (wish.json, style.terminal) {
        (true, _) => Show::json(out),
        (false, true) => Show::live(out, style),
        (false, false) => Show::plain(out),
    };
    Follow::new(kind, client, person, show, RECONNECT).until_its_end(events).await
}

/// Shows the plan and returns true if the user confirms it.
///
/// # Errors
/// Returns an error if nobody can be asked.
async fn agreed(
    plan: &Plan,
    json: bool,
    person: &mut impl Person,
    out: &mut (dyn Write + Send),
) -> Result<bool, Failure> {
    if json || !person.can_answer() {
        return Err(Failure::new(FAILED, text::refusal(plan)));
    }
    write!(out, "{}Go on? [y/N] ", text::plan(plan))?;
    out.flush()?;
    person.asked();
    match person.heard(true).await? {
        Heard::Answer(answer) => Ok(is_yes(&answer)),
        Heard::Interrupt => {
            writeln!(out)?;
            Ok(false)
        }
    }
}

/// Returns true if an answer is `y` or `yes`.
fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

fn nothing_done() -> Failure {
    Failure::new(FAILED, "nothing was done")
}

fn nothing_to_do(kind: ActionKind, out: &mut (dyn Write + Send)) -> Outcome {
    let why = match kind {
        ActionKind::Start => Ended::AlreadyRunning.to_string(),
        ActionKind::Stop => Ended::AlreadyStopped.to_string(),
        ActionKind::Restart => "nothing is there to be restarted".to_owned(),
    };
    writeln!(out, "nothing to do: {why}")?;
    Ok(OK)
}

fn write_json(plan: &Plan, out: &mut (dyn Write + Send)) -> Outcome {
    writeln!(out, "{}", serde_json::to_string_pretty(plan).map_err(no_json)?)?;
    Ok(OK)
}

fn no_json(error: serde_json::Error) -> Failure {
    Failure::new(FAILED, format!("the plan cannot be written as JSON: {error}"))
}
