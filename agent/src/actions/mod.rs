//! Starting and stopping components.
//!
//! | module | holds |
//! |---|---|
//! | `action` | runs one action at a time per component, each with a time limit and progress events |
//! | `act`, `engine` | context of an action; selection of its engine |
//! | `news` | progress events of an action |
//! | `refusal` | errors of actions |
//! | `eyes` | view of an action on its component |
//! | `systemd_engine` | actions by systemd, verified on the component's processes |
//! | `start`, `probing` | launching a component and waiting until it is stable |
//! | `aftermath` | cleanup after a failed start |
//! | `stop`, `chase`, `held` | ending a component's processes until none is left |
//! | `supervisor` | detection of other programs that would restart a component |
//! | `suspension` | sentences on processes that cannot act on a signal |
//! | `restart` | stop and start |
//! | `launch`, `ending` | running a command detached; formatting its exit status |
//! | `table`, `scope` | process tree; processes that belong to a component |
//! | `gate` | a child that waits until it is recorded |
//! | `launches`, `launch_record` | records of actions and launches for the next agent |
//! | `takeover`, `take_up`, `resume` | continuing actions of an earlier agent |
//! | `cgroup`, `marks` | identification of the processes that the agent started |

pub(crate) mod cgroup;
pub(crate) mod component_view;
mod context;
mod engine;
mod error;
pub(crate) mod exit_status;
mod external_supervisor;
mod failed_start_cleanup;
mod gate;
pub(crate) mod launch;
mod launch_record;
pub(crate) mod launched_sessions;
mod marked_processes;
mod pidfd_process;
mod process_tree;
mod progress;
mod recovery;
mod recovery_decision;
mod restart;
mod resume;
pub(crate) mod runner;
mod scope;
mod start;
mod start_probe;
mod stop;
mod stop_targets;
mod suspended_processes;
mod systemd;
