//! Overview of the platform: the first page.

pub(crate) mod agent;
pub(crate) mod causes;
pub(crate) mod context;
pub(crate) mod environment;
pub(crate) mod handler;
pub(crate) mod host;
pub(crate) mod host_grid;
pub(crate) mod instance;
pub(crate) mod notice;
pub(crate) mod outages;
pub(crate) mod selection;
pub(crate) mod view;
