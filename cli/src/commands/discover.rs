//! `rta discover`: lists processes that look like services and belong to no component.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use rta_agent::host::process_inventory::{InventoryProcess, ListeningSockets, ProcessInventory};
use rta_shared::format::counted;
use rta_shared::learn::identify;
use serde_json::json;

use crate::args::{DiscoverArgs, LocalConfigArgs};
use crate::exit::{CommandFailure, CommandResult, OK, UNAVAILABLE, USAGE};
use crate::local_config::LocalConfig;
use crate::output::OutputStyle;
use crate::output::candidates::{ServiceCandidate, candidate_table};

/// Writes the list to `out`, and what could not be read to `notes`.
pub(crate) fn run_discover(
    arguments: &DiscoverArgs,
    style: OutputStyle,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> CommandResult {
    let min_age = Duration::try_from(arguments.min_age)
        .map_err(|_| CommandFailure::new(USAGE, "--min-age cannot be negative"))?;
    let known = LocalConfig::new(&arguments.here)?;
    let survey = ProcessInventory::collect().map_err(|reason| CommandFailure::new(UNAVAILABLE, reason))?;
    let listeners = survey.read_listening_sockets();
    let candidates: Vec<ServiceCandidate> = find_services(&survey, &listeners)
        .into_iter()
        .filter(|(process, _)| process.age >= min_age && known.find_owner(process).is_none())
        .map(|(process, addresses)| describe_candidate(process, &addresses, &listeners, &arguments.here))
        .collect();
    if arguments.json {
        let list: Vec<_> = candidates.iter().map(ServiceCandidate::to_json).collect();
        let unseen = listeners.unreadable.len();
        let answer = json!({ "candidates": list, "unseen_sockets_of": unseen, "problem": survey.problem });
        writeln!(out, "{answer:#}")?;
        return Ok(OK);
    }
    match candidates.is_empty() {
        true => writeln!(out, "no process that looks like a service belongs to no component")?,
        false => write!(out, "{}", candidate_table(&candidates, style))?,
    }
    if let Some(problem) = &survey.problem {
        writeln!(notes, "rta: {problem}")?;
    }
    if !listeners.unreadable.is_empty() {
        let count = counted(listeners.unreadable.len(), "process");
        writeln!(notes, "rta: what {count} of other users listen on cannot be seen; run this as root")?;
    }
    Ok(OK)
}

/// Returns the processes that listen or are Java programs, with their listening addresses. Forks count as
/// their original process. This command and its ancestors are excluded.
fn find_services<'s>(
    survey: &'s ProcessInventory,
    listeners: &ListeningSockets,
) -> Vec<(&'s InventoryProcess, BTreeSet<SocketAddr>)> {
    let lineage = survey.lineage(std::process::id());
    let mut listening: BTreeMap<u32, BTreeSet<SocketAddr>> = BTreeMap::new();
    for process in survey.processes() {
        let addresses = listeners.addresses.get(&process.pid).into_iter().flatten().copied();
        listening.entry(survey.find_original(process.pid)).or_default().extend(addresses);
    }
    listening
        .into_iter()
        .filter(|(pid, _)| !lineage.contains(pid))
        .filter_map(|(pid, addresses)| Some((survey.find(pid)?, addresses)))
        .filter(|(process, addresses)| !addresses.is_empty() || identify(&process.line).is_java_program)
        .collect()
}

fn describe_candidate(
    process: &InventoryProcess,
    addresses: &BTreeSet<SocketAddr>,
    listeners: &ListeningSockets,
    here: &LocalConfigArgs,
) -> ServiceCandidate {
    let may_be_seen = !addresses.is_empty() || !listeners.unreadable.contains(&process.pid);
    let places: BTreeSet<(u16, String)> =
        addresses.iter().map(|address| (address.port(), format_address(address))).collect();
    ServiceCandidate {
        pid: process.pid,
        age: process.age.as_secs(),
        listens: may_be_seen.then(|| places.into_iter().map(|(_, place)| place).collect()),
        what: identify(&process.line).what,
        command: learn_command(process.pid, here),
    }
}

/// Formats an address; only the port if it is bound to every interface.
fn format_address(address: &SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => address.port().to_string(),
        false => address.to_string(),
    }
}

/// Returns the shell command that learns the process.
fn learn_command(pid: u32, here: &LocalConfigArgs) -> String {
    let mut command = format!("rta learn {pid}");
    let folder = here.config.as_ref().map(|folder| folder.display().to_string());
    for (flag, value) in [("--config", folder.as_ref()), ("--host", here.host.as_ref())] {
        if let Some(quoted) = value.and_then(|value| shlex::try_quote(value).ok()) {
            command.push_str(&format!(" {flag} {quoted}"));
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_typed_as_it_is_shown() {
        let here = |config: Option<&str>| LocalConfigArgs {
            config: config.map(Into::into),
            host: Some("h".to_owned()),
        };
        assert_eq!(
            learn_command(7, &here(Some("/etc/my rta"))),
            "rta learn 7 --config '/etc/my rta' --host h"
        );
        assert_eq!(format_address(&"0.0.0.0:80".parse().unwrap()), "80");
        assert_eq!(format_address(&"[::1]:80".parse().unwrap()), "[::1]:80");
    }
}
