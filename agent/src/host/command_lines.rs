//! Matched processes of a component for display: with their command lines, and with secrets masked.

use rta_shared::config::HostComponent;
use rta_shared::inspection::{InspectedProcess, LONGEST, MOST};
use rta_shared::process::{CommandLine, Process};
use rta_shared::redact::redact_arguments;
use rta_shared::sanitize::truncated;

use crate::host::process_attributes::ProcfsAttributes;
use crate::host::procfs::ProcFs;

/// Returns those of `processes` that still exist and still belong to the component. Blocking.
///
/// # Errors
/// Returns an error if /proc cannot be read.
pub(crate) fn inspect_processes(
    component: &HostComponent,
    processes: &[Process],
) -> Result<Vec<InspectedProcess>, String> {
    let proc = ProcFs::open().map_err(|error| format!("/proc cannot be read: {error}"))?;
    let mut line = CommandLine::new();
    let inspected = processes.iter().filter_map(|process| {
        let folder = proc.process(process.id.pid).ok()?;
        let is_it = folder.stat().is_ok_and(|stat| stat.start_ticks == process.id.start_ticks);
        folder.command_line(&mut line).ok().filter(|()| is_it)?;
        let attributes = ProcfsAttributes::new(&proc, &folder, process.id.pid);
        if component.matches_process(&line, &attributes) != Ok(true) {
            return None;
        }
        let arguments: Vec<String> = line
            .arguments()
            .take(MOST)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        // Masked before cutting: a cut may shorten a secret, but must not remove the name that identifies it.
        let arguments = redact_arguments(arguments.iter().map(String::as_str));
        let arguments = arguments.iter().map(|argument| truncated(argument, LONGEST).into_owned()).collect();
        let more = u32::try_from(line.len().saturating_sub(MOST)).unwrap_or(u32::MAX);
        Some(InspectedProcess { pid: process.id.pid, arguments, more })
    });
    Ok(inspected.collect())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rta_shared::config::{Source, load_sources};
    use rta_shared::process::ProcessId;

    use super::*;

    #[test]
    fn command_line_is_masked_and_shown_only_while_it_matches() {
        let text = "[[component]]\nname = \"sleeper\"\ncriteria = [{ regex = '^inspected$' }]\n\
                    [[environment]]\nname = \"E\"\nhost = [{ name = \"h\", components = [\"sleeper\"] }]\n";
        let platform = load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]).unwrap();
        let host = platform.find_host("h").unwrap();
        let config = platform.host_config(host, &[]).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "read x", "inspected", "--password", "s3cret", "--token=s3cret"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let stat = ProcFs::open().unwrap().process(child.id()).unwrap().stat().unwrap();
        let id = ProcessId { pid: child.id(), start_ticks: stat.start_ticks };
        let process = Process::new(id, 1);
        // Until the shell has taken the place of this program's copy.
        let seen = loop {
            match inspect_processes(&config.components[0], std::slice::from_ref(&process)).unwrap() {
                seen if seen.is_empty() => std::thread::yield_now(),
                seen => break seen,
            }
        };
        let later = Process::new(ProcessId { start_ticks: id.start_ticks + 1, ..id }, 1);
        let other = inspect_processes(&config.components[0], &[later]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(seen[0].arguments[3..], ["inspected", "--password", "***", "--token=***"]);
        assert!(other.is_empty());
    }
}
