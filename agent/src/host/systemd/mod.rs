//! Access to systemd's units over the system bus (org.freedesktop.systemd1(5)).

mod client;
mod error;
mod unit_poller;
mod unit_state;

pub(crate) use client::{SystemdClient, UnitOperation};
pub(crate) use error::SystemdError;
pub(crate) use unit_poller::{UnitReports, poll_units};
pub(crate) use unit_state::{UnitState, describe_failed_job};
