//! The life of a long-running program: tasks that are owned, signals, and what a supervisor is told.
//!
//! | module | holds |
//! |---|---|
//! | [`tasks`] | tasks whose end ends the program, and heartbeats that show that they work |
//! | [`signals`] | an end within a few seconds after SIGTERM, whatever hangs |
//! | `systemd` | readiness and the watchdog of systemd |

pub mod signals;
mod systemd;
pub mod tasks;
