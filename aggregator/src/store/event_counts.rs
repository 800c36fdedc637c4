//! Number of events of each kind since the program began.

use std::sync::atomic::{AtomicU64, Ordering};

use rta_shared::event::EventKind;

/// Counters of events by kind, in the order of [`EventKind::ALL`].
#[derive(Debug, Default)]
pub(crate) struct EventCounts([AtomicU64; EventKind::ALL.len()]);

impl EventCounts {
    /// Counts an event.
    pub(crate) fn count(&self, kind: EventKind) {
        if let Some((_, counter)) = self.counters().find(|(other, _)| *other == kind) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the count of each kind.
    pub(crate) fn all(&self) -> Vec<(EventKind, u64)> {
        self.counters().map(|(kind, counter)| (kind, counter.load(Ordering::Relaxed))).collect()
    }

    fn counters(&self) -> impl Iterator<Item = (EventKind, &AtomicU64)> {
        EventKind::ALL.into_iter().zip(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_counted_apart() {
        let counts = EventCounts::default();
        counts.count(EventKind::Health);
        counts.count(EventKind::Aggregator);
        counts.count(EventKind::Aggregator);
        let counted: Vec<_> = counts.all().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(EventKind::Health, 1), (EventKind::Aggregator, 2)]);
        assert_eq!(counts.all().len(), EventKind::ALL.len());
    }
}
