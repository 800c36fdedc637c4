//! Probe commands that a killed agent left behind.

use rta_shared::leftover_commands::{Leftovers, kill_leftovers};

/// Variable in the environment of a probe's command that names its agent.
pub(super) const AGENT_VARIABLE: &str = "RTA_PROBE_AGENT";

/// Kills the probe commands of agents that are gone, with their children. One that began a session of its own
/// is spared, as it is when its probe ends: it is no part of the probe. Blocking.
pub(crate) fn kill_leftover_probes() {
    for pid in kill_leftovers(AGENT_VARIABLE, Leftovers::All) {
        tracing::warn!(pid, "a probe's command of an earlier agent was still running and was killed");
    }
}
