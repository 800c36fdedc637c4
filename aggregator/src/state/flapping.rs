//! Agents that come and go over and over. Pure.
//!
//! Each return of an agent and each loss of it changes the health of a whole host and of what needs it. An agent
//! that does so all the time counts as lost all the time, until it stays: one event, not thousands.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Number of losses within [`WINDOW`] from which an agent is flapping.
const MIN_LOSSES: usize = 5;
/// Time for which losses count.
const WINDOW: Duration = Duration::from_secs(60);
/// Time for which a flapping agent has to stay before it is believed again.
pub(crate) const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Reason why the host of a flapping agent is unknown. It contains nothing that changes.
pub(crate) const FLAPPING_REASON: &str = "its agent is flapping: it answers and is lost over and over; the host \
                                          counts as unknown until the agent has stayed for 10 s";

/// Contact with one agent.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContactHistory {
    is_connected: bool,
    losses: VecDeque<Instant>,
    is_flapping: bool,
}

impl ContactHistory {
    /// Notes that the agent answers.
    pub(crate) fn note_answer(&mut self) {
        self.is_connected = true;
    }

    /// Notes at `now` that the agent is lost, or still does not answer.
    pub(crate) fn note_loss(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_connected) {
            if self.losses.len() >= MIN_LOSSES {
                self.losses.pop_front();
            }
            self.losses.push_back(now);
        }
    }

    /// Returns true if the agent is flapping at `now`.
    pub(crate) fn update(&mut self, now: Instant) -> bool {
        let age = |loss: &Instant| now.saturating_duration_since(*loss);
        while self.losses.front().is_some_and(|loss| age(loss) > WINDOW) {
            self.losses.pop_front();
        }
        self.is_flapping = match self.losses.back().map(age) {
            // An agent that does not come back is lost, and no longer flapping.
            None => false,
            Some(age) if self.is_flapping => !(self.is_connected && age >= STABLE_AFTER),
            Some(_) => self.losses.len() >= MIN_LOSSES && !self.is_connected,
        };
        self.is_flapping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_flaps_after_several_losses_until_it_stays() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut contact = ContactHistory::default();
        let lose = |contact: &mut ContactHistory, second: u64| {
            contact.note_answer();
            let is_flapping = contact.update(at(second));
            contact.note_loss(at(second));
            // Failed attempts to reach it are no further losses.
            contact.note_loss(at(second));
            (is_flapping, contact.update(at(second)))
        };
        // Rare losses are none.
        for second in [0, 30, 60, 90, 120] {
            assert_eq!(lose(&mut contact, second), (false, false));
        }
        let flapping: Vec<_> = [200, 201, 202, 203, 204].map(|second| lose(&mut contact, second)).to_vec();
        assert_eq!(flapping[3..], [(false, false), (false, true)]);
        assert_eq!(lose(&mut contact, 205), (true, true));
        contact.note_answer();
        assert!(contact.update(at(214)));
        assert!(!contact.update(at(215)));
        // It is believed, but not for long.
        assert_eq!(lose(&mut contact, 220), (false, true));
        // It does not come back.
        contact.note_loss(at(270));
        assert!(contact.update(at(270)));
        assert!(!contact.update(at(281)));
    }
}
