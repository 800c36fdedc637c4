//! Limits of what components use: which are exceeded, and since when. Nothing is ever restarted or stopped
//! for them.
//!
//! | module | holds |
//! |---|---|
//! | `sustained` | when a limit counts as exceeded, and when it is over; pure |
//! | `tracker` | compares measurements with the limits of all components; pure |

mod sustained;
mod tracker;

pub(crate) use self::tracker::{
    LimitFindings, LimitReports, LimitTracker, MeasuredUsage, unchecked_sentence,
};
