//! Timeline samples and recording gaps that are pending.

use std::collections::HashMap;

use jiff::Timestamp;
use rta_shared::overview::InstanceId;

use super::query::{TimelineQuery, TimelineRows};
use super::rows::{RowCache, samples as rows};
use super::sql::{SqlSession, StoreError};
use crate::timeline::{RecordingGap, TimelineSample, TimelineState};

/// Maximum number of pending samples while they cannot be written, or two for each instance if that is more.
const MAX_PENDING_SAMPLES: usize = 50_000;
/// Maximum number of pending gaps while they cannot be written.
const MAX_PENDING_GAPS: usize = 100;

/// Pending samples and gaps, and the last state of each instance.
#[derive(Debug, Default)]
pub(crate) struct PendingSamples {
    samples: Vec<(InstanceId, TimelineSample)>,
    gaps: Vec<RecordingGap>,
    states: HashMap<InstanceId, TimelineState>,
}

impl PendingSamples {
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.gaps.is_empty()
    }

    /// Adds the states of instances from `at` on.
    pub(crate) fn add(&mut self, at: Timestamp, shown: Vec<(InstanceId, TimelineState)>) {
        for (instance, state) in shown {
            match state {
                TimelineState::NotRecorded => self.states.remove(&instance),
                state => self.states.insert(instance.clone(), state),
            };
            self.samples.push((instance, TimelineSample { at, state }));
        }
        if self.samples.len() <= MAX_PENDING_SAMPLES.max(2 * self.states.len()) {
            return;
        }
        // The samples that led to the current state are lost.
        let since = self.samples.iter().map(|(_, sample)| sample.at).min().unwrap_or(at);
        self.samples.clear();
        self.add_gap(RecordingGap { since: since.min(at), until: at });
        self.repeat_states(at);
    }

    /// Adds the current state of every instance at `at`, since earlier samples may be lost.
    pub(crate) fn repeat_states(&mut self, at: Timestamp) {
        let all = self
            .states
            .iter()
            .map(|(instance, state)| (instance.clone(), TimelineSample { at, state: *state }));
        self.samples.extend(all);
    }

    pub(crate) fn add_gap(&mut self, gap: RecordingGap) {
        self.gaps.push(gap);
        if self.gaps.len() > MAX_PENDING_GAPS {
            let since = self.gaps.iter().map(|gap| gap.since).min().unwrap_or(gap.since);
            self.gaps = vec![RecordingGap { since, until: gap.until }];
        }
    }

    /// Writes everything within the caller's transaction.
    pub(crate) fn write_all(
        &self,
        session: &mut dyn SqlSession,
        cache: &mut RowCache,
    ) -> Result<(), StoreError> {
        for (instance, sample) in &self.samples {
            rows::write_sample(session, cache, instance, *sample)?;
        }
        for gap in &self.gaps {
            rows::write_gap(session, *gap)?;
        }
        Ok(())
    }

    /// Removes everything after a successful write.
    pub(crate) fn clear_written(&mut self) {
        self.samples.clear();
        self.gaps.clear();
    }

    /// Adds the pending samples and gaps to those read from the database.
    pub(crate) fn add_pending_to(&self, rows: &mut TimelineRows, query: &TimelineQuery) {
        let wanted = |instance: &InstanceId| query.instance.as_ref().is_none_or(|wanted| wanted == instance);
        for (instance, sample) in self.samples.iter().filter(|(instance, _)| wanted(instance)) {
            rows.samples.entry(instance.clone()).or_default().push(*sample);
        }
        rows.gaps.extend(&self.gaps);
    }
}
