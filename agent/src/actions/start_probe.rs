//! Probes a component that was just started.

use std::time::Duration;

use rta_shared::action::ActionPhase;
use rta_shared::config::ProbeRule;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::progress::ProgressSender;
use crate::probe::{Prober, format_question};

/// Pause between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Probe status of a component that has settled.
#[derive(Default)]
pub(crate) struct ProbeGate {
    probing: Option<RepeatedProbe>,
    /// Last reported failure of the probe.
    reported: String,
}

/// Result of the probe at one moment.
pub(crate) enum ProbeGateState {
    /// The component has no probe, or its probe passed.
    Passed,
    /// The probe has not answered yet.
    Pending,
    /// The probe failed, and is repeated.
    Failing(String),
}

impl ProbeGate {
    /// Returns the current result, and reports changes as progress.
    pub(crate) fn check(
        &mut self,
        rule: Option<&ProbeRule>,
        progress: &ProgressSender,
        pids: &[u32],
    ) -> ProbeGateState {
        let Some(rule) = rule else { return ProbeGateState::Passed };
        let Some(probing) = &self.probing else {
            progress.send(
                ActionPhase::Probing,
                format!("asking its probe: {}", format_question(&rule.question)),
                pids.to_vec(),
            );
            self.probing = Some(RepeatedProbe::start(rule));
            return ProbeGateState::Pending;
        };
        match probing.last_result() {
            None => ProbeGateState::Pending,
            Some(Ok(())) => ProbeGateState::Passed,
            Some(Err(reason)) => {
                if self.reported != reason {
                    let text = format!("its probe does not pass yet: {reason}");
                    progress.send(ActionPhase::Probing, text, pids.to_vec());
                    self.reported.clone_from(&reason);
                }
                ProbeGateState::Failing(reason)
            }
        }
    }

    /// Discards the probe, since it was for another run of the component.
    pub(crate) fn reset(&mut self) {
        self.probing = None;
    }
}

/// Probe that is repeated until it passes. It ends when this is dropped.
struct RepeatedProbe {
    answers: watch::Receiver<Option<Result<(), String>>>,
    task: AbortHandle,
}

impl RepeatedProbe {
    /// Starts the probe task.
    fn start(rule: &ProbeRule) -> Self {
        let (sender, answers) = watch::channel(None);
        let mut asker = Prober::new(rule.question.clone(), rule.timeout);
        let asking = async move {
            loop {
                let answer = asker.run_attempt().await;
                let has_passed = answer.is_ok();
                sender.send_replace(Some(answer));
                if has_passed {
                    return;
                }
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        };
        Self { answers, task: tokio::spawn(asking).abort_handle() }
    }

    /// Returns the last result; `None` before the first.
    fn last_result(&self) -> Option<Result<(), String>> {
        self.answers.borrow().clone()
    }
}

impl Drop for RepeatedProbe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::action::ActionEvent;
    use rta_shared::config::ProbeMethod;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn progress_of_a_probe_has_no_password() {
        let (events, mut reported) = mpsc::unbounded_channel();
        let rule = ProbeRule {
            question: ProbeMethod::Http {
                url: "http://ann:secret@127.0.0.1:1/up".parse().unwrap(),
                status: 200,
            },
            interval: RETRY_INTERVAL,
            timeout: RETRY_INTERVAL,
            failures: 1,
            grace: Duration::ZERO,
        };
        let (progress, mut gate) = (ProgressSender::new(events), ProbeGate::default());
        assert!(matches!(gate.check(Some(&rule), &progress, &[7]), ProbeGateState::Pending));
        let Some(Ok(ActionEvent::Progress(progress))) = reported.recv().await else {
            panic!("nothing is told")
        };
        assert_eq!(progress.text, "asking its probe: GET http://127.0.0.1:1/up");
        assert_eq!((progress.phase, progress.pids), (ActionPhase::Probing, vec![7]));
    }
}
