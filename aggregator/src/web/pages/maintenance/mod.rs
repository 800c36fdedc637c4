//! Maintenance, active and planned, and the forms that begin, end, plan and cancel it.

pub(crate) mod handler;
pub(crate) mod view;
