//! Run history of the components: whether each runs, or why it does not any more. Kept in the state folder for the next
//! agent.
//!
//! | module | holds |
//! |---|---|
//! | `history` | from what is observed to why a component is down; pure |
//! | `exit_statuses` | how processes ended, as the kernel's events tell it |
//! | `inquiry` | what is asked after an end: its exit status, the log's last line, the kernel's log |
//! | `kernel_log` | which processes the kernel killed for lack of memory |

mod exit_statuses;
mod history;
mod inquiry;
mod kernel_log;

pub(crate) use self::exit_statuses::{ExitRecord, ExitStatuses};
pub(crate) use self::history::{ComponentObservation, FailedStart, HostBoot, RunHistory, RunRecord};
pub(crate) use self::inquiry::{InquiryResult, inquire};
