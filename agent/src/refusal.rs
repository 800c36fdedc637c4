//! Why an action was not done, as a gRPC code and a sentence.

use rta_shared::control::ActionKind;
use rta_shared::name::Name;
use tonic::{Code, Status};

use crate::worker::Gone;

/// Why an action was not done.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    /// A sentence without the component and the host, which [`Refusal::told`] adds.
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    pub(crate) fn told(self, kind: ActionKind, component: &Name, host: &Name) -> Status {
        Status::new(self.code, format!("{kind} of {component} on {host}: {}", self.reason))
    }
}

impl From<Gone> for Refusal {
    fn from(_: Gone) -> Self {
        Self::new(Code::Unavailable, "the agent is shutting down")
    }
}
