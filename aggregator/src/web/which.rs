//! Query parameters that name an instance.

use rta_shared::selector::Selector;
use serde::Deserialize;

/// Query parameters that name an instance.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Which {
    environment: String,
    host: String,
    component: String,
}

impl From<Which> for Selector {
    fn from(which: Which) -> Self {
        let Which { environment, host, component } = which;
        Self { environment, host, component }
    }
}
