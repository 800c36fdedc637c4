//! In clear or by TLS: who is let in, and who the aggregator says to the agents that it is.

use std::path::PathBuf;

use rta_shared::tls::{Asking, Door};

/// How the aggregator is asked, and how it asks.
#[derive(Debug)]
pub struct Doors {
    /// How the page is asked for.
    pub web: Door,
    /// How the rta command asks.
    pub grpc: Door,
    /// The file of the CA, which is looked at for its end.
    pub ca: Option<PathBuf>,
    /// How agents at https:// addresses are asked; `None`: they are not.
    pub agents: Option<Asking>,
}

impl Doors {
    /// Everything in clear.
    pub fn clear() -> Self {
        Self { web: Door::clear(), grpc: Door::clear(), ca: None, agents: None }
    }
}
