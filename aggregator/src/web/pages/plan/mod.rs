//! Page of a plan; the actions of buttons, which begin and cancel plans.

pub(crate) mod confirmation;
pub(crate) mod handler;
pub(crate) mod view;
