//! Pages. Each has a handler, which answers requests, and a view, which renders HTML and does no I/O.
//!
//! | module | holds |
//! |---|---|
//! | `events` | page and JSON of recorded events |
//! | `graph` | page of the dependency graph |
//! | `history` | page and JSON of the timelines |
//! | `instance` | page of one instance, and preview of an action |
//! | `log` | page of an instance's log |
//! | `overview` | overview of the platform: the first page |
//! | `plan` | page of a plan; the actions of buttons, which begin and cancel plans |
//! | `sign_in` | sign-in and sign-out |

pub(crate) mod events;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod instance;
pub(crate) mod log;
pub(crate) mod overview;
pub(crate) mod plan;
pub(crate) mod sign_in;
