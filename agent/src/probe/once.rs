//! Probes for a single scan without an agent: each probe runs now instead of periodically.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use rta_shared::config::{HostComponent, ProbeRule};
use rta_shared::report::ComponentReport;

use super::history::ProbeHistory;
use super::prober::Prober;
use super::turns::Turns;
use crate::logs::{LogPath, RunLog};

/// Pause between two attempts: shorter than an agent's interval, since the caller waits.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the probe of each running component, all at the same time except commands, of which a few do at a time,
/// and sets its state in `reports`, which has
/// the reports of `components` in their order. A failed probe is repeated up to the number of failures that
/// count.
///
/// Takes at most as long as the slowest probe: its failures times its timeout, and a second between two.
pub async fn probe_all(components: &[HostComponent], reports: &mut [ComponentReport]) {
    let turns = Turns::default();
    let asked = components.iter().zip(reports).filter_map(|(component, report)| {
        let rule = component.probe.clone()?;
        report.state.is_running().then(|| probe_component(component, rule, report, turns.clone()))
    });
    join_all(asked).await;
}

async fn probe_component(
    component: &HostComponent,
    rule: ProbeRule,
    report: &mut ComponentReport,
    turns: Turns,
) {
    let mut history = ProbeHistory::new(Timestamp::now());
    // The oldest process represents the run, as it does for an agent.
    let began = report.processes.iter().filter_map(|process| process.started_at).min();
    let log = RunLog::new(LogPath::from_component(component), None, began);
    let mut prober = Prober::new(rule.question.clone(), rule.timeout, log);
    for attempt in 0..rule.failures.max(1) {
        if attempt > 0 {
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        let turn = turns.take(&rule.question).await;
        let now = Timestamp::now();
        let running = began.and_then(|began| Duration::try_from(now.duration_since(began)).ok());
        let result = prober.run_attempt().await;
        drop(turn);
        let has_passed = result.is_ok();
        // If the age of the run is unknown every failure counts.
        history.record(&rule, running.unwrap_or(rule.grace), result, Timestamp::now());
        if has_passed {
            break;
        }
    }
    report.set_probe(Some(history.report().clone()));
}
