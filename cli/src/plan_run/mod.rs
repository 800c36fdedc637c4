//! `rta start`, `stop` and `restart`: the plan, its confirmation, and its progress.
//!
//! | module | holds |
//! |---|---|
//! | `confirm_prompt` | the user's answers and Ctrl-C |
//! | `connection_loss` | time of a lost connection |
//! | `plan_output` | output of the progress: live, as lines, or as JSON |
//! | `plan_watcher` | events of a plan until its end, over lost connections |
//! | `progress_bars` | live lines on a terminal |

pub(crate) mod confirm_prompt;
mod connection_loss;
mod plan_output;
mod plan_watcher;
mod progress_bars;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::time::Duration;

use rta_shared::action::ActionKind;
use rta_shared::plan::{ExecutionOptions, Plan};

use self::confirm_prompt::{ConfirmPrompt, UserInput};
use self::plan_output::PlanOutput;
use self::plan_watcher::PlanWatcher;
use crate::args::ActionArgs;
use crate::client::AggregatorClient;
use crate::current_user::current_user;
use crate::exit::{CommandFailure, CommandResult, FAILED, OK};
use crate::output::{OutputStyle, plan as text};

/// Time for which reconnecting is attempted: an aggregator that restarts is back earlier.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Executes the plan for `arguments`, or only shows it; asks `prompt` if the plan needs confirmation.
pub(crate) async fn run_plan(
    kind: ActionKind,
    arguments: &ActionArgs,
    client: &AggregatorClient,
    prompt: &mut impl ConfirmPrompt,
    style: OutputStyle,
    out: &mut (dyn Write + Send),
) -> CommandResult {
    let target = arguments.action_request()?;
    let plan = tokio::select! {
        plan = client.preview_plan(kind, &target) => plan?,
        _ = prompt.next_input(false) => return Err(nothing_done()),
    };
    if arguments.plan && arguments.json {
        return write_json(&plan, out);
    }
    if plan.steps.is_empty() && !arguments.json {
        return print_nothing_to_do(kind, out);
    }
    if plan.steps.is_empty() {
        // One object per line, like the progress events.
        writeln!(out, "{}", serde_json::to_string(&plan).map_err(json_failure)?)?;
        return Ok(OK);
    }
    if arguments.plan {
        write!(out, "{}", text::plan_text(&plan))?;
        return Ok(OK);
    }
    let to_be_agreed = plan.instances_to_confirm();
    let asks = !arguments.yes && !to_be_agreed.is_empty();
    if asks && !confirm(&plan, arguments.json, prompt, out).await? {
        return Err(nothing_done());
    }
    if !asks && !arguments.json {
        write!(out, "{}", text::plan_notes(&plan))?;
    }
    let options = ExecutionOptions {
        everything: arguments.yes,
        agreed: to_be_agreed.into_iter().cloned().collect(),
        keep_going: arguments.keep_going,
        parallel: arguments.parallel.unwrap_or_default(),
    };
    let events = client.start_plan(kind, &target, &options, &current_user()).await?;
    let output = match (arguments.json, style.terminal) {
        (true, _) => PlanOutput::json(out),
        (false, true) => PlanOutput::live(out, style),
        (false, false) => PlanOutput::plain(out),
    };
    PlanWatcher::new(kind, client, prompt, output, RECONNECT_TIMEOUT).run(events).await
}

/// Shows the plan and returns true if the user confirms it.
///
/// # Errors
/// Returns an error if nobody can be asked.
async fn confirm(
    plan: &Plan,
    json: bool,
    prompt: &mut impl ConfirmPrompt,
    out: &mut (dyn Write + Send),
) -> Result<bool, CommandFailure> {
    if json || !prompt.can_answer() {
        return Err(CommandFailure::new(FAILED, text::refusal_text(plan)));
    }
    write!(out, "{}Go on? [y/N] ", text::plan_text(plan))?;
    out.flush()?;
    prompt.discard_typed_input();
    match prompt.next_input(true).await? {
        UserInput::Answer(answer) => Ok(is_yes(&answer)),
        UserInput::Interrupt => {
            writeln!(out)?;
            Ok(false)
        }
    }
}

/// Returns true if an answer is `y` or `yes`.
fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

fn nothing_done() -> CommandFailure {
    CommandFailure::new(FAILED, "nothing was done")
}

fn print_nothing_to_do(kind: ActionKind, out: &mut (dyn Write + Send)) -> CommandResult {
    writeln!(out, "nothing to do: {}", kind.nothing_to_do_reason())?;
    Ok(OK)
}

fn write_json(plan: &Plan, out: &mut (dyn Write + Send)) -> CommandResult {
    writeln!(out, "{}", serde_json::to_string_pretty(plan).map_err(json_failure)?)?;
    Ok(OK)
}

fn json_failure(error: serde_json::Error) -> CommandFailure {
    CommandFailure::new(FAILED, format!("the plan cannot be written as JSON: {error}"))
}
