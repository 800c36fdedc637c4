//! The platform's configuration: a folder of TOML files, the same on every host.
//!
//! Files are read as texts ([`Source`]), parsed one by one, then validated together. All problems are
//! reported at once ([`LoadError`]); the result ([`Platform`]) has no invalid references.
//! [`Platform::host_config`] returns the configuration of one host, with every variable replaced
//! ([`HostConfig`]).

mod diff;
mod exit;
mod fields;
mod host;
mod load;
mod parse;
mod platform;
mod process_settings;
mod source;
mod validate;

pub use diff::{host_changes, platform_changes, same_parts};
pub use exit::SuccessExitStatus;
pub use host::{
    CommandRule, HostComponent, HostConfig, Part, Prerequisite, ProbeMethod, ProbeRule, ProcessCount,
    RestartRule, RestartWhen, StartEngine, StartRule, StopRule, StopScope, StopSignal,
};
pub use load::{load_folder, load_sources};
pub use platform::{
    CommandTemplate, Component, CriterionTemplate, Dependency, DependencyPlace, Environment, Host,
    PartTemplate, Platform, ProbeMethodTemplate, ProbeTemplate, Role, StartEngineTemplate, StartTemplate,
    StopTemplate,
};
pub use process_settings::{EnvironmentFile, LimitedResource, ProcessSettings, ResourceLimit};
pub use source::{LoadError, Problem, Source};
