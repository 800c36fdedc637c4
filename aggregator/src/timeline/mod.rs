//! Timelines: the states of an instance over a period. Pure. Every moment has a state, also if nothing was
//! recorded.
//!
//! | module | holds |
//! |---|---|
//! | `cache` | cache of the timelines of all instances |
//! | `description` | a timeline as a sentence |

pub(crate) mod cache;
pub(crate) mod description;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};
use rta_shared::overview::{Health, InstanceOverview};
use serde::Serialize;

/// State of an instance on a timeline.
///
/// Ordered by importance: where there is no room to draw each state, the greatest is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TimelineState {
    /// [`Health::Up`].
    Up,
    /// The instance was in maintenance, whatever its health.
    Maintenance,
    /// No aggregator ran, or its data is lost.
    #[serde(rename = "not recorded")]
    NotRecorded,
    /// [`Health::Unknown`]: the aggregator ran, and could not determine the state.
    Unknown,
    /// [`Health::Degraded`].
    Degraded,
    /// [`Health::Down`].
    Down,
}

impl TimelineState {
    /// Values in ascending order.
    pub(crate) const ALL: [Self; 6] =
        [Self::Up, Self::Maintenance, Self::NotRecorded, Self::Unknown, Self::Degraded, Self::Down];

    /// Returns the word for people, which is also stored in the event store.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Maintenance => "maintenance",
            Self::NotRecorded => "not recorded",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }

    /// Returns the state for a word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Returns the state of an instance in an overview.
    pub(crate) fn of_instance(instance: &InstanceOverview) -> Self {
        match (&instance.maintenance, instance.health) {
            (Some(_), _) => Self::Maintenance,
            (None, Health::Up) => Self::Up,
            (None, Health::Degraded) => Self::Degraded,
            (None, Health::Unknown) => Self::Unknown,
            (None, Health::Down) => Self::Down,
        }
    }
}

/// State of an instance from a moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimelineSample {
    pub(crate) at: Timestamp,
    pub(crate) state: TimelineState,
}

/// Time in which no aggregator ran, or whose data is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordingGap {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

/// Time in which the state was the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TimelineSpan {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) state: TimelineState,
}

impl TimelineSpan {
    pub(crate) fn length(&self) -> SignedDuration {
        self.to.duration_since(self.from)
    }
}

/// Timeline of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Timeline {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Spans in order and without holes, from `from` to `to`; two neighbours have different states.
    pub(crate) spans: Vec<TimelineSpan>,
}

impl Timeline {
    /// Creates the timeline from `from` to `to`, from an instance's `samples` in recording order and the
    /// `gaps` of the event store in any order. Times without data are "not recorded": before the first
    /// sample, in a gap, and from a gap to the next sample, since changes in between may be missing. If the
    /// clock was set back, the times that occurred twice are not recorded either.
    pub(crate) fn from_samples(
        from: Timestamp,
        to: Timestamp,
        samples: &[TimelineSample],
        gaps: &[RecordingGap],
    ) -> Self {
        let mut pieces: Vec<TimelineSpan> = Vec::with_capacity(samples.len());
        // End of the time that is covered so far.
        let mut latest = Timestamp::MIN;
        for (at, sample) in samples.iter().enumerate() {
            if sample.at < latest {
                cut_after(&mut pieces, sample.at);
            }
            latest = latest.max(sample.at);
            let until = match samples.get(at + 1) {
                Some(next) => next.at,
                None => to,
            };
            if until > to {
                // The next sample was made with a clock that was ahead: its state is valid, but its start is
                // unknown.
                continue;
            }
            let end = gaps
                .iter()
                .filter(|gap| gap.until > sample.at && gap.until > gap.since)
                .map(|gap| gap.since)
                .fold(until, Timestamp::min);
            if end > latest {
                pieces.push(TimelineSpan { from: latest, to: end, state: sample.state });
            }
        }
        Self { from, to, spans: fill_holes(from, to, &pieces) }
    }

    /// Returns the share of the time, in percent, in which the instance ran, as service monitors count it: up
    /// and degraded count as running, down does not; maintenance is agreed and excluded. Unknown and
    /// unrecorded times are excluded and reported separately. `None` if no time is left.
    pub(crate) fn uptime(&self) -> Option<f64> {
        let ran = self.total_time(TimelineState::Up) + self.total_time(TimelineState::Degraded);
        let known = ran + self.total_time(TimelineState::Down);
        (known > SignedDuration::ZERO).then(|| 100.0 * ran.as_secs_f64() / known.as_secs_f64())
    }

    /// Returns the total time in this state.
    pub(crate) fn total_time(&self, state: TimelineState) -> SignedDuration {
        let lengths = self.spans.iter().filter(|span| span.state == state).map(TimelineSpan::length);
        lengths.fold(SignedDuration::ZERO, SignedDuration::saturating_add)
    }

    /// Returns the number of spans in this state.
    pub(crate) fn count_spans(&self, state: TimelineState) -> usize {
        self.spans.iter().filter(|span| span.state == state).count()
    }
}

/// Removes the time after `at` from the pieces.
fn cut_after(pieces: &mut Vec<TimelineSpan>, at: Timestamp) {
    pieces.retain(|piece| piece.from < at);
    for piece in pieces {
        piece.to = piece.to.min(at);
    }
}

/// Returns the spans between `from` and `to`: fills holes with "not recorded", and joins equal neighbours.
fn fill_holes(from: Timestamp, to: Timestamp, pieces: &[TimelineSpan]) -> Vec<TimelineSpan> {
    let mut spans: Vec<TimelineSpan> = Vec::with_capacity(pieces.len() + 1);
    let mut add = |span: TimelineSpan| match spans.last_mut() {
        _ if span.from >= span.to => {}
        Some(last) if last.state == span.state => last.to = span.to,
        _ => spans.push(span),
    };
    let mut described_until = from;
    for piece in pieces {
        let piece = TimelineSpan { from: piece.from.max(described_until), to: piece.to.min(to), ..*piece };
        if piece.from < piece.to {
            add(TimelineSpan { from: described_until, to: piece.from, state: TimelineState::NotRecorded });
            add(piece);
            described_until = piece.to;
        }
    }
    add(TimelineSpan { from: described_until, to, state: TimelineState::NotRecorded });
    spans
}
