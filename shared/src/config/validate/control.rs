//! Validates that the rules for starting, stopping and restarting fit together.

use super::super::host::RestartWhen;
use super::super::parse::{RawConfig, RawStart, RawStop};
use super::super::platform::{CommandTemplate, StartEngineTemplate, StartTemplate, StopTemplate};
use super::super::source::Problems;
use crate::sanitize::printable;

pub(super) fn start_template(raw: &RawStart) -> StartTemplate {
    let engine = match &raw.systemd {
        Some(unit) => StartEngineTemplate::Systemd(unit.value.clone()),
        None => StartEngineTemplate::Command(CommandTemplate {
            command: raw.command.iter().map(|argument| argument.value.clone()).collect(),
            directory: raw.directory.as_ref().map(|directory| directory.value.clone()),
            user: raw.user.clone(),
            environment: raw
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.value.clone()))
                .collect(),
            environment_files: raw
                .environment_files
                .iter()
                .map(|file| (file.path.value.clone(), file.is_optional))
                .collect(),
            process: raw.process.clone(),
            log: raw.log.as_ref().map(|log| log.value.clone()),
        }),
    };
    StartTemplate { engine, timeout: raw.timeout, settle: raw.settle }
}

pub(super) fn stop_template(raw: &RawStop) -> StopTemplate {
    let default = StopTemplate::default();
    StopTemplate {
        signal: raw.signal.as_ref().map_or(default.signal, |signal| signal.value),
        timeout: raw.timeout.unwrap_or(default.timeout),
        kill: raw.kill.as_ref().map_or(default.kill, |kill| kill.value),
        scope: raw.scope.as_ref().map_or(default.scope, |scope| scope.value),
        settle: raw.settle.as_ref().map(|settle| settle.value),
        command: raw.command.iter().map(|argument| argument.value.clone()).collect(),
    }
}

/// Reports combinations that cannot be meant.
pub(super) fn check_control(raw: &RawConfig, problems: &mut Problems<'_>) {
    for component in &raw.components {
        let owner = format!("component \"{}\"", printable(&component.name.value));
        let is_unit = component.start.as_ref().is_some_and(|start| start.systemd.is_some());
        if let (true, Some(place)) = (is_unit, component.stop.of_the_agent()) {
            problems.report(
                place,
                format!("{owner}: stop: systemd stops it, by its unit's own rules; only \"timeout\" can be set here"),
            );
        }
        let restart = component.restart.as_ref().filter(|restart| restart.value.when != RestartWhen::Never);
        match (restart, &component.start) {
            (Some(restart), None) => {
                let sentence =
                    format!("{owner}: restart: it has no start command, so that it cannot be started again");
                problems.report(restart.place, sentence);
            }
            (Some(restart), Some(_)) if is_unit => {
                let sentence =
                    format!("{owner}: restart: systemd starts it again, by \"Restart=\" in its unit");
                problems.report(restart.place, sentence);
            }
            _ => {}
        }
        if let (Some(place), None) = (component.wanted, restart) {
            let sentence = format!(
                "{owner}: key \"wanted\" means nothing without restart = \"on-failure\" or \"always\""
            );
            problems.report(place, sentence);
        }
        if let Some(restart) = restart
            && restart.value.longest < restart.value.backoff
        {
            let sentence = format!("{owner}: restart: \"longest\" is at least \"backoff\"");
            problems.report(restart.place, sentence);
        }
    }
}
