//! The platform's configuration: a folder of TOML files, the same on every host.
//!
//! Files are read as texts ([`Source`]), parsed one by one, then validated together. All problems are
//! reported at once ([`LoadError`]); the result ([`Platform`]) has no invalid references.
//! [`Platform::host_config`] returns the configuration of one host, with every variable replaced
//! ([`HostConfig`]).

mod diff;
mod fields;
mod host;
mod load;
mod model;
pub mod notify;
mod parse;
mod platform;
mod providers;
mod resolve;
mod source;
mod validate;
mod variables;

pub use diff::{host_changes, platform_changes};
pub use host::{HostComponent, HostConfig, Prerequisite};
pub use load::{load_folder, load_sources};
pub use model::{
    AnswerTest, ByteAmount, ByteUnit, CommandProbe, CommandRule, Comparison, ComponentNotes, EnvironmentFile,
    HttpProbe, JsonTest, Labels, LimitRules, LimitedResource, NamedLink, OpenFilesLimit, Part, Pattern,
    ProbeMethod, ProbeRule, ProcessCount, ProcessSettings, RangeInText, ResourceLimit, RestartLimit,
    RestartRule, RestartWhen, StartEngine, StartRule, StatusSet, StopRule, StopScope, StopSignal,
    SuccessExitStatus, SustainedLimit, TcpProbe, TlsCheck, same_parts,
};
pub use platform::{Component, Dependency, DependencyPlace, Environment, Host, Platform, Role};
pub use providers::{ProviderIndex, Providers};
pub use source::{LoadError, Problem, Source};
