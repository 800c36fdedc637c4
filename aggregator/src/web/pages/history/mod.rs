//! Page and JSON of the timelines.

pub(crate) mod handler;
pub(crate) mod view;
