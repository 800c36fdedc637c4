//! Progress reports of a stop, and conversions.

use rta_shared::action::ActionPhase;
use rta_shared::config::{StopRule, StopSignal};
use rta_shared::format::counted;
use rta_shared::process::ProcessId;
use rta_shared::redact::redact_command_line;
use rustix::process::Signal;

use super::effects::{CommandEnd, StopEffect};
use crate::actions::exit_status::format_exit_status;
use crate::actions::progress::ProgressReport;

pub(super) fn report(phase: ActionPhase, text: impl Into<String>, pids: Vec<u32>) -> StopEffect {
    StopEffect::Report(ProgressReport { phase, text: text.into(), pids })
}

pub(super) fn command_launched(rule: &StopRule, pid: u32) -> StopEffect {
    let program = redact_command_line(rule.command.first().map(String::as_str));
    report(ActionPhase::Signalled, format!("its stop command {program} runs (pid {pid})"), vec![pid])
}

pub(super) fn command_not_launched(reason: &str) -> StopEffect {
    let text = format!("its stop command did not run, so it is signalled: {reason}");
    report(ActionPhase::Waiting, text, Vec::new())
}

pub(super) fn command_failed(pid: u32, end: &CommandEnd) -> StopEffect {
    let how = format_exit_status(end.status);
    let mut text = format!("its stop command ended with {how}, so it is signalled");
    if let Some(last) = &end.last_line {
        text.push_str(&format!("; it said: {last}"));
    }
    report(ActionPhase::Waiting, text, vec![pid])
}

pub(super) fn command_terminated(pid: u32) -> StopEffect {
    let text = format!("its stop command (pid {pid}) was still running and has been ended");
    report(ActionPhase::Waiting, text, vec![pid])
}

pub(super) fn signal_sent(signal: StopSignal, are_matched: bool, names: &str, pids: Vec<u32>) -> StopEffect {
    let text = match are_matched {
        true => format!("{signal} was sent to {names}"),
        false => format!("{signal} was sent to what it left behind: {names}"),
    };
    report(ActionPhase::Signalled, text, pids)
}

pub(super) fn waiting(rule: &StopRule, pids: Vec<u32>) -> StopEffect {
    let (count, seconds) = (counted(pids.len(), "process"), rule.timeout.as_secs());
    let then = if rule.kill { "SIGKILL follows" } else { "it is given up" };
    let text = format!("waiting for the end of {count}; {then} after {seconds} s");
    report(ActionPhase::Waiting, text, pids)
}

pub(super) fn killed(rule: &StopRule, means: &str, names: &str, pids: Vec<u32>) -> StopEffect {
    let seconds = rule.timeout.as_secs();
    let text = format!("not ended within {seconds} s of {means}: SIGKILL was sent to {names}");
    report(ActionPhase::Killed, text, pids)
}

pub(super) fn pids<'a>(ids: impl IntoIterator<Item = &'a ProcessId>) -> Vec<u32> {
    ids.into_iter().map(|id| id.pid).collect()
}

pub(super) fn to_signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Usr1 => Signal::USR1,
        StopSignal::Usr2 => Signal::USR2,
        StopSignal::Kill => Signal::KILL,
    }
}
