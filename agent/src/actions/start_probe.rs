//! Probes a component that was just started.

use std::time::Duration;

use rta_shared::config::{HostComponent, ProbeMethod};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::logs::{LogPath, NotedPosition, RunLog, note_end};
use crate::probe::Prober;

/// Pause between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Probe that is repeated until it passes. It ends when this is dropped.
pub(super) struct RepeatedProbe {
    answers: watch::Receiver<Option<Result<(), String>>>,
    task: AbortHandle,
}

impl RepeatedProbe {
    /// Starts the probe task for `component`, whose run writes its log from `log_start` on; `None` if it has
    /// no probe.
    pub(super) fn start(component: &HostComponent, log_start: Option<NotedPosition>) -> Option<Self> {
        let rule = component.probe.as_ref()?;
        let (sender, answers) = watch::channel(None);
        let log = RunLog::new(LogPath::from_component(component), log_start, None);
        let mut prober = Prober::new(rule.question.clone(), rule.timeout, log);
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
        Some(Self { answers, task: tokio::spawn(probing).abort_handle() })
    }

    /// Returns the last result; `None` before the first.
    pub(super) fn last_result(&self) -> Option<Result<(), String>> {
        self.answers.borrow().clone()
    }
}

/// Notes where the log of `component` ends before a start, if its probe searches the log. The start must wait
/// for it, so that no line of the new run is missed.
pub(super) async fn note_log_end(component: &HostComponent) -> Option<NotedPosition> {
    let is_searched =
        component.probe.as_ref().is_some_and(|rule| matches!(rule.question, ProbeMethod::Log(_)));
    let noted = note_end(LogPath::from_component(component).filter(|_| is_searched)?);
    noted.clone().await;
    Some(noted)
}

impl Drop for RepeatedProbe {
    fn drop(&mut self) {
        self.task.abort();
    }
}
