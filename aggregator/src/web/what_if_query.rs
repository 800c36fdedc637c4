//! Query parameters of a what-if.

use rta_shared::action::ActionKind;
use rta_shared::name::MAX_NAME_LENGTH;
use rta_shared::plan::ActionRequest;
use rta_shared::what_if::WhatIfAssumption;
use serde::Deserialize;
use tonic::Code;

use crate::operation_error::OperationError;

/// Value of the parameter `action` for a host whose agent does not answer.
pub(super) const HOST_DOWN: &str = "host-down";

/// Query parameters: an action, such as `action=stop`, or `action=host-down`, and names.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WhatIfQuery {
    action: String,
    environment: String,
    host: String,
    component: String,
    /// True for all instances that match.
    all: bool,
    /// True for only the named instances.
    no_dependencies: bool,
}

impl WhatIfQuery {
    /// Returns the assumption.
    ///
    /// # Errors
    /// Returns an error if the action is unknown, or a name is too long.
    pub(super) fn assumption(self) -> Result<WhatIfAssumption, OperationError> {
        let Self { action, environment, host, component, all, no_dependencies } = self;
        if [&environment, &host, &component].iter().any(|name| name.len() > MAX_NAME_LENGTH) {
            let message = format!("a name has more than {MAX_NAME_LENGTH} bytes");
            return Err(OperationError::new(Code::InvalidArgument, message));
        }
        if action == HOST_DOWN {
            return Ok(WhatIfAssumption::HostDown { environment, host });
        }
        let Some(kind) = ActionKind::from_word(&action) else {
            let message = format!("the parameter action must be start, stop or {HOST_DOWN}");
            return Err(OperationError::new(Code::InvalidArgument, message));
        };
        let request =
            ActionRequest { component, environment, host, all, no_dependencies, ..ActionRequest::default() };
        Ok(WhatIfAssumption::Action(kind, request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn action_and_names_make_an_assumption() {
        let query = |action: &str| WhatIfQuery {
            action: action.to_owned(),
            host: "h".to_owned(),
            component: "kafka".to_owned(),
            ..WhatIfQuery::default()
        };
        let request =
            ActionRequest { component: "kafka".to_owned(), host: "h".to_owned(), ..ActionRequest::default() };
        assert_eq!(query("stop").assumption(), Ok(WhatIfAssumption::Action(ActionKind::Stop, request)));
        let host = WhatIfAssumption::HostDown { environment: String::new(), host: "h".to_owned() };
        assert_eq!(query(HOST_DOWN).assumption(), Ok(host));
        let long = WhatIfQuery { host: "x".repeat(MAX_NAME_LENGTH + 1), ..query("stop") };
        for wrong in [query(""), query("explode"), long] {
            assert_eq!(wrong.assumption().map_err(|error| error.code), Err(Code::InvalidArgument));
        }
    }
}
