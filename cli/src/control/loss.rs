//! Tracks a lost connection: the time of the loss, and when it counts as restored.

use std::time::{Duration, Instant};

/// Minimum lifetime of a restored connection before it counts as stable. Longer than a cut
/// connection goes unnoticed.
const STEADY: Duration = Duration::from_secs(10);

/// Connection loss. A connection that is restored and breaks off at once still counts as lost, so that
/// reconnecting does not go on forever.
#[derive(Debug, Default)]
pub(super) struct Loss {
    since: Option<Instant>,
    /// Time of the last reconnect.
    renewed: Option<Instant>,
}

impl Loss {
    /// Records a loss. Returns the time since which the connection counts as lost, and
    /// true if the loss is new.
    pub(super) fn begin(&mut self, now: Instant) -> (Instant, bool) {
        self.settle(now);
        self.renewed = None;
        let is_news = self.since.is_none();
        (*self.since.get_or_insert(now), is_news)
    }

    /// Records a reconnect.
    pub(super) fn renew(&mut self, now: Instant) {
        self.renewed = Some(now);
    }

    /// Ends the loss, because new data arrived.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// Ends the loss if the connection has been stable long enough.
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
        // A long step produces no new data.
        loss.settle(after(600));
        assert_eq!(loss.begin(after(601)), (after(601), true));
        loss.renew(after(602));
        loss.end();
        assert_eq!(loss.begin(after(603)), (after(603), true));
    }
}
