//! A connection that was lost: since when, and when it is back for good.

use std::time::{Duration, Instant};

/// What has lasted so long is there: longer than a cut connection goes unnoticed.
const STEADY: Duration = Duration::from_secs(10);

/// Whether a connection is lost. One that is made anew and breaks off at once stays lost, so that it is not tried
/// for ever.
#[derive(Debug, Default)]
pub(super) struct Loss {
    since: Option<Instant>,
    /// When it was made anew.
    renewed: Option<Instant>,
}

impl Loss {
    /// It broke off; since when it counts as lost, and whether that is new.
    pub(super) fn begin(&mut self, now: Instant) -> (Instant, bool) {
        self.settle(now);
        self.renewed = None;
        let is_news = self.since.is_none();
        (*self.since.get_or_insert(now), is_news)
    }

    /// It was made anew.
    pub(super) fn renew(&mut self, now: Instant) {
        self.renewed = Some(now);
    }

    /// Something new was heard.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// Time has passed.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.renewed.is_some_and(|renewed| now.saturating_duration_since(renewed) >= STEADY) {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_breaks_off_at_once_stays_lost_and_one_that_lasts_is_back() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut loss = Loss::default();
        assert_eq!(loss.begin(start), (start, true));
        loss.renew(after(1));
        loss.settle(after(2));
        assert_eq!(loss.begin(after(3)), (start, false));
        loss.renew(after(4));
        // A step that takes long tells nothing new.
        loss.settle(after(600));
        assert_eq!(loss.begin(after(601)), (after(601), true));
        loss.renew(after(602));
        loss.end();
        assert_eq!(loss.begin(after(603)), (after(603), true));
    }
}
