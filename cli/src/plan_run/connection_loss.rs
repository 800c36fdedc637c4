//! Tracks a lost connection: the time of the loss, and when it counts as restored.

use std::time::{Duration, Instant};

/// Minimum lifetime of a restored connection before it counts as stable. Longer than a cut
/// connection goes unnoticed.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Connection loss. A connection that is restored and breaks off at once still counts as lost, so that
/// reconnecting does not go on forever.
#[derive(Debug, Default)]
pub(super) struct ConnectionLoss {
    lost_since: Option<Instant>,
    /// Time of the last reconnect.
    reconnected_at: Option<Instant>,
}

impl ConnectionLoss {
    /// Records a loss. Returns the time since which the connection counts as lost, and
    /// true if the loss is new.
    pub(super) fn record_loss(&mut self, now: Instant) -> (Instant, bool) {
        self.clear_if_stable(now);
        self.reconnected_at = None;
        let is_news = self.lost_since.is_none();
        (*self.lost_since.get_or_insert(now), is_news)
    }

    /// Records a reconnect.
    pub(super) fn record_reconnect(&mut self, now: Instant) {
        self.reconnected_at = Some(now);
    }

    /// Ends the loss, because new data arrived.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Ends the loss if the connection has been stable long enough.
    pub(super) fn clear_if_stable(&mut self, now: Instant) {
        if self.reconnected_at.is_some_and(|renewed| now.saturating_duration_since(renewed) >= STABLE_AFTER) {
            self.clear();
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
        let mut loss = ConnectionLoss::default();
        assert_eq!(loss.record_loss(start), (start, true));
        loss.record_reconnect(after(1));
        loss.clear_if_stable(after(2));
        assert_eq!(loss.record_loss(after(3)), (start, false));
        loss.record_reconnect(after(4));
        // A long step produces no new data.
        loss.clear_if_stable(after(600));
        assert_eq!(loss.record_loss(after(601)), (after(601), true));
        loss.record_reconnect(after(602));
        loss.clear();
        assert_eq!(loss.record_loss(after(603)), (after(603), true));
    }
}
