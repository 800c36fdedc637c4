//! Starting and stopping components.
//!
//! | module | holds |
//! |---|---|
//! | `runner` | runs one action at a time per component, each with a time limit and progress events |
//! | `action_feed` | events of an action for all who follow it |
//! | `context`, `progress`, `error` | context, progress events and errors of an action |
//! | `component_view` | matched processes of the component, as an action reads them |
//! | `engine` | the engines, which perform actions: commands and signals of the agent, or systemd |
//! | `start_machine`, `stop_machine` | decisions of a start and a stop; pure |
//! | `stable_wait` | decision when a started component is stable; pure |
//! | `launch`, `exit_status` | running a command detached; formatting its exit status |
//! | `start_probe` | probe that a started component must pass |
//! | `failed_start_cleanup` | checks before a start, and cleanup after a failed one |
//! | `scope`, `stop_targets`, `pidfd_process` | processes that belong to a component, and ending them |
//! | `suspended_processes` | sentences on processes that cannot act on a signal |
//! | `external_supervisor` | detection of other programs that would restart a component |
//! | `action_record`, `action_records` | records of actions and launches for the next agent |
//! | `marked_processes` | finding the processes of a launch by the mark in their environment |
//! | `recovery`, `recovery_decision`, `resume` | continuing actions of an earlier agent |

pub(crate) mod action_feed;
mod action_record;
pub(crate) mod action_records;
pub(crate) mod component_view;
mod context;
mod engine;
mod error;
pub(crate) mod exit_status;
mod external_supervisor;
mod failed_start_cleanup;
pub(crate) mod launch;
mod marked_processes;
mod pidfd_process;
mod progress;
mod recovery;
mod recovery_decision;
mod resume;
pub(crate) mod runner;
mod scope;
mod stable_wait;
mod start_machine;
mod start_probe;
mod stop_machine;
mod stop_targets;
mod suspended_processes;
