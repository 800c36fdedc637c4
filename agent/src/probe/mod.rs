//! Probes of running components. One task per probe repeats its attempts; this module keeps the resulting
//! state.

mod history;
mod once;
mod prober;
mod reasons;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use jiff::Timestamp;
use rta_shared::config::{HostComponent, ProbeMethod, ProbeRule};
use rta_shared::name::Name;
use rta_shared::probe::{ProbeReport, ProbeState};
use rta_shared::process::ProcessId;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Duration, Instant, sleep};

use self::history::ProbeHistory;
pub use self::once::probe_all;
pub(crate) use self::prober::{Prober, format_question};
use self::reasons::shorten;
use crate::logs::{LogPath, NotedPosition, RunLog, note_end};

/// Maximum number of queued results. A task whose result finds no room waits, and so probes less often.
const MAX_QUEUED_RESULTS: usize = 64;

/// Probes of a host. When this is dropped their tasks end, and so do the commands that these run.
pub(crate) struct Probes {
    components: HashMap<Name, ProbedComponent>,
    tasks: JoinSet<()>,
    /// Cloned for each task; kept, so that the inbox never closes.
    results: mpsc::Sender<AttemptResult>,
    inbox: mpsc::Receiver<AttemptResult>,
    /// Number of series begun so far.
    series: u64,
    /// Duration of the last attempt of each series.
    durations: watch::Sender<ProbeDurations>,
}

/// Duration of the last attempt of each probe.
pub(crate) type ProbeDurations = HashMap<Name, Duration>;

/// Configured component.
struct ProbedComponent {
    /// `None`: running is sufficient.
    rule: Option<ProbeRule>,
    run: Option<ProbedRun>,
    /// Log of the component.
    log: Option<LogPath>,
    /// End of the log while the component does not run, if its probe searches the log.
    log_end: Option<NotedPosition>,
    /// PIDs for which the start has seen the probe pass.
    passed: Vec<u32>,
}

/// Run of a component, from one start to the next.
struct ProbedRun {
    id: ProcessId,
    /// Time at which the run was first seen, on a clock that never steps.
    seen: Instant,
    /// Start of the process, if it is known.
    started_at: Option<Timestamp>,
    /// Beginning of the run's lines in the log; `None` if the run was not seen to begin.
    log_start: Option<NotedPosition>,
    series: Option<ProbeSeries>,
}

/// Attempts of one rule on one run.
struct ProbeSeries {
    number: u64,
    history: ProbeHistory,
    task: AbortHandle,
}

impl ProbedComponent {
    /// Returns true if the probe searches the component's log.
    fn searches_log(&self) -> bool {
        self.rule.as_ref().is_some_and(|rule| matches!(rule.question, ProbeMethod::Log(_)))
    }
}

impl Drop for ProbeSeries {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Result of one attempt.
struct AttemptResult {
    component: Name,
    /// Number of the series; results of a series that has ended are ignored.
    series: u64,
    /// Time that the component had been running when the attempt began.
    running: Duration,
    /// Duration of the attempt.
    took: Duration,
    result: Result<(), String>,
}

impl Probes {
    /// Creates an empty set of probes.
    pub(crate) fn new() -> Self {
        let (results, inbox) = mpsc::channel(MAX_QUEUED_RESULTS);
        let durations = watch::Sender::new(ProbeDurations::new());
        Self { components: HashMap::new(), tasks: JoinSet::new(), results, inbox, series: 0, durations }
    }

    /// Returns a receiver of the durations of the last attempts.
    pub(crate) fn durations(&self) -> watch::Receiver<ProbeDurations> {
        self.durations.subscribe()
    }

    /// Sets the components to probe. A probe whose rule is unchanged keeps its task and its state. A probe
    /// whose rule changed begins again, with the grace counted from when the component was first seen to run.
    /// Must be called within a runtime.
    pub(crate) fn configure(&mut self, components: &[HostComponent]) {
        let is_configured = |name: &Name| components.iter().any(|component| component.name == *name);
        self.components.retain(|name, _| is_configured(name));
        self.durations.send_modify(|durations| durations.retain(|name, _| is_configured(name)));
        for component in components {
            let (rule, log) = (component.probe.clone(), LogPath::from_component(component));
            match self.components.get_mut(&component.name) {
                Some(probed) if probed.rule == rule && probed.log == log => {}
                Some(probed) => {
                    let is_moved = probed.log != log;
                    probed.rule = rule;
                    probed.log = log;
                    // What was noted is of another log, or was not noted at all.
                    if is_moved {
                        probed.log_end = None;
                        probed.run.iter_mut().for_each(|run| run.log_start = None);
                    }
                    probed.passed.clear();
                    self.begin_series(&component.name);
                }
                None => drop(self.components.insert(
                    component.name.clone(),
                    ProbedComponent { rule, run: None, log, log_end: None, passed: Vec::new() },
                )),
            }
        }
    }

    /// Sets the process that represents the component's run, with its start; `None` if it does not run.
    /// Probing begins with a new process, restarts with a different one, and ends with `None`; an unchanged
    /// process has no effect. Must be called within a runtime.
    pub(crate) fn set_running(&mut self, component: &Name, running: Option<(ProcessId, Option<Timestamp>)>) {
        let Some(probed) = self.components.get_mut(component) else { return };
        if running.is_none() && probed.log_end.is_none() && probed.searches_log() {
            probed.log_end = probed.log.clone().map(note_end);
        }
        if probed.run.as_ref().map(|run| run.id) == running.map(|(id, _)| id) {
            return;
        }
        // A process that takes the place of another has no noted beginning.
        let log_start = if running.is_some() { probed.log_end.take() } else { None };
        let log_start = log_start.filter(|_| probed.run.is_none());
        probed.run = running.map(|(id, started_at)| ProbedRun {
            id,
            seen: Instant::now(),
            started_at,
            log_start,
            series: None,
        });
        self.begin_series(component);
    }

    /// Returns true if this process does not represent the current run of the component.
    pub(crate) fn is_new_run(&self, component: &Name, id: ProcessId) -> bool {
        let run = self.components.get(component).and_then(|probed| probed.run.as_ref());
        run.is_none_or(|run| run.id != id)
    }

    /// Records that the start of these processes has seen the component's probe pass: their probes begin as
    /// passing.
    pub(crate) fn record_passed(&mut self, component: &Name, pids: &[u32]) {
        if let Some(probed) = self.components.get_mut(component) {
            probed.passed = pids.to_vec();
        }
    }

    /// Returns true if a running component has no probe result yet.
    pub(crate) fn is_any_pending(&self) -> bool {
        let runs = self.components.values().filter_map(|probed| probed.run.as_ref());
        let mut series = runs.filter_map(|run| run.series.as_ref());
        series.any(|series| series.history.report().is_pending() && series.history.report().reason.is_empty())
    }

    /// Begins a new series for a component, if it runs and has a rule, in place of the current one.
    fn begin_series(&mut self, component: &Name) {
        self.durations.send_modify(|durations| {
            durations.remove(component);
        });
        let Some(probed) = self.components.get_mut(component) else { return };
        let Some(run) = &mut probed.run else { return };
        let has_passed = std::mem::take(&mut probed.passed).contains(&run.id.pid);
        run.series = probed.rule.clone().map(|rule| {
            self.series += 1;
            let (component, results) = (component.clone(), self.results.clone());
            let log = RunLog::new(probed.log.clone(), run.log_start.clone(), run.started_at);
            let log = log.with_found(has_passed);
            let attempts = SeriesTask { component, series: self.series, rule, seen: run.seen, log, results };
            let now = Timestamp::now();
            ProbeSeries {
                number: self.series,
                history: if has_passed { ProbeHistory::passed(now) } else { ProbeHistory::new(now) },
                task: self.tasks.spawn(attempts.run()),
            }
        });
    }

    /// Returns the status of a component's probe; `None` if it has none, or does not run.
    pub(crate) fn report(&self, component: &Name) -> Option<ProbeReport> {
        let series = self.components.get(component)?.run.as_ref()?.series.as_ref()?;
        Some(series.history.report().clone())
    }

    /// Resolves when a result may have changed a report. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        loop {
            let changed = tokio::select! {
                Some(answer) = self.inbox.recv() => self.record_result(answer),
                Some(ended) = self.tasks.join_next() => ended.is_err_and(|error| self.record_panic(&error)),
            };
            if changed {
                return;
            }
        }
    }

    /// Processes a result. Returns true if it changed the component's report.
    fn record_result(&mut self, answer: AttemptResult) -> bool {
        let AttemptResult { component, series: number, running, took, result } = answer;
        let Some(ProbedComponent { rule: Some(rule), run: Some(run), .. }) =
            self.components.get_mut(&component)
        else {
            return false;
        };
        let Some(series) = run.series.as_mut().filter(|series| series.number == number) else { return false };
        self.durations.send_modify(|durations| {
            durations.insert(component.clone(), took);
        });
        let before = series.history.report().state;
        let changed = series.history.record(rule, running, result, Timestamp::now());
        let ProbeReport { state, reason, .. } = series.history.report();
        match state {
            ProbeState::Failing if changed => tracing::warn!(%component, reason, "its probe fails"),
            ProbeState::Passing if changed => tracing::info!(%component, from = %before, "its probe passes"),
            _ => {}
        }
        changed
    }

    /// Fails the probe of a panicked task: its last result must not stay valid.
    fn record_panic(&mut self, error: &JoinError) -> bool {
        if !error.is_panic() {
            return false;
        }
        tracing::error!(%error, "a probe failed");
        let runs = self.components.values_mut().filter_map(|probed| probed.run.as_mut());
        let mut series = runs.filter_map(|run| run.series.as_mut());
        series.find(|series| series.task.id() == error.id()).is_some_and(|series| {
            let reason = format!("the agent failed: {}", shorten(&error.to_string()));
            series.history.fail(reason, Timestamp::now())
        })
    }
}

/// State of a probe's task.
struct SeriesTask {
    component: Name,
    series: u64,
    rule: ProbeRule,
    seen: Instant,
    log: RunLog,
    results: mpsc::Sender<AttemptResult>,
}

impl SeriesTask {
    async fn run(self) {
        let mut prober = Prober::new(self.rule.question.clone(), self.rule.timeout, self.log);
        loop {
            let (running, began) = (self.seen.elapsed(), Instant::now());
            let result = prober.run_attempt().await;
            let (component, series, took) = (self.component.clone(), self.series, began.elapsed());
            let answer = AttemptResult { component, series, running, took, result };
            if self.results.send(answer).await.is_err() {
                return;
            }
            sleep(self.rule.interval).await;
        }
    }
}
