//! Lifecycle of a long-running program: owned tasks, signals, and notifications to the supervisor.
//!
//! | module | holds |
//! |---|---|
//! | [`tasks`] | tasks whose failure ends the program, and heartbeats that prove their progress |
//! | [`signals`] | shutdown within a few seconds after SIGTERM, whatever hangs |
//! | `systemd` | readiness and watchdog notifications to systemd |

pub mod signals;
mod systemd;
pub mod tasks;
