//! Page of one instance, and preview of an action.

pub(crate) mod details;
pub(crate) mod handler;
pub(crate) mod view;
