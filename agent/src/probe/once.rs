//! Probes without an agent that puts them again and again: each is asked now, for a look at the host.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use rta_shared::config::{HostComponent, ProbeRule};
use rta_shared::report::{ComponentReport, State};

use super::attempt::Asker;
use super::state::Fare;

/// From the end of one attempt to the next: nobody wants to wait for the intervals of an agent.
const PACE: Duration = Duration::from_secs(1);

/// Asks the probe of each component that runs, all at the same time, and sets its state in `reports`, which has
/// the reports of `components` in their order. One that fails is asked again, for as many failures as count.
///
/// Takes at most as long as the slowest of them: its failures times its timeout, and a second between two.
pub async fn ask_all(components: &[HostComponent], reports: &mut [ComponentReport]) {
    let asked = components.iter().zip(reports).filter_map(|(component, report)| {
        let rule = component.probe.clone()?;
        (report.state == State::Running).then(|| ask(rule, report))
    });
    join_all(asked).await;
}

async fn ask(rule: ProbeRule, report: &mut ComponentReport) {
    let mut asker = Asker::new(rule.question.clone(), rule.timeout);
    let mut fare = Fare::new(Timestamp::now());
    // The oldest stands for the run, as it does for an agent.
    let began = report.processes.iter().filter_map(|process| process.started_at).min();
    for attempt in 0..rule.failures.max(1) {
        if attempt > 0 {
            tokio::time::sleep(PACE).await;
        }
        let now = Timestamp::now();
        let running = began.and_then(|began| Duration::try_from(now.duration_since(began)).ok());
        let result = asker.ask().await;
        let has_passed = result.is_ok();
        // Of one whose age is not known every failure counts.
        fare.take(&rule, running.unwrap_or(rule.grace), result, Timestamp::now());
        if has_passed {
            break;
        }
    }
    report.set_probe(Some(fare.report().clone()));
}
