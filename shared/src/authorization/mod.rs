//! Authorization: one table of all gRPC methods and all routes of the page, which both servers enforce and
//! from which `docs/authorization.md` is generated. Methods and routes that are not in the table are denied
//! to everyone.
//!
//! | module | holds |
//! |---|---|
//! | [`table`] | every method and route, with what it takes to call it |
//! | [`caller`] | the kinds of callers, and what each may |
//! | [`layer`] | the check before every gRPC call |

pub mod caller;
pub mod layer;
pub mod table;

pub use caller::{CallerKind, ServerKind};
pub use layer::AuthorizationLayer;
pub use table::{AGENT_METHODS, AGGREGATOR_METHODS, HTTP_ROUTES, MethodRule, Right, RouteRule};
