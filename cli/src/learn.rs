//! `rta learn`: proposes a component for a running process.

use std::io::Write;

use rta_agent::host::process_inventory::{InventoryProcess, ProcessInventory};
use rta_shared::config::{Source, load_sources};
use rta_shared::format::counted;
use rta_shared::learn::{IndistinguishableError, LearnSubject, Proposal, ProposedCriterion, learn as learnt};
use rta_shared::process::CommandLine;
use rta_shared::sanitize::printable;

use crate::command::Learn;
use crate::exit::{CANNOT_TELL, FAILED, Failure, OK, Outcome, USAGE};
use crate::here::Known;

/// Maximum length of a shown command line, in characters.
const SHOWN: usize = 100;
/// Maximum number of listed processes.
const LISTED: usize = 20;

/// Writes the component to `out`, and remarks to `notes`.
pub(crate) fn learn(wish: &Learn, out: &mut dyn Write, notes: &mut dyn Write) -> Outcome {
    let known = Known::new(&wish.here)?;
    let survey = ProcessInventory::collect().map_err(|reason| Failure::new(CANNOT_TELL, reason))?;
    let target = match (wish.pid, &wish.text) {
        (Some(pid), _) => by_pid(&survey, pid)?,
        (None, text) => by_text(&survey, text.as_deref().unwrap_or_default())?,
    };
    if let Some(problem) = &survey.problem {
        writeln!(notes, "rta: {problem}; the component may match what is not seen")?;
    }
    if let Some(component) = known.claimant(target) {
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
    proposal.name = name(wish, &proposal, &known)?;
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

fn by_pid(survey: &ProcessInventory, pid: u32) -> Result<&InventoryProcess, Failure> {
    if pid == std::process::id() {
        return Err(Failure::new(USAGE, format!("pid {pid} is this very command")));
    }
    survey.find(pid).ok_or_else(|| {
        let is_there = std::path::Path::new("/proc").join(pid.to_string()).exists();
        let reason = match is_there {
            true => {
                "has no command line that can be read: it is a kernel thread, a zombie, or another user's"
            }
            false => "is no process; it may have ended",
        };
        Failure::new(CANNOT_TELL, format!("pid {pid} {reason}"))
    })
}

/// Returns the one process with `text` in its command line; for forks, their original. Ancestors of this
/// command are excluded: they contain the text because it was typed there.
fn by_text<'s>(survey: &'s ProcessInventory, text: &str) -> Result<&'s InventoryProcess, Failure> {
    let lineage = survey.lineage(std::process::id());
    let mut found: Vec<&InventoryProcess> = survey
        .processes()
        .filter(|process| !lineage.contains(&process.pid) && joined(&process.line).contains(text))
        .filter_map(|process| survey.find(survey.find_original(process.pid)))
        .collect();
    found.sort_by_key(|process| process.pid);
    found.dedup_by_key(|process| process.pid);
    let shown = printable(text);
    match found.as_slice() {
        [] => Err(Failure::new(CANNOT_TELL, format!("no process has \"{shown}\" in its command line"))),
        [one] => Ok(one),
        several => {
            let count = counted(several.len(), "process");
            let list = listed(several);
            Err(Failure::new(
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
) -> Failure {
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
            let list = listed(&others);
            format!("the command line of pid {pid} does not tell it from {count}{secret}:{list}")
        }
    };
    Failure::new(FAILED, message)
}

/// Lists processes, one per line.
fn listed(processes: &[&InventoryProcess]) -> String {
    let mut list: String = processes
        .iter()
        .take(LISTED)
        .map(|process| format!("\n  {:>7}  {}", process.pid, shortened(&process.line)))
        .collect();
    if processes.len() > LISTED {
        list.push_str(&format!("\n  and {} more", processes.len() - LISTED));
    }
    list
}

/// Joins the arguments with spaces, for display.
fn joined(line: &CommandLine) -> String {
    let arguments: Vec<_> = line.arguments().map(String::from_utf8_lossy).collect();
    arguments.join(" ")
}

/// Returns the beginning and end of a command line: JVM options fill the middle, and the
/// program is at the end.
pub(crate) fn shortened(line: &CommandLine) -> String {
    let text = joined(line);
    let count = text.chars().count();
    if count <= SHOWN {
        return printable(&text).into_owned();
    }
    let first: String = text.chars().take(SHOWN / 4).collect();
    let last: String = text.chars().skip(count - SHOWN * 3 / 4).collect();
    printable(&format!("{first} … {last}")).into_owned()
}

/// Returns the requested name, or the proposed one, numbered if the configuration already has it.
fn name(wish: &Learn, proposal: &Proposal, known: &Known) -> Result<String, Failure> {
    let is_taken =
        |name: &str| known.config.as_ref().is_some_and(|(platform, _)| platform.component(name).is_some());
    let Some(wished) = &wish.name else {
        let numbered = (2..).map(|number| format!("{} {number}", proposal.name));
        let mut names = std::iter::once(proposal.name.clone()).chain(numbered);
        return Ok(names.find(|name| !is_taken(name)).unwrap_or_default());
    };
    if is_taken(wished) {
        let shown = printable(wished);
        return Err(Failure::new(USAGE, format!("component \"{shown}\" is in the configuration already")));
    }
    // The configuration decides which names are valid.
    let any = ProposedCriterion::Argument { index: None, regex: "x".to_owned() };
    let text = Proposal { name: wished.clone(), criteria: vec![any], container: false }.to_string();
    match load_sources(&[Source { name: "--name".to_owned(), text }]) {
        Ok(_) => Ok(wished.clone()),
        Err(error) => {
            let reasons: Vec<_> = error.problems.into_iter().map(|problem| problem.message).collect();
            Err(Failure::new(USAGE, reasons.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_long_command_line_are_shown_harmless() {
        let line = CommandLine::from_arguments(["java", &"\u{1b}x".repeat(1000), "kafka.Kafka"]);
        let shown = shortened(&line);
        assert!(shown.starts_with("java ") && shown.ends_with(" kafka.Kafka") && !shown.contains('\u{1b}'));
        assert_eq!(shortened(&CommandLine::from_arguments(["a", "b"])), "a b");
    }
}
