//! Page of incidents.

pub(crate) mod handler;
pub(crate) mod query;
pub(crate) mod view;
