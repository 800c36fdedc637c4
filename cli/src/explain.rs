//! `rta explain`: shows why a component is or is not matched.

use std::io::{self, Write};
use std::path::Path;

use rta_agent::scan::Scanner;
use rta_shared::explain::ExplainedPart;
use rta_shared::overview::InstanceId;
use rta_shared::text::{did_you_mean, printable};
use serde_json::json;

use crate::client::Client;
use crate::command::Target;
use crate::exit::{CANNOT_TELL, Failure, NOT_UP, OK, Outcome};
use crate::local::host_config;

/// Explains an instance, asking the aggregator.
pub(crate) async fn remote(client: &Client, target: &Target, json: bool, out: &mut dyn Write) -> Outcome {
    let (instance, parts) = client.explain(target.parts()?).await?;
    show(&instance, &parts, json, out)
}

/// Explains a component of this machine from its processes.
pub(crate) fn local(target: &Target, folder: &Path, json: bool, out: &mut dyn Write) -> Outcome {
    let (_, host, name) = target.parts()?;
    let config = host_config(Some(host.as_str()).filter(|host| !host.is_empty()), folder)?;
    let component = config.find(&name).ok_or_else(|| {
        let hint = did_you_mean(&name, config.components.iter().map(|known| known.name.as_str()));
        let shown = printable(&name);
        Failure::new(
            CANNOT_TELL,
            format!("host {} does not carry a component \"{shown}\"{hint}", config.host),
        )
    })?;
    let parts = Scanner::new(config.clone())
        .explain(component)
        .map_err(|reason| Failure::new(CANNOT_TELL, format!("host {}: {reason}", config.host)))?;
    let instance = InstanceId {
        environment: config.environment.clone(),
        host: config.host.clone(),
        component: component.name.clone(),
    };
    show(&instance, &parts, json, out)
}

/// Prints an explanation. Returns exit code 0 if every needed part is matched, else [`NOT_UP`].
fn show(instance: &InstanceId, parts: &[ExplainedPart], json: bool, out: &mut dyn Write) -> Outcome {
    let is_matched = parts.iter().all(|part| part.count.min == 0 || part.is_matched());
    let code = if is_matched { OK } else { NOT_UP };
    if json {
        writeln!(out, "{:#}", json!({ "instance": instance, "matched": is_matched, "parts": parts }))?;
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
        explain_part(&printable(&name), part, out)?;
    }
    Ok(code)
}

fn explain_part(name: &str, part: &ExplainedPart, out: &mut dyn Write) -> io::Result<()> {
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
            user(&process.user),
            process.criteria.len()
        )?;
        for criterion in &process.criteria {
            writeln!(out, "  {}  {criterion}", if criterion.holds { "holds" } else { "fails" })?;
        }
    }
    Ok(())
}

/// Formats a user as `, user kafka`; empty if unknown.
fn user(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(", user {}", printable(name)) }
}
