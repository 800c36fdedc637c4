//! The page, its JSON and its forms. No script: the page is complete as HTML, and forms do the rest.
//!
//! | module | holds |
//! |---|---|
//! | [`guard`] | who may ask: host names, origins, headers |
//! | `actions` | what the buttons do |
//! | `assets` | the stylesheet and the icon, named by their content |
//! | `log` | the page of an instance's log |
//! | `events` | what was recorded: its page, and its JSON |
//! | `history` | how everything was: its page, and its JSON |
//! | `page` | the page: pure functions from an overview to HTML |
//! | `routes` | what is answered under which path |

mod actions;
mod assets;
mod events;
pub mod guard;
mod history;
mod log;
pub(crate) mod page;
mod routes;

pub use guard::HostPolicy;
pub use routes::router;
