//! What if: the overview as it would be after an action, or without a host, as a page.

pub(crate) mod handler;
pub(crate) mod view;
