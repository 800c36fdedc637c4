//! Middleware that every request passes before its handler.
//!
//! | module | holds |
//! |---|---|
//! | `host_origin` | check of host names and origins; security headers |
//! | `client_origin` | origin of a request, also through trusted proxies |
//! | `auth` | authentication, and the right that each route needs |
//! | `head_limits` | limits of a request's address and headers |
//! | `page_errors` | pages for addresses that a page cannot read |
//! | `session_cookie` | cookie of a session |

pub(crate) mod auth;
pub(crate) mod client_origin;
pub(crate) mod head_limits;
pub(crate) mod host_origin;
pub(crate) mod page_errors;
pub(crate) mod session_cookie;
