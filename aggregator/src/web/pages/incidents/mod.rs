//! Page of incidents.

pub(crate) mod handler;
pub(crate) mod view;
