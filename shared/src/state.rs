//! State of one component, and all that follows from it alone: a further state needs its answers here.

use serde::Serialize;

use crate::action::ActionKind;
use crate::words::words;

/// State of one component, as its agent observed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All processes that the component needs exist.
    Running,
    /// Some of its processes exist, not all.
    Partial,
    /// None of its processes exists.
    Stopped,
    /// Launched by the agent and not yet matched for its settle time; or running, started by anyone, without
    /// a first pass of its probe.
    Starting,
    /// Signalled by the agent and not yet gone.
    Stopping,
    /// Not found, but possibly one of the processes that cannot be read.
    Unknown,
}

words!(State {
    Running => "running",
    Partial => "partial",
    Stopped => "stopped",
    Starting => "starting",
    Stopping => "stopping",
    Unknown => "unknown",
});

impl State {
    /// Returns the state of a component that some processes match, before its probe is considered. `action`
    /// is in progress on it; `is_missing`: fewer processes match than it needs; `is_hidden`: others may be
    /// invisible to the agent.
    pub fn from_matches(
        action: Option<ActionKind>,
        is_matched: bool,
        is_missing: bool,
        is_hidden: bool,
    ) -> Self {
        match action {
            Some(ActionKind::Start) => Self::Starting,
            Some(ActionKind::Stop) => Self::Stopping,
            // A restart stops running processes first.
            Some(ActionKind::Restart) if is_matched => Self::Stopping,
            Some(ActionKind::Restart) => Self::Starting,
            None if !is_missing => Self::Running,
            None if is_hidden => Self::Unknown,
            None if is_matched => Self::Partial,
            None => Self::Stopped,
        }
    }

    /// Returns true if all of the component runs.
    pub fn is_running(self) -> bool {
        match self {
            Self::Running => true,
            Self::Partial | Self::Stopped | Self::Starting | Self::Stopping | Self::Unknown => false,
        }
    }

    /// Returns true if at least a part of the component runs, so that others may depend on it.
    pub fn is_serving(self) -> bool {
        match self {
            Self::Running | Self::Partial => true,
            Self::Stopped | Self::Starting | Self::Stopping | Self::Unknown => false,
        }
    }

    /// Returns true if none of the component runs.
    pub fn is_stopped(self) -> bool {
        match self {
            Self::Stopped => true,
            Self::Running | Self::Partial | Self::Starting | Self::Stopping | Self::Unknown => false,
        }
    }

    /// Returns true if the component was started and is not being stopped: it runs, at least in part, or
    /// starts.
    pub fn is_started(self) -> bool {
        match self {
            Self::Running | Self::Partial | Self::Starting => true,
            Self::Stopped | Self::Stopping | Self::Unknown => false,
        }
    }

    /// Returns true if the state passes by itself: another one follows soon.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Starting | Self::Stopping => true,
            Self::Running | Self::Partial | Self::Stopped | Self::Unknown => false,
        }
    }

    /// Returns true if the agent could determine the state.
    pub fn is_known(self) -> bool {
        match self {
            Self::Running | Self::Partial | Self::Stopped | Self::Starting | Self::Stopping => true,
            Self::Unknown => false,
        }
    }

    /// Returns the actions that make sense in this state, in the order in which they are offered.
    /// `can_start`: a start command is configured. Nothing is offered while something is changing, and
    /// nothing on a guess.
    pub fn allowed_actions(self, can_start: bool) -> &'static [ActionKind] {
        match self {
            Self::Stopped if can_start => &[ActionKind::Start],
            Self::Running | Self::Partial if can_start => &[ActionKind::Restart, ActionKind::Stop],
            Self::Running | Self::Partial => &[ActionKind::Stop],
            Self::Stopped | Self::Starting | Self::Stopping | Self::Unknown => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_properties_and_actions() {
        const START: &[ActionKind] = &[ActionKind::Start];
        const STOP: &[ActionKind] = &[ActionKind::Stop];
        const BOTH: &[ActionKind] = &[ActionKind::Restart, ActionKind::Stop];
        // Running, serving, stopped, started, transient, known; allowed actions with and without a start
        // command.
        let rows = [
            (State::Running, [true, true, false, true, false, true], BOTH, STOP),
            (State::Partial, [false, true, false, true, false, true], BOTH, STOP),
            (State::Stopped, [false, false, true, false, false, true], START, &[]),
            (State::Starting, [false, false, false, true, true, true], &[], &[]),
            (State::Stopping, [false, false, false, false, true, true], &[], &[]),
            (State::Unknown, [false, false, false, false, false, false], &[], &[]),
        ];
        assert_eq!(rows.map(|(state, ..)| state), State::ALL);
        for (state, properties, with_start, watched) in rows {
            let found = [
                state.is_running(),
                state.is_serving(),
                state.is_stopped(),
                state.is_started(),
                state.is_transient(),
                state.is_known(),
            ];
            assert_eq!(found, properties, "{state}");
            assert_eq!(state.allowed_actions(true), with_start, "{state}");
            assert_eq!(state.allowed_actions(false), watched, "{state}");
        }
    }
}
