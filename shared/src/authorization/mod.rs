//! Who may call what: one table of every gRPC method and every route of the page, by which both servers decide and
//! from which `docs/authorization.md` is made. What is not in the table is answered to nobody.
//!
//! | module | holds |
//! |---|---|
//! | [`table`] | every method and route, with what it takes to call it |
//! | [`caller`] | the kinds of callers, and what each may |
//! | [`layer`] | the check before every gRPC call |

pub mod caller;
pub mod layer;
pub mod table;

pub use caller::{CallerKind, Server};
pub use layer::AuthorizationLayer;
pub use table::{AGENT_METHODS, AGGREGATOR_METHODS, HTTP_ROUTES, MethodRule, Right, RouteRule};
