//! Page and JSON of recorded events.

pub(crate) mod handler;
pub(crate) mod view;
