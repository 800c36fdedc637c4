//! Rate limit for requests that act. Pure; the time is a value.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Number of requests that a client may make at once, after a pause.
const BURST: u32 = 60;
/// Interval at which a client may make one more.
const INTERVAL: Duration = Duration::from_millis(500);
/// Number of clients from which on those that are at rest are forgotten.
const MAX_CLIENTS: usize = 1000;

/// Rates of all clients. One that asks too often is refused, and loses nothing by waiting.
#[derive(Debug, Default)]
pub(super) struct RequestRates {
    /// Time at which the whole burst is available again, for each client.
    rested_at: HashMap<String, Instant>,
}

impl RequestRates {
    /// Counts a request of `client` at `now`.
    ///
    /// # Errors
    /// Returns the time to wait if the client has made too many.
    pub(super) fn count(&mut self, client: &str, now: Instant) -> Result<(), Duration> {
        if self.rested_at.len() >= MAX_CLIENTS {
            self.rested_at.retain(|_, rested_at| *rested_at > now);
        }
        let rested_at = self.rested_at.get(client).copied().unwrap_or(now).max(now);
        let next = rested_at + INTERVAL;
        match next.saturating_duration_since(now).checked_sub(INTERVAL * BURST) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                self.rested_at.insert(client.to_owned(), next);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_is_allowed_and_then_one_request_an_interval() {
        let (mut rates, begin) = (RequestRates::default(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(rates.count("ann", begin), Ok(()));
        }
        assert_eq!(rates.count("ann", begin), Err(INTERVAL));
        // A refused request costs nothing.
        assert_eq!(rates.count("ann", begin), Err(INTERVAL));
        assert_eq!(rates.count("bob", begin), Ok(()));
        assert_eq!(rates.count("ann", begin + INTERVAL), Ok(()));
        assert_eq!(rates.count("ann", begin + INTERVAL + INTERVAL / 2), Err(INTERVAL / 2));
    }

    #[test]
    fn clients_at_rest_are_forgotten() {
        let (mut rates, begin) = (RequestRates::default(), Instant::now());
        for client in 0..MAX_CLIENTS {
            assert_eq!(rates.count(&client.to_string(), begin), Ok(()));
        }
        assert_eq!(rates.count("later", begin + INTERVAL), Ok(()));
        assert_eq!(rates.rested_at.len(), 1);
    }
}
