//! Page of the dependency graph.

pub(crate) mod handler;
pub(crate) mod view;
