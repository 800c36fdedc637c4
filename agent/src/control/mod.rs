//! Starting and stopping components.
//!
//! | module | holds |
//! |---|---|
//! | `action` | one action at a time for a component, each with a limit of its own, each told as it goes on |
//! | `act`, `engine` | what an action works with; which engine it is for |
//! | `news` | telling how far an action is |
//! | `refusal` | why an action was not done |
//! | `eyes` | an action's view of its component |
//! | `systemd_engine` | having systemd do it, with the component's processes as the proof |
//! | `start`, `probing` | launching, until it is stable |
//! | `aftermath` | ending what a failed start leaves |
//! | `stop`, `chase`, `held` | asking it to end, until nothing of it is left |
//! | `supervisor` | what else would bring it back |
//! | `suspension` | processes that cannot act on a signal, as sentences |
//! | `restart` | both |
//! | `launch`, `ending` | running a command detached, and how it ended |
//! | `table`, `scope` | who is whose child; what belongs to a component |
//! | `gate` | a child that waits until it is on record |
//! | `launches`, `launch_record` | what was begun, kept for the next agent |
//! | `takeover`, `take_up`, `resume` | going on with what an earlier agent began |
//! | `cgroup`, `marks` | what tells what the agent started from all else |

mod act;
pub(crate) mod action;
mod aftermath;
pub(crate) mod cgroup;
mod chase;
pub(crate) mod ending;
mod engine;
pub(crate) mod eyes;
mod gate;
mod held;
pub(crate) mod launch;
mod launch_record;
pub(crate) mod launches;
mod marks;
mod news;
mod probing;
mod refusal;
mod restart;
mod resume;
mod scope;
mod start;
mod stop;
mod supervisor;
mod suspension;
mod systemd_engine;
mod table;
mod take_up;
mod takeover;
