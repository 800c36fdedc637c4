//! Query parameters that name an instance.

use rta_shared::overview::InstanceId;
use serde::Deserialize;

use crate::target::Target;

/// Query parameters that name an instance.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Which {
    environment: String,
    host: String,
    component: String,
}

impl Which {
    pub(super) fn target(&self) -> Target {
        let Self { environment, host, component } = self.clone();
        Target { component, environment, host }
    }

    /// Returns the ID as it was typed.
    pub(super) fn id(&self) -> InstanceId {
        let [environment, host, component] =
            [&self.environment, &self.host, &self.component].map(|name| name.as_str().into());
        InstanceId { environment, host, component }
    }
}
