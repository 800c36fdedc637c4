//! Results of the signals that a stop has sent.

use std::collections::{BTreeSet, HashSet};

use rta_shared::action::ActionPhase;
use rta_shared::process::ProcessId;

use super::effects::StopEffect;
use super::reports::{pids, report};
use crate::actions::error::ActionError;
use crate::actions::stop_targets::SignalResult;
use crate::actions::suspended_processes::{FrozenProcesses, format_resumed};

/// Signalled processes, and those that cannot act on a signal.
#[derive(Debug, Default)]
pub(super) struct SignalRecord {
    /// Processes that got the signal, or that the command is to end.
    pub(super) signalled: BTreeSet<ProcessId>,
    /// Processes that the agent may not signal.
    denied: HashSet<ProcessId>,
    why_denied: Option<ActionError>,
    frozen: FrozenProcesses,
}

impl SignalRecord {
    /// Records the result of a signal. Returns the PIDs that it reached, and reports on suspended processes.
    pub(super) fn add(&mut self, result: SignalResult) -> (Vec<u32>, Vec<StopEffect>) {
        let mut reports = Vec::new();
        self.denied.extend(result.denied);
        if self.why_denied.is_none() {
            self.why_denied = result.why;
        }
        if let Some(text) = format_resumed(&result.resumed) {
            reports.push(report(ActionPhase::Signalled, text, pids(&result.resumed)));
        }
        let frozen: Vec<ProcessId> = result.frozen.iter().map(|(id, _)| *id).collect();
        self.frozen.update(&result.reached, result.frozen);
        if let Some(why) = self.explain_frozen(&frozen) {
            reports.push(report(ActionPhase::Waiting, why, pids(&frozen)));
        }
        (pids(&result.reached), reports)
    }

    /// Returns the error of the first denied signal if the agent may signal none of `group`, so that waiting
    /// for them is pointless.
    pub(super) fn take_denial(&mut self, group: &[ProcessId]) -> Option<ActionError> {
        match group.iter().all(|id| self.denied.contains(id)) {
            true => self.why_denied.take(),
            false => None,
        }
    }

    /// Returns a sentence on those of `ids` that are frozen, if there are any.
    pub(super) fn explain_frozen(&self, ids: &[ProcessId]) -> Option<String> {
        self.frozen.explain(ids)
    }
}
