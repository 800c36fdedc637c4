//! Asking a component that was just started whether it is well.

use std::time::Duration;

use rta_shared::config::ProbeRule;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::probe::Asker;

/// From the end of one attempt to the next.
const PACE: Duration = Duration::from_secs(1);

/// A probe that is put until it passes. It ends when this is dropped.
pub(super) struct Probing {
    answers: watch::Receiver<Option<Result<(), String>>>,
    task: AbortHandle,
}

impl Probing {
    /// Begins to ask.
    pub(super) fn begin(rule: &ProbeRule) -> Self {
        let (sender, answers) = watch::channel(None);
        let mut asker = Asker::new(rule.question.clone(), rule.timeout);
        let asking = async move {
            loop {
                let answer = asker.ask().await;
                let has_passed = answer.is_ok();
                sender.send_replace(Some(answer));
                if has_passed {
                    return;
                }
                tokio::time::sleep(PACE).await;
            }
        };
        Self { answers, task: tokio::spawn(asking).abort_handle() }
    }

    /// The last answer; `None` before the first.
    pub(super) fn answer(&self) -> Option<Result<(), String>> {
        self.answers.borrow().clone()
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.task.abort();
    }
}
