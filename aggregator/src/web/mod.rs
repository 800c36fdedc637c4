//! The page, its JSON and its forms.

use std::net::SocketAddr;

use axum::Router;

use crate::operations::Operations;

/// Which values of the `Host` header are answered.
#[derive(Clone, Debug)]
pub struct HostPolicy;

impl HostPolicy {
    /// The policy of a listener at `address`.
    pub fn for_listener(_address: SocketAddr) -> Self {
        Self
    }
}

/// The web server's routes.
pub fn router(_operations: Operations, _hosts: HostPolicy) -> Router {
    Router::new()
}
