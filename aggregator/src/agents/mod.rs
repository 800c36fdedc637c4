//! Client of one host's agent, and the tasks that follow all agents.
//!
//! | module | holds |
//! |---|---|
//! | `client` | the connection to an agent, and checks of what it sends |
//! | `requests` | scans, actions, logs, reloads |
//! | `stream` | the report stream, and what is sent to the agent meanwhile |
//! | `tasks` | one task for each agent |

pub(crate) mod client;
pub(crate) mod requests;
pub(crate) mod stream;
pub(crate) mod tasks;
