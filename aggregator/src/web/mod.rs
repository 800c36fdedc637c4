//! The page, its JSON and its forms. The page is complete as HTML, and forms do the rest; a small script only brings
//! to an open page what changes.
//!
//! | module | holds |
//! |---|---|
//! | [`guard`] | who may ask: host names, origins, headers |
//! | `actions`, `action_subject` | what the buttons do, and to what |
//! | `address` | addresses of pages |
//! | `admit` | who asks, and whether they may |
//! | `client` | where a request comes from, also through trusted proxies |
//! | `sign_in`, `session_cookie` | signing in and out |
//! | `assets` | the stylesheet and the icon, named by their content |
//! | `instance` | the page of one instance, and of what an action would do |
//! | `live` | telling open pages what changes |
//! | `graph` | the drawing of what needs what |
//! | `log` | the page of an instance's log |
//! | `events` | what was recorded: its page, and its JSON |
//! | `history` | how everything was: its page, and its JSON |
//! | `problem` | errors of what programs ask for, as JSON |
//! | `page` | the page: pure functions from an overview to HTML |
//! | `fallback` | answers to requests that no route takes |
//! | `routes` | what is answered under which path |
//! | `theme` | light or dark |
//! | `viewer` | whom a page is made for |
//! | `which` | which instance an address is of |

mod action_subject;
mod actions;
mod address;
mod admit;
mod assets;
mod client;
mod events;
mod fallback;
mod graph;
pub mod guard;
mod history;
mod instance;
mod live;
mod log;
pub(crate) mod page;
mod problem;
mod routes;
mod session_cookie;
mod sign_in;
mod theme;
mod viewer;
mod which;

pub use client::Network;
pub(crate) use client::Secured;
pub use guard::HostPolicy;
pub use routes::router;
