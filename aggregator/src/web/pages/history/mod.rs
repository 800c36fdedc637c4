//! Page and JSON of the timelines.
//!
//! | module | holds |
//! |---|---|
//! | `handler` | the routes |
//! | `listing` | one page of them, the worst first |
//! | `view` | the page |

pub(crate) mod handler;
pub(crate) mod listing;
pub(crate) mod view;
