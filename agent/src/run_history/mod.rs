//! Run history of the components: the current run of each, or the reason why it is down. Kept in the state
//! folder for the next agent.
//!
//! | module | holds |
//! |---|---|
//! | `history` | derives from observations why a component is down; pure |
//! | `exit_statuses` | exit statuses from the kernel's events |
//! | `inquiry` | inquiry after an end: its exit status, the log's last line, the kernel's log |
//! | `launched_exits` | exit statuses of launched commands |
//! | `kernel_log` | processes that the kernel killed for lack of memory |

mod exit_statuses;
mod history;
mod inquiry;
mod kernel_log;
mod launched_exits;

pub(crate) use self::exit_statuses::{ExitRecord, ExitStatuses};
pub(crate) use self::history::{ComponentObservation, FailedStart, HostBoot, RunHistory, RunRecord};
pub(crate) use self::inquiry::{InquiryResult, inquire};
pub(crate) use self::launched_exits::LaunchedExits;
