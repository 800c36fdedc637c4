//! Probes a component that was just started.

use std::time::Duration;

use rta_shared::action::ActionPhase;
use rta_shared::config::ProbeRule;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::news::News;
use crate::probe::{Asker, told};

/// Pause between two attempts.
const PACE: Duration = Duration::from_secs(1);

/// Probe status of a component that has settled.
#[derive(Default)]
pub(crate) struct Wellness {
    probing: Option<Probing>,
    /// Last reported failure of the probe.
    told: String,
}

/// Result of the probe at one moment.
pub(crate) enum Well {
    /// The component has no probe, or its probe passed.
    Yes,
    /// The probe has not answered yet.
    NotKnown,
    /// The probe failed, and is repeated.
    No(String),
}

impl Wellness {
    /// Returns the current result, and reports changes as progress.
    pub(crate) fn ask(&mut self, rule: Option<&ProbeRule>, news: &News, pids: &[u32]) -> Well {
        let Some(rule) = rule else { return Well::Yes };
        let Some(probing) = &self.probing else {
            news.tell(
                ActionPhase::Probing,
                format!("asking its probe: {}", told(&rule.question)),
                pids.to_vec(),
            );
            self.probing = Some(Probing::begin(rule));
            return Well::NotKnown;
        };
        match probing.answer() {
            None => Well::NotKnown,
            Some(Ok(())) => Well::Yes,
            Some(Err(reason)) => {
                if self.told != reason {
                    let text = format!("its probe does not pass yet: {reason}");
                    news.tell(ActionPhase::Probing, text, pids.to_vec());
                    self.told.clone_from(&reason);
                }
                Well::No(reason)
            }
        }
    }

    /// Discards the probe, since it was for another run of the component.
    pub(crate) fn begin_anew(&mut self) {
        self.probing = None;
    }
}

/// Probe that is repeated until it passes. It ends when this is dropped.
struct Probing {
    answers: watch::Receiver<Option<Result<(), String>>>,
    task: AbortHandle,
}

impl Probing {
    /// Starts the probe task.
    fn begin(rule: &ProbeRule) -> Self {
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

    /// Returns the last result; `None` before the first.
    fn answer(&self) -> Option<Result<(), String>> {
        self.answers.borrow().clone()
    }
}

impl Drop for Probing {
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
    async fn what_is_told_of_a_probe_holds_no_password() {
        let (events, mut told) = mpsc::unbounded_channel();
        let rule = ProbeRule {
            question: ProbeMethod::Http {
                url: "http://ann:secret@127.0.0.1:1/up".parse().unwrap(),
                status: 200,
            },
            interval: PACE,
            timeout: PACE,
            failures: 1,
            grace: Duration::ZERO,
        };
        let (news, mut wellness) = (News::new(events), Wellness::default());
        assert!(matches!(wellness.ask(Some(&rule), &news, &[7]), Well::NotKnown));
        let Some(Ok(ActionEvent::Progress(progress))) = told.recv().await else { panic!("nothing is told") };
        assert_eq!(progress.text, "asking its probe: GET http://127.0.0.1:1/up");
        assert_eq!((progress.phase, progress.pids), (ActionPhase::Probing, vec![7]));
    }
}
