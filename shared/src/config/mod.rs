//! The platform's configuration.

mod host;

pub use host::{HostComponent, HostConfig, StartRule, StopRule, StopSignal};
