//! Why an action was not done, as a gRPC code and a sentence.

use std::fmt;

use rta_shared::name::Name;
use rta_shared::report::ActionKind;
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
        Status::new(self.code, format!("{} of {component} on {host}: {}", Verb(kind), self.reason))
    }
}

impl From<Gone> for Refusal {
    fn from(_: Gone) -> Self {
        Self::new(Code::Unavailable, "the agent is shutting down")
    }
}

/// `start` or `stop`.
pub(crate) struct Verb(pub(crate) ActionKind);

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            ActionKind::Start => "start",
            ActionKind::Stop => "stop",
        })
    }
}
