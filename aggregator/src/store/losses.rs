//! Numbers of events and samples that are lost because the queue is full.

use std::sync::atomic::{AtomicU64, Ordering};

use rta_shared::format::counted;

/// Counters of losses, which callers increase and the thread reports.
#[derive(Debug, Default)]
pub(crate) struct LossCounters {
    events: AtomicU64,
    /// Calls of `record_samples`, each with the samples of one moment.
    samples: AtomicU64,
}

/// Losses since the previous report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    pub(crate) events: u64,
    pub(crate) samples: u64,
}

impl LossCounters {
    /// Counts an event that is lost.
    pub(crate) fn count_event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the samples of one moment, which are lost.
    pub(crate) fn count_samples(&self) {
        self.samples.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the losses since the previous call.
    pub(crate) fn take(&self) -> Losses {
        Losses {
            events: self.events.swap(0, Ordering::Relaxed),
            samples: self.samples.swap(0, Ordering::Relaxed),
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
    fn events_and_samples_are_counted_apart() {
        let counters = LossCounters::default();
        assert_eq!(counters.take().describe(), None);
        counters.count_event();
        counters.count_event();
        assert_eq!(counters.take().describe().as_deref(), Some("2 events"));
        counters.count_samples();
        assert_eq!(counters.take(), Losses { events: 0, samples: 1 });
        let both = Losses { events: 1, samples: 3 };
        assert_eq!(both.describe().as_deref(), Some("1 event and 3 samples of the history"));
    }
}
