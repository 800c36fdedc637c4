//! Page of an instance's log.

pub(crate) mod handler;
pub(crate) mod view;
