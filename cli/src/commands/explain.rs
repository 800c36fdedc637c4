//! `rta explain`: shows why a component is or is not matched.

use std::io::{self, Write};
#[cfg(feature = "standalone")]
use std::path::Path;

#[cfg(feature = "standalone")]
use rta_agent::host::scanner::Scanner;
use rta_shared::config::ComponentNotes;
use rta_shared::explain::ExplainedPart;
use rta_shared::overview::InstanceId;
use rta_shared::sanitize::printable;
use rta_shared::selector::Selector;
#[cfg(feature = "standalone")]
use rta_shared::selector::{NameIndex, Purpose};
use serde_json::json;

use crate::args::TargetArgs;
use crate::client::AggregatorClient;
#[cfg(feature = "standalone")]
use crate::exit::{CommandFailure, UNAVAILABLE};
use crate::exit::{CommandResult, NOT_UP, OK};
#[cfg(feature = "standalone")]
use crate::local_config::{find_host, host_config, load_platform};
use crate::output::component_notes::component_notes;

/// Explains an instance, asking the aggregator.
pub(crate) async fn explain_remote(
    client: &AggregatorClient,
    target: &TargetArgs,
    json: bool,
    out: &mut dyn Write,
) -> CommandResult {
    let (instance, parts) = client.explain(target.selector()?).await?;
    let (_, notes) = client.notes(instance_selector(&instance)).await?;
    print_explanation(&instance, &parts, &notes, json, out)
}

/// Returns the selector of exactly this instance.
pub(super) fn instance_selector(instance: &InstanceId) -> Selector {
    let InstanceId { environment, host, component } = instance;
    let [environment, host, component] = [environment, host, component].map(|name| name.as_str().to_owned());
    Selector { environment, host, component }
}

/// Explains a component of this machine from its processes.
#[cfg(feature = "standalone")]
pub(crate) fn explain_local(
    target: &TargetArgs,
    folder: &Path,
    json: bool,
    out: &mut dyn Write,
) -> CommandResult {
    let platform = load_platform(folder)?;
    let mut selector = target.selector()?;
    if selector.host.is_empty() {
        find_host(&platform, None)?.name.as_str().clone_into(&mut selector.host);
    }
    let selection = selector.resolve(&NameIndex::from(&platform), Purpose::Reading)?;
    let instance = selection.one("name the host")?.id();
    let host = find_host(&platform, Some(instance.host.as_str()))?;
    let config = host_config(&platform, host)?;
    let component = config.find(instance.component.as_str()).ok_or_else(|| {
        CommandFailure::new(
            UNAVAILABLE,
            format!("host {} does not carry {}", instance.host, instance.component),
        )
    })?;
    let parts = Scanner::new(config.clone())
        .explain(component)
        .map_err(|reason| CommandFailure::new(UNAVAILABLE, format!("host {}: {reason}", config.host)))?;
    // The notes were checked when the configuration was loaded.
    let notes = platform.component(instance.component.as_str()).and_then(|noted| noted.notes_on(host).ok());
    print_explanation(&instance, &parts, &notes.unwrap_or_default(), json, out)
}

/// Prints an explanation. Returns exit code 0 if every needed part is matched, else [`NOT_UP`].
fn print_explanation(
    instance: &InstanceId,
    parts: &[ExplainedPart],
    notes: &ComponentNotes,
    json: bool,
    out: &mut dyn Write,
) -> CommandResult {
    let is_matched = parts.iter().all(|part| part.count.min == 0 || part.is_matched());
    let code = if is_matched { OK } else { NOT_UP };
    if json {
        writeln!(
            out,
            "{:#}",
            json!({ "instance": instance, "matched": is_matched, "parts": parts, "notes": notes })
        )?;
        return Ok(code);
    }
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        let name = match &part.name {
            Some(name) => format!("{name} of {instance}"),
            None => instance.to_string(),
        };
        print_part(&printable(&name), part, out)?;
    }
    if !notes.is_empty() {
        write!(out, "\nNotes:\n{}", component_notes(notes))?;
    }
    Ok(code)
}

fn print_part(name: &str, part: &ExplainedPart, out: &mut dyn Write) -> io::Result<()> {
    match (part.is_matched(), part.processes.is_empty()) {
        (true, _) => writeln!(out, "{name} is matched")?,
        (false, false) => writeln!(out, "{name} is matched by no process; the nearest:")?,
        (false, true) => writeln!(out, "{name} is matched by no process, and none comes near")?,
    }
    for process in &part.processes {
        let held = process.criteria.iter().filter(|criterion| criterion.holds).count();
        writeln!(
            out,
            "\npid {} ({}, {} arguments{}): {held} of {} criteria hold",
            process.pid,
            printable(&process.program),
            process.arguments,
            user_suffix(&process.user),
            process.criteria.len()
        )?;
        for criterion in &process.criteria {
            writeln!(out, "  {}  {criterion}", if criterion.holds { "holds" } else { "fails" })?;
        }
    }
    Ok(())
}

/// Formats a user as `, user kafka`; empty if unknown.
fn user_suffix(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(", user {}", printable(name)) }
}
