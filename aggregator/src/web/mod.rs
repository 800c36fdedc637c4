//! Web server's pages, JSON and forms. A page is complete as HTML, and actions are forms; a small script only
//! applies changes to an open page.
//!
//! | module | holds |
//! |---|---|
//! | `address` | addresses of pages |
//! | `api` | HTTP API for programs |
//! | `middleware` | checks of host, origin and rights before every handler |
//! | `assets` | stylesheets, scripts and the icon, named by their content |
//! | `pages` | pages: handler and view of each |
//! | `parts` | parts that pages share |
//! | `action_subject` | instances that a button acts on |
//! | `live` | live changes of open pages |
//! | `problem` | errors of the API, as JSON |
//! | `fallback` | answers to requests without a route |
//! | `metrics` | metrics for Prometheus |
//! | `router`, `server` | routing table, and the HTTP server of the page |
//! | `theme` | light or dark colours |
//! | `request_context` | the user of a request and their rights |
//! | `instance_query` | query parameters that name an instance |
//! | `what_if_query` | query parameters of a what-if |

mod action_subject;
mod address;
mod api;
mod assets;
mod fallback;
mod instance_query;
mod live;
mod metrics;
mod middleware;
mod pages;
mod parts;
mod problem;
mod request_context;
mod router;
pub(crate) mod server;
mod theme;
mod what_if_query;

pub use middleware::client_origin::IpNetwork;
pub(crate) use middleware::client_origin::SecureConnection;
pub use middleware::host_origin::HostPolicy;
pub(crate) use router::metrics_router;
pub use router::router;
