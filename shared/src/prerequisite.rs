//! What components on one host need on another: how that stands, as the aggregator tells the host's agent.

use std::time::Duration;

use crate::name::Name;
use crate::probe::{ProbeReport, ProbeState};
use crate::report::State;

/// From one time that an aggregator tells an agent of the prerequisites on other hosts to the next, where nothing
/// changes.
pub const TOLD_EVERY: Duration = Duration::from_secs(20);
/// What an agent was told holds for this long: three times [`TOLD_EVERY`].
pub const TOLD_HOLDS: Duration = Duration::from_secs(60);

/// Whether something that others need can be leant on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It runs, and its probe, if it has one, passes.
    Ready,
    /// It certainly does not.
    NotReady,
    /// That is not known.
    Unknown,
}

impl Readiness {
    /// That of a component in this state (`None`: its host is unknown) and with this probe. What it needs itself does
    /// not matter: that is its own affair.
    pub fn of(state: Option<State>, probe: Option<&ProbeReport>) -> Self {
        match state {
            None | Some(State::Unknown) => Self::Unknown,
            Some(State::Running) if probe.is_none_or(|probe| probe.state == ProbeState::Passing) => {
                Self::Ready
            }
            Some(_) => Self::NotReady,
        }
    }
}

/// How an instance on another host stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemotePrerequisite {
    /// The host that carries it.
    pub host: Name,
    /// The component.
    pub component: Name,
    /// How it stands.
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
            assert_eq!(Readiness::of(state, passing.map(probe).as_ref()), expected, "{state:?}, {passing:?}");
        }
    }
}
