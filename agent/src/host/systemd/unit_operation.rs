//! Operations on a unit.

/// Operation on a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitOperation {
    Start,
    Stop,
    Restart,
}

impl UnitOperation {
    /// Returns the operation in lower case, such as `start`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}
