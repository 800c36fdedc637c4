//! Web server's pages, JSON and forms. A page is complete as HTML, and actions are forms; a small script only
//! applies changes to an open page.
//!
//! | module | holds |
//! |---|---|
//! | [`guard`] | check of host names and origins; security headers |
//! | `actions`, `action_subject` | handlers of the buttons, and their subjects |
//! | `address` | addresses of pages |
//! | `admit` | authentication middleware |
//! | `client` | origin of a request, also through trusted proxies |
//! | `sign_in`, `session_cookie` | signing in and out |
//! | `assets` | stylesheets, scripts and the icon, named by their content |
//! | `instance` | page of one instance, and preview of an action |
//! | `live` | live changes of open pages |
//! | `graph` | page of the dependency graph |
//! | `log` | page of an instance's log |
//! | `events` | page and JSON of events |
//! | `history` | page and JSON of timelines |
//! | `problem` | errors of the API, as JSON |
//! | `page` | rendering: pure functions from an overview to HTML |
//! | `fallback` | answers to requests without a route |
//! | `routes` | routing table |
//! | `theme` | light or dark colours |
//! | `viewer` | request context: the user and their rights |
//! | `which` | query parameters that name an instance |

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
pub(crate) mod server;
mod session_cookie;
mod sign_in;
mod theme;
mod viewer;
mod which;

pub use client::IpNetwork;
pub(crate) use client::SecureConnection;
pub use guard::HostPolicy;
pub use routes::router;
