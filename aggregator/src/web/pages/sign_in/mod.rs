//! Sign-in and sign-out.

pub(crate) mod handler;
pub(crate) mod view;
