//! Numbers of failures of the store, and of events and samples that are lost because the queue is full.

use std::sync::atomic::{AtomicU64, Ordering};

use rta_shared::format::counted;

/// Counters of failures, which only grow. Callers count losses, which the thread reports.
#[derive(Debug, Default)]
pub(crate) struct StoreErrorCounters {
    writes: AtomicU64,
    reads: AtomicU64,
    lost_events: AtomicU64,
    /// Calls of `record_samples`, each with the samples of one moment.
    lost_samples: AtomicU64,
    /// Losses that the thread has reported.
    reported_events: AtomicU64,
    reported_samples: AtomicU64,
}

/// Failures since the aggregator began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoreErrorCounts {
    /// Attempts to write that failed.
    pub(crate) write: u64,
    /// Attempts to read that failed.
    pub(crate) read: u64,
    pub(crate) lost_events: u64,
    /// Moments whose samples are lost.
    pub(crate) lost_samples: u64,
}

/// Losses since the previous report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    pub(crate) events: u64,
    pub(crate) samples: u64,
}

impl StoreErrorCounters {
    /// Counts an attempt to write that failed.
    pub(crate) fn count_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an attempt to read that failed.
    pub(crate) fn count_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an event that is lost because the queue is full.
    pub(crate) fn count_event(&self) {
        self.lost_events.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the samples of one moment, which are lost because the queue is full.
    pub(crate) fn count_samples(&self) {
        self.lost_samples.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts events that are lost, and reported elsewhere.
    pub(crate) fn count_reported_events(&self, events: u64) {
        self.lost_events.fetch_add(events, Ordering::Relaxed);
        self.reported_events.fetch_add(events, Ordering::Relaxed);
    }

    /// Returns the losses since the previous call, which the thread alone makes.
    pub(crate) fn take_losses(&self) -> Losses {
        let take = |all: &AtomicU64, reported: &AtomicU64| {
            let all = all.load(Ordering::Relaxed);
            all.saturating_sub(reported.swap(all, Ordering::Relaxed))
        };
        Losses {
            events: take(&self.lost_events, &self.reported_events),
            samples: take(&self.lost_samples, &self.reported_samples),
        }
    }

    /// Returns all failures since the aggregator began.
    pub(crate) fn counts(&self) -> StoreErrorCounts {
        StoreErrorCounts {
            write: self.writes.load(Ordering::Relaxed),
            read: self.reads.load(Ordering::Relaxed),
            lost_events: self.lost_events.load(Ordering::Relaxed),
            lost_samples: self.lost_samples.load(Ordering::Relaxed),
        }
    }
}

impl Losses {
    /// Returns the lost items as `2 events and 1 sample of the history`; `None` without a loss.
    pub(crate) fn describe(self) -> Option<String> {
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let events = (self.events > 0).then(|| counted(number(self.events), "event"));
        let samples =
            (self.samples > 0).then(|| format!("{} of the history", counted(number(self.samples), "sample")));
        match (events, samples) {
            (Some(events), Some(samples)) => Some(format!("{events} and {samples}")),
            (events, samples) => events.or(samples),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_reported_once_and_counted_for_good() {
        let counters = StoreErrorCounters::default();
        assert_eq!(counters.take_losses().describe(), None);
        counters.count_event();
        counters.count_event();
        assert_eq!(counters.take_losses().describe().as_deref(), Some("2 events"));
        counters.count_samples();
        counters.count_reported_events(5);
        assert_eq!(counters.take_losses(), Losses { events: 0, samples: 1 });
        counters.count_write();
        counters.count_read();
        counters.count_read();
        let counts = StoreErrorCounts { write: 1, read: 2, lost_events: 7, lost_samples: 1 };
        assert_eq!(counters.counts(), counts);
        let both = Losses { events: 1, samples: 3 };
        assert_eq!(both.describe().as_deref(), Some("1 event and 3 samples of the history"));
    }
}
