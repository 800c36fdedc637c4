//! Shared parts of the end-to-end tests and benches: the real binaries, real processes, and polling.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up fails")]

mod action;
mod binaries;
mod callers;
pub mod command_lines;
mod crowd;
pub mod figures;
mod follower;
mod hosts;
mod lines;
mod made_up;
mod people;
mod pki;
mod program;
mod random;
pub mod rust_tokens;
mod site;
mod stage;
mod storm;
mod systemd;
mod web;

pub use action::{Acted, AgentClient, act, connect, target};
pub use binaries::binary;
pub use callers::{Reception, call_method, socket_channel};
pub use crowd::Crowd;
pub use follower::{Follower, Seen, Sighting};
pub use hosts::{HostProcess, NamespacedHost, NamespacedHosts};
pub use lines::Lines;
pub use made_up::MadeUpHosts;
pub use people::{PASSWORD, People};
pub use pki::{Own, Pki};
pub use program::{Program, patiently, run};
pub use random::Random;
pub use site::{Children, Site, control_group};
pub use stage::{Mode, Stage};
pub use storm::Storm;
pub use systemd::RealSystemd;
pub use web::{Answer, Session, Web};
