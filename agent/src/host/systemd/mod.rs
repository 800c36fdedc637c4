//! Access to systemd's units over the system bus (org.freedesktop.systemd1(5)).

#[cfg(not(feature = "systemd"))]
mod absent;
#[cfg(feature = "systemd")]
mod client;
mod error;
mod unit_operation;
mod unit_poller;
mod unit_state;

#[cfg(not(feature = "systemd"))]
pub(crate) use absent::SystemdClient;
#[cfg(feature = "systemd")]
pub(crate) use client::SystemdClient;
pub(crate) use error::SystemdError;
pub(crate) use unit_operation::UnitOperation;
pub(crate) use unit_poller::{UnitReports, poll_units};
pub(crate) use unit_state::{UnitState, describe_failed_job};
