//! Client of one host's agent, and the tasks that follow all agents.
//!
//! | module | holds |
//! |---|---|
//! | `client` | the client, and checks of what the agent sends |
//! | `connection` | the connection with an agent, which is open while it is needed |
//! | `transport` | the HTTP/2 of that connection |
//! | `actions` | starts, stops and restarts, over connections that break meanwhile |
//! | `requests` | scans, logs, reloads |
//! | `stream` | the report stream, and what is sent to the agent meanwhile |
//! | `tasks` | one task for each agent |

pub(crate) mod actions;
pub(crate) mod client;
mod connection;
pub(crate) mod requests;
pub(crate) mod stream;
pub(crate) mod tasks;
mod transport;
