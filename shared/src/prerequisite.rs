//! Readiness of components that others on another host need, as the aggregator sends it to the agents.

use crate::name::Name;
use crate::probe::{ProbeReport, ProbeState};
use crate::report::State;

/// Readiness of a component that others need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Running, and its probe, if it has one, passes.
    Ready,
    /// Certainly not ready.
    NotReady,
    /// Not known.
    Unknown,
}

impl Readiness {
    /// Returns the readiness of a component in this state (`None`: its host is unknown) and with this probe.
    /// Its own prerequisites do not matter.
    pub fn from_state(state: Option<State>, probe: Option<&ProbeReport>) -> Self {
        match state {
            Some(state)
                if state.is_running() && probe.is_none_or(|probe| probe.state == ProbeState::Passing) =>
            {
                Self::Ready
            }
            Some(state) if state.is_known() => Self::NotReady,
            Some(_) | None => Self::Unknown,
        }
    }
}

/// Readiness of an instance on another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePrerequisite {
    /// Host that carries the instance.
    pub host: Name,
    /// Component.
    pub component: Name,
    /// Readiness of the instance.
    pub readiness: Readiness,
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn only_what_runs_and_passes_its_probe_is_ready() {
        let probe = |state| ProbeReport { state, since: Timestamp::UNIX_EPOCH, reason: String::new() };
        let rows = [
            (Some(State::Running), None, Readiness::Ready),
            (Some(State::Running), Some(ProbeState::Passing), Readiness::Ready),
            (Some(State::Running), Some(ProbeState::Failing), Readiness::NotReady),
            (Some(State::Starting), Some(ProbeState::Pending), Readiness::NotReady),
            (Some(State::Partial), None, Readiness::NotReady),
            (Some(State::Stopped), None, Readiness::NotReady),
            (Some(State::Unknown), None, Readiness::Unknown),
            (None, None, Readiness::Unknown),
        ];
        for (state, passing, expected) in rows {
            assert_eq!(
                Readiness::from_state(state, passing.map(probe).as_ref()),
                expected,
                "{state:?}, {passing:?}"
            );
        }
    }
}
