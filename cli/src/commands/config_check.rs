//! `rta config check`: reports every problem of a configuration, or a summary.

use std::io::Write;
use std::path::Path;

use rta_shared::config::load_folder;
use rta_shared::format::counted;

use crate::exit::{CommandFailure, CommandResult, OK, USAGE};

/// Checks the configuration in `folder`.
pub(crate) fn check_config(folder: &Path, out: &mut dyn Write) -> CommandResult {
    let platform = load_folder(folder).map_err(|error| {
        let count = counted(error.problems.len(), "problem");
        CommandFailure::new(USAGE, format!("{count} in {}\n{error}", folder.display()))
    })?;
    let hosts = platform.hosts().count();
    writeln!(
        out,
        "{} is valid: {}, {}, {}, {}",
        folder.display(),
        counted(platform.environments.len(), "environment"),
        counted(hosts, "host"),
        counted(platform.roles.len(), "role"),
        counted(platform.components.len(), "component"),
    )?;
    for environment in &platform.environments {
        writeln!(out, "\nenvironment {}", environment.name)?;
        for host in &environment.hosts {
            let role = host.role.as_ref().map_or("no role", |role| role.as_str());
            let count = counted(host.components.len(), "component");
            writeln!(out, "  {:<20} {role}, {count}, agent {}", host.name, host.agent)?;
        }
    }
    writeln!(out)?;
    for role in &platform.roles {
        let names: Vec<_> = role.components.iter().map(|name| name.as_str()).collect();
        writeln!(out, "role {}: {}", role.name, names.join(", "))?;
    }
    let watched: Vec<_> = platform
        .components
        .iter()
        .filter(|component| component.start.is_none())
        .map(|component| component.name.as_str())
        .collect();
    if !watched.is_empty() {
        writeln!(out, "\nwatched only, without a start command: {}", watched.join(", "))?;
    }
    Ok(OK)
}
