//! Probes a component that was just started.

use std::time::Duration;

use rta_shared::config::ProbeRule;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::probe::Prober;

/// Pause between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Probe that is repeated until it passes. It ends when this is dropped.
pub(super) struct RepeatedProbe {
    answers: watch::Receiver<Option<Result<(), String>>>,
    task: AbortHandle,
}

impl RepeatedProbe {
    /// Starts the probe task.
    pub(super) fn start(rule: &ProbeRule) -> Self {
        let (sender, answers) = watch::channel(None);
        let mut prober = Prober::new(rule.question.clone(), rule.timeout);
        let probing = async move {
            loop {
                let answer = prober.run_attempt().await;
                let has_passed = answer.is_ok();
                sender.send_replace(Some(answer));
                if has_passed {
                    return;
                }
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        };
        Self { answers, task: tokio::spawn(probing).abort_handle() }
    }

    /// Returns the last result; `None` before the first.
    pub(super) fn last_result(&self) -> Option<Result<(), String>> {
        self.answers.borrow().clone()
    }
}

impl Drop for RepeatedProbe {
    fn drop(&mut self) {
        self.task.abort();
    }
}
