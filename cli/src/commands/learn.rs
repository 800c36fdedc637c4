//! `rta learn`: proposes a component for a running process.

use std::io::Write;

use rta_agent::host::process_inventory::{InventoryProcess, ProcessInventory};
use rta_shared::config::{Source, load_sources};
use rta_shared::format::counted;
use rta_shared::learn::{IndistinguishableError, LearnSubject, Proposal, ProposedCriterion, learn as learnt};
use rta_shared::process::CommandLine;
use rta_shared::sanitize::printable;

use crate::args::LearnArgs;
use crate::exit::{CommandFailure, CommandResult, FAILED, OK, UNAVAILABLE, USAGE};
use crate::local_config::LocalConfig;

/// Maximum length of a shown command line, in characters.
const MAX_SHOWN_CHARS: usize = 100;
/// Maximum number of listed processes.
const MAX_LISTED: usize = 20;

/// Writes the component to `out`, and remarks to `notes`.
pub(crate) fn run_learn(arguments: &LearnArgs, out: &mut dyn Write, notes: &mut dyn Write) -> CommandResult {
    let known = LocalConfig::new(&arguments.here)?;
    let survey = ProcessInventory::collect().map_err(|reason| CommandFailure::new(UNAVAILABLE, reason))?;
    let target = match (arguments.pid, &arguments.text) {
        (Some(pid), _) => find_by_pid(&survey, pid)?,
        (None, text) => find_by_text(&survey, text.as_deref().unwrap_or_default())?,
    };
    if let Some(problem) = &survey.problem {
        writeln!(notes, "rta: {problem}; the component may match what is not seen")?;
    }
    if let Some(component) = known.find_owner(target) {
        writeln!(notes, "rta: pid {} already is the process of component \"{component}\"", target.pid)?;
    }
    let original = survey.find_original(target.pid);
    let (forks, others): (Vec<&InventoryProcess>, Vec<&InventoryProcess>) = survey
        .processes()
        .filter(|process| ![target.pid, std::process::id()].contains(&process.pid))
        // A process in a container matches a component only if its configuration says so.
        .filter(|process| target.in_container || !process.in_container)
        .partition(|process| survey.find_original(process.pid) == original);
    let subjects: Vec<LearnSubject<'_>> = others.iter().map(|other| subject(other)).collect();
    let mut proposal = learnt(subject(target), &subjects, &known.variables)
        .map_err(|inseparable| inseparable_failure(target, &inseparable, &others))?;
    proposal.name = component_name(arguments, &proposal, &known)?;
    proposal.container = target.in_container;
    write!(out, "{proposal}")?;
    let with_forks = match forks.len() {
        0 => String::new(),
        1 => " with its fork".to_owned(),
        count => format!(" with its {count} forks"),
    };
    let rest = match others.len() {
        1 => "not the 1 other process".to_owned(),
        count => format!("none of the {}", counted(count, "other process")),
    };
    writeln!(out, "# matches pid {}{with_forks} and {rest}", target.pid)?;
    Ok(OK)
}

fn subject(process: &InventoryProcess) -> LearnSubject<'_> {
    LearnSubject { line: &process.line, user: Some(&process.user) }
}

fn find_by_pid(survey: &ProcessInventory, pid: u32) -> Result<&InventoryProcess, CommandFailure> {
    if pid == std::process::id() {
        return Err(CommandFailure::new(USAGE, format!("pid {pid} is this very command")));
    }
    survey.find(pid).ok_or_else(|| {
        let is_there = std::path::Path::new("/proc").join(pid.to_string()).exists();
        let reason = match is_there {
            true => {
                "has no command line that can be read: it is a kernel thread, a zombie, or another user's"
            }
            false => "does not exist; it may have ended",
        };
        CommandFailure::new(UNAVAILABLE, format!("pid {pid} {reason}"))
    })
}

/// Returns the one process with `text` in its command line; for forks, their original. Ancestors of this
/// command are excluded: they contain the text because it was typed there.
fn find_by_text<'s>(
    survey: &'s ProcessInventory,
    text: &str,
) -> Result<&'s InventoryProcess, CommandFailure> {
    let lineage = survey.lineage(std::process::id());
    let mut found: Vec<&InventoryProcess> = survey
        .processes()
        .filter(|process| !lineage.contains(&process.pid) && join_arguments(&process.line).contains(text))
        .filter_map(|process| survey.find(survey.find_original(process.pid)))
        .collect();
    found.sort_by_key(|process| process.pid);
    found.dedup_by_key(|process| process.pid);
    let shown = printable(text);
    match found.as_slice() {
        [] => {
            Err(CommandFailure::new(UNAVAILABLE, format!("no process has \"{shown}\" in its command line")))
        }
        [one] => Ok(one),
        several => {
            let count = counted(several.len(), "process");
            let list = process_list(several);
            Err(CommandFailure::new(
                USAGE,
                format!("{count} have \"{shown}\" in their command lines; give a PID:{list}"),
            ))
        }
    }
}

fn inseparable_failure(
    target: &InventoryProcess,
    inseparable: &IndistinguishableError,
    others: &[&InventoryProcess],
) -> CommandFailure {
    let pid = target.pid;
    let secret = match inseparable.has_secret {
        true => "; arguments that look secret were not used",
        false => "",
    };
    let others: Vec<&InventoryProcess> =
        inseparable.others.iter().filter_map(|at| others.get(*at).copied()).collect();
    let message = match others.len() {
        0 => format!("nothing in the command line of pid {pid} makes a criterion{secret}"),
        count => {
            let count = counted(count, "other process");
            let list = process_list(&others);
            format!("the command line of pid {pid} does not tell it from {count}{secret}:{list}")
        }
    };
    CommandFailure::new(FAILED, message)
}

/// Lists processes, one per line.
fn process_list(processes: &[&InventoryProcess]) -> String {
    let mut list: String = processes
        .iter()
        .take(MAX_LISTED)
        .map(|process| format!("\n  {:>7}  {}", process.pid, shorten_command_line(&process.line)))
        .collect();
    if processes.len() > MAX_LISTED {
        list.push_str(&format!("\n  and {} more", processes.len() - MAX_LISTED));
    }
    list
}

/// Joins the arguments with spaces, for display.
fn join_arguments(line: &CommandLine) -> String {
    let arguments: Vec<_> = line.arguments().map(String::from_utf8_lossy).collect();
    arguments.join(" ")
}

/// Returns the beginning and end of a command line: JVM options fill the middle, and the
/// program is at the end.
pub(crate) fn shorten_command_line(line: &CommandLine) -> String {
    let text = join_arguments(line);
    let count = text.chars().count();
    if count <= MAX_SHOWN_CHARS {
        return printable(&text).into_owned();
    }
    let first: String = text.chars().take(MAX_SHOWN_CHARS / 4).collect();
    let last: String = text.chars().skip(count - MAX_SHOWN_CHARS * 3 / 4).collect();
    printable(&format!("{first} … {last}")).into_owned()
}

/// Returns the requested name, or the proposed one, numbered if the configuration already has it.
fn component_name(
    arguments: &LearnArgs,
    proposal: &Proposal,
    known: &LocalConfig,
) -> Result<String, CommandFailure> {
    let is_taken =
        |name: &str| known.config.as_ref().is_some_and(|(platform, _)| platform.component(name).is_some());
    let Some(name) = &arguments.name else {
        let numbered = (2..).map(|number| format!("{} {number}", proposal.name));
        let mut names = std::iter::once(proposal.name.clone()).chain(numbered);
        return Ok(names.find(|name| !is_taken(name)).unwrap_or_default());
    };
    if is_taken(name) {
        let shown = printable(name);
        return Err(CommandFailure::new(
            USAGE,
            format!("component \"{shown}\" is in the configuration already"),
        ));
    }
    // The configuration decides which names are valid.
    let any = ProposedCriterion::Argument { index: None, regex: "x".to_owned() };
    let text = Proposal { name: name.clone(), criteria: vec![any], container: false }.to_string();
    match load_sources(&[Source { name: "--name".to_owned(), text }]) {
        Ok(_) => Ok(name.clone()),
        Err(error) => {
            let reasons: Vec<_> = error.problems.into_iter().map(|problem| problem.message).collect();
            Err(CommandFailure::new(USAGE, reasons.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_long_command_line_are_shown_harmless() {
        let line = CommandLine::from_arguments(["java", &"\u{1b}x".repeat(1000), "kafka.Kafka"]);
        let shown = shorten_command_line(&line);
        assert!(shown.starts_with("java ") && shown.ends_with(" kafka.Kafka") && !shown.contains('\u{1b}'));
        assert_eq!(shorten_command_line(&CommandLine::from_arguments(["a", "b"])), "a b");
    }
}
