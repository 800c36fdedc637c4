//! Relay of the states of hosts: one of several aggregators follows the agents of the environments that it leads, and
//! gets the states of the other hosts from the leaders of their environments.
//!
//! So an agent has one aggregator to report to, however many there are. While nobody passes an environment on, such
//! as during a change of its leader, each aggregator follows its agents itself: nothing is unknown that can be known.
//!
//! | module | holds |
//! |---|---|
//! | `follower` | the choice, for each environment, between its agents and a relay |
//! | `source` | those who pass an environment on |
//! | `task` | the task that receives the states of one environment |
//! | `progress` | how far each environment has been received |
//! | `wire` | the messages between aggregators |

mod follower;
mod progress;
mod source;
mod task;
pub(crate) mod wire;

pub(crate) use follower::HostFollower;
pub(crate) use progress::RelayProgress;
pub(crate) use source::{RelaySource, RelaySources, are_same_sources};
