//! Limit of probe commands that run at the same time. Without it all commands of a host begin together when
//! the agent starts, and commands that start a JVM make each other miss their time limits.

use std::sync::Arc;
use std::time::Duration;

use rta_shared::config::ProbeMethod;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Commands that run at the same time, for each CPU.
const COMMANDS_PER_CPU: usize = 2;
/// Longest time for which a command waits for others: those that hang delay no other probe for longer.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Turns of commands; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new(COMMANDS_PER_CPU * cpus)
    }
}

impl Turns {
    fn new(commands: usize) -> Self {
        Self(Arc::new(Semaphore::new(commands)))
    }

    /// Waits for the turn of an attempt, which ends when the result is dropped. `None`: it needs no turn, or
    /// has waited for too long.
    pub(super) async fn take(&self, question: &ProbeMethod) -> Option<OwnedSemaphorePermit> {
        if !matches!(question, ProbeMethod::Command(_)) {
            return None;
        }
        timeout(MAX_WAIT, Arc::clone(&self.0).acquire_owned()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn commands_wait_for_each_other_but_not_for_hanging_ones() {
        let (turns, command) = (Turns::new(1), ProbeMethod::command(["true"]));
        let first = turns.take(&command).await;
        assert!(first.is_some());
        let began = Instant::now();
        assert!(turns.take(&ProbeMethod::tcp("127.0.0.1:1")).await.is_none());
        assert!(began.elapsed().is_zero(), "only commands wait");
        assert!(turns.take(&command).await.is_none());
        assert_eq!(began.elapsed(), MAX_WAIT);
        let waiting = tokio::spawn({
            let (turns, command) = (turns.clone(), command.clone());
            async move { turns.take(&command).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiting.await.unwrap());
    }
}
