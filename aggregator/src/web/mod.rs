//! Web server's pages, JSON and forms. A page is complete as HTML, and actions are forms; a small script only
//! applies changes to an open page.
//!
//! | module | holds |
//! |---|---|
//! | `actions`, `action_subject` | handlers of the buttons, and their subjects |
//! | `address` | addresses of pages |
//! | `middleware` | checks of host, origin and rights before every handler |
//! | `sign_in` | signing in and out |
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
//! | `router`, `server` | routing table, and the HTTP server of the page |
//! | `theme` | light or dark colours |
//! | `request_context` | the user of a request and their rights |
//! | `instance_query` | query parameters that name an instance |

mod action_subject;
mod actions;
mod address;
mod assets;
mod events;
mod fallback;
mod graph;
mod history;
mod instance;
mod instance_query;
mod live;
mod log;
mod middleware;
pub(crate) mod page;
mod problem;
mod request_context;
mod router;
pub(crate) mod server;
mod sign_in;
mod theme;

pub use middleware::client_origin::IpNetwork;
pub(crate) use middleware::client_origin::SecureConnection;
pub use middleware::host_origin::HostPolicy;
pub use router::router;
