//! Query parameters that name an instance.

use rta_shared::selector::Selector;
use serde::Deserialize;

/// Query parameters that name an instance.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InstanceQuery {
    environment: String,
    host: String,
    component: String,
}

impl From<InstanceQuery> for Selector {
    fn from(query: InstanceQuery) -> Self {
        let InstanceQuery { environment, host, component } = query;
        Self { environment, host, component }
    }
}
