//! Validates that the rules for starting, stopping and restarting fit together.

use super::super::model::{RestartWhen, StartEngine};
use super::super::parse::RawConfig;
use super::super::source::Problems;
use crate::sanitize::printable;

/// Reports combinations that cannot be meant.
pub(super) fn check_control(raw: &RawConfig, problems: &mut Problems<'_>) {
    for component in &raw.components {
        let owner = format!("component \"{}\"", printable(&component.name.value));
        let engine = component.start.as_ref().map(|start| &start.engine);
        let is_unit = matches!(engine, Some(StartEngine::Systemd(_)));
        if let (true, Some(place)) = (is_unit, component.stop_by_agent) {
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
