//! How an instance was over a length of time: pure. Every moment has a state, and what was not recorded says so.
//!
//! | module | holds |
//! |---|---|
//! | `shown` | what of an overview is noted, for strips to come |
//! | `remembered` | those of all, as they were made last |
//! | `words` | a strip as a sentence |

pub(crate) mod remembered;
pub(crate) mod shown;
#[cfg(test)]
mod tests;
pub(crate) mod words;

use jiff::{SignedDuration, Timestamp};
use rta_shared::overview::{Health, InstanceOverview};
use serde::Serialize;

/// How an instance was shown to be for a while.
///
/// Ordered from what may be overlooked to what may not: where there is no room for each, the greatest is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stretch {
    /// [`Health::Up`].
    Up,
    /// It was in maintenance, however it was beside that.
    Maintenance,
    /// Nobody looked, or what was seen is lost.
    #[serde(rename = "not recorded")]
    NotRecorded,
    /// [`Health::Unknown`]: somebody looked, and could not see.
    Unknown,
    /// [`Health::Degraded`].
    Degraded,
    /// [`Health::Down`].
    Down,
}

impl Stretch {
    /// Every value, in its order.
    pub(crate) const ALL: [Self; 6] =
        [Self::Up, Self::Maintenance, Self::NotRecorded, Self::Unknown, Self::Degraded, Self::Down];

    /// The word shown to people, and kept in the record.
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

    /// The state of this word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }

    /// How an instance is shown.
    pub(crate) fn of(instance: &InstanceOverview) -> Self {
        match (&instance.maintenance, instance.health) {
            (Some(_), _) => Self::Maintenance,
            (None, Health::Up) => Self::Up,
            (None, Health::Degraded) => Self::Degraded,
            (None, Health::Unknown) => Self::Unknown,
            (None, Health::Down) => Self::Down,
        }
    }
}

/// From this moment on an instance was shown so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at: Timestamp,
    pub(crate) state: Stretch,
}

/// In this time no aggregator ran, or what it noted is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

/// A time in which the state was the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Span {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) state: Stretch,
}

impl Span {
    pub(crate) fn length(&self) -> SignedDuration {
        self.to.duration_since(self.from)
    }
}

/// How one instance was from one moment to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Strip {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// In order and without holes, from the one moment to the other; no two neighbours have the same state.
    pub(crate) spans: Vec<Span>,
}

impl Strip {
    /// The strip from `from` to `to`, by an instance's `marks` in the order in which they were noted, and the `gaps`
    /// of the record in any. What neither tells is not recorded: before the first mark, in a gap, and from a gap on
    /// to the next mark, since what changed in between was not noted. Where the clock was set back two moments have
    /// the same time, and nothing is told of them.
    pub(crate) fn from_marks(from: Timestamp, to: Timestamp, marks: &[Mark], gaps: &[Gap]) -> Self {
        let mut pieces: Vec<Span> = Vec::with_capacity(marks.len());
        // No moment before has been told of yet.
        let mut latest = Timestamp::MIN;
        for (at, mark) in marks.iter().enumerate() {
            if mark.at < latest {
                take_back(&mut pieces, mark.at);
            }
            latest = latest.max(mark.at);
            let until = match marks.get(at + 1) {
                Some(next) => next.at,
                None => to,
            };
            if until > to {
                // The next one is of a clock that was ahead: it is true already, nobody knows since when.
                continue;
            }
            let end = gaps
                .iter()
                .filter(|gap| gap.until > mark.at && gap.until > gap.since)
                .map(|gap| gap.since)
                .fold(until, Timestamp::min);
            if end > latest {
                pieces.push(Span { from: latest, to: end, state: mark.state });
            }
        }
        Self { from, to, spans: filled(from, to, &pieces) }
    }

    /// The share of the time, in percent, in which it ran, as monitors of services count it: up and degraded are
    /// running, down is not; maintenance is agreed and does not count. What is unknown or not recorded is neither,
    /// and is told apart. `None` where nothing is left.
    pub(crate) fn uptime(&self) -> Option<f64> {
        let ran = self.total(Stretch::Up) + self.total(Stretch::Degraded);
        let known = ran + self.total(Stretch::Down);
        (known > SignedDuration::ZERO).then(|| 100.0 * ran.as_secs_f64() / known.as_secs_f64())
    }

    /// For how long it was so, all together.
    pub(crate) fn total(&self, state: Stretch) -> SignedDuration {
        let lengths = self.spans.iter().filter(|span| span.state == state).map(Span::length);
        lengths.fold(SignedDuration::ZERO, SignedDuration::saturating_add)
    }

    /// How many times it was so.
    pub(crate) fn times(&self, state: Stretch) -> usize {
        self.spans.iter().filter(|span| span.state == state).count()
    }
}

/// Nothing is told of the time after `at` any more.
fn take_back(pieces: &mut Vec<Span>, at: Timestamp) {
    pieces.retain(|piece| piece.from < at);
    for piece in pieces {
        piece.to = piece.to.min(at);
    }
}

/// The pieces that lie between `from` and `to`, with what is not recorded between them, and equal ones joined.
fn filled(from: Timestamp, to: Timestamp, pieces: &[Span]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::with_capacity(pieces.len() + 1);
    let mut add = |span: Span| match spans.last_mut() {
        _ if span.from >= span.to => {}
        Some(last) if last.state == span.state => last.to = span.to,
        _ => spans.push(span),
    };
    let mut told = from;
    for piece in pieces {
        let piece = Span { from: piece.from.max(told), to: piece.to.min(to), ..*piece };
        if piece.from < piece.to {
            add(Span { from: told, to: piece.from, state: Stretch::NotRecorded });
            add(piece);
            told = piece.to;
        }
    }
    add(Span { from: told, to, state: Stretch::NotRecorded });
    spans
}
