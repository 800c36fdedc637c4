//! `rta explain`: why a component is or is not matched.

use std::io::Write;
use std::path::Path;

use rta_agent::scan::Scanner;
use rta_shared::explain::ExplainedProcess;
use rta_shared::overview::InstanceId;
use rta_shared::text::{did_you_mean, printable};
use serde_json::json;

use crate::client::Client;
use crate::command::Target;
use crate::exit::{CANNOT_TELL, Failure, NOT_UP, OK, Outcome};
use crate::local::host_config;

/// Asks the aggregator.
pub(crate) async fn remote(client: &Client, target: &Target, json: bool, out: &mut dyn Write) -> Outcome {
    let (instance, processes) = client.explain(target.parts()).await?;
    show(&instance, &processes, json, out)
}

/// Looks at this machine.
pub(crate) fn local(target: &Target, folder: &Path, json: bool, out: &mut dyn Write) -> Outcome {
    let (_, host, name) = target.parts();
    let (config, _) = host_config(Some(host.as_str()).filter(|host| !host.is_empty()), folder)?;
    let component = config.find(&name).ok_or_else(|| {
        let hint = did_you_mean(&name, config.components.iter().map(|known| known.name.as_str()));
        let shown = printable(&name);
        Failure::new(
            CANNOT_TELL,
            format!("host {} does not carry a component \"{shown}\"{hint}", config.host),
        )
    })?;
    let processes = Scanner::new(config.clone())
        .explain(component)
        .map_err(|reason| Failure::new(CANNOT_TELL, format!("host {}: {reason}", config.host)))?;
    let instance = InstanceId {
        environment: config.environment.clone(),
        host: config.host.clone(),
        component: component.name.clone(),
    };
    show(&instance, &processes, json, out)
}

/// Exit code 0 where a process matches, else that of a status which is not up.
fn show(instance: &InstanceId, processes: &[ExplainedProcess], json: bool, out: &mut dyn Write) -> Outcome {
    let is_matched = processes.iter().any(ExplainedProcess::is_matched);
    let code = if is_matched { OK } else { NOT_UP };
    if json {
        writeln!(
            out,
            "{:#}",
            json!({ "instance": instance, "matched": is_matched, "processes": processes })
        )?;
        return Ok(code);
    }
    let id = instance.to_string();
    let id = printable(&id);
    match (is_matched, processes.is_empty()) {
        (true, _) => writeln!(out, "{id} is matched")?,
        (false, false) => writeln!(out, "{id} is matched by no process; the nearest:")?,
        (false, true) => writeln!(out, "{id} is matched by no process, and none comes near")?,
    }
    for process in processes {
        let held = process.criteria.iter().filter(|criterion| criterion.holds).count();
        writeln!(
            out,
            "\npid {} ({}, {} arguments){}: {held} of {} criteria hold",
            process.pid,
            printable(&process.program),
            process.arguments,
            process.part.as_ref().map(|part| format!(" as {}", printable(part.as_str()))).unwrap_or_default(),
            process.criteria.len()
        )?;
        for criterion in &process.criteria {
            writeln!(out, "  {}  {criterion}", if criterion.holds { "holds" } else { "fails" })?;
        }
    }
    Ok(code)
}
