//! Subject of an action's form.

use rta_shared::overview::InstanceId;
use rta_shared::plan::ActionRequest;

/// Subject of an action's form.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ActionSubject {
    /// Single instance.
    Instance(InstanceId),
    /// The instances that the plan with this ID has stopped.
    StoppedBy(u64),
}

impl ActionSubject {
    /// Returns the request for an action on it.
    pub(super) fn to_request(&self) -> ActionRequest {
        match self {
            Self::Instance(instance) => ActionRequest {
                component: instance.component.as_str().to_owned(),
                environment: instance.environment.as_str().to_owned(),
                host: instance.host.as_str().to_owned(),
                ..ActionRequest::default()
            },
            Self::StoppedBy(plan) => ActionRequest { stopped_by: *plan, ..ActionRequest::default() },
        }
    }
}
