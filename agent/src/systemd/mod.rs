//! systemd as an engine: units that it starts and stops for the agent, asked over the system bus
//! (org.freedesktop.systemd1(5)).

mod act;
mod bus;
mod follow;
mod standing;
mod trouble;

pub(crate) use act::{Act, restart, start, stop};
pub(crate) use bus::Systemd;
pub(crate) use follow::{Units, follow};
