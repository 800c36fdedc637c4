//! Access to systemd's units over the system bus (org.freedesktop.systemd1(5)).

mod bus;
mod follow;
mod standing;
mod trouble;

pub(crate) use bus::{Systemd, Verb};
pub(crate) use follow::{Units, follow};
pub(crate) use standing::{Standing, undone};
pub(crate) use trouble::Trouble;
