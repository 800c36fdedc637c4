//! One page of the timelines: the worst come first, and a page is bounded.

use rta_shared::overview::{InstanceId, LocatedInstance};

use crate::timeline::Timeline;
use crate::usage::UsageSample;
use crate::web::parts::timeline::MAX_PIECES;

/// Maximum number of instances on a page.
const MAX_ROWS: usize = 40;
/// Maximum number of pieces of all strips of a page, and minimum number for one of them.
const PIECES_OF_PAGE: usize = 1_600;
const MIN_PIECES: usize = 24;

/// Instance with its past.
pub(in crate::web) struct InstancePast<'v> {
    pub(in crate::web) located: LocatedInstance<'v>,
    pub(in crate::web) strip: &'v Timeline,
    /// Recent resource usage.
    pub(in crate::web) used: Vec<UsageSample>,
}

/// Page of instances with their past.
pub(in crate::web) struct HistoryListing<'v> {
    pub(in crate::web) past: Vec<InstancePast<'v>>,
    /// Number of instances before those of the page, and in all.
    pub(in crate::web) offset: usize,
    pub(in crate::web) total: usize,
    /// Position of the page, from 0, and number of pages.
    pub(in crate::web) at: usize,
    pub(in crate::web) pages: usize,
}

impl<'v> HistoryListing<'v> {
    /// Selects the page with this number, counted from 1; one beyond the end is the last one. `usage` is asked
    /// for the instances of the page alone.
    pub(in crate::web) fn new(
        mut all: Vec<(LocatedInstance<'v>, &'v Timeline)>,
        page: usize,
        usage: impl Fn(&InstanceId) -> Vec<UsageSample>,
    ) -> Self {
        // A stable sort keeps the configuration's order among those that fared equally.
        all.sort_by(|(_, a), (_, b)| badness(b).total_cmp(&badness(a)));
        let (total, pages) = (all.len(), all.len().div_ceil(MAX_ROWS));
        let at = page.clamp(1, pages.max(1)) - 1;
        let offset = at * MAX_ROWS;
        let past = all.into_iter().skip(offset).take(MAX_ROWS).map(|(located, strip)| {
            let used = usage(&located.id());
            InstancePast { located, strip, used }
        });
        Self { past: past.collect(), offset, total, at, pages }
    }

    /// Returns the maximum number of pieces of each strip, the fewer the more there are.
    pub(in crate::web) fn pieces_of_strip(&self) -> u16 {
        let share = (PIECES_OF_PAGE / self.past.len().max(1)).max(MIN_PIECES);
        u16::try_from(share).unwrap_or(MAX_PIECES).min(MAX_PIECES)
    }
}

/// Returns the sort key, larger for worse: the longest downtime first, then unknown uptime.
fn badness(timeline: &Timeline) -> f64 {
    match timeline.uptime() {
        Some(uptime) => 100.0 - uptime,
        // Listed before instances that were never down.
        None => f64::MIN_POSITIVE,
    }
}
