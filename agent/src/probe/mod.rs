//! Probes of running components. One task per probe repeats its attempts; this module keeps the resulting
//! state.

mod history;
mod leftovers;
mod once;
mod prober;
mod reasons;
#[cfg(test)]
mod tests;
mod turns;

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
pub(crate) use self::leftovers::kill_leftover_probes;
pub use self::once::probe_all;
pub(crate) use self::prober::{Prober, format_question};
use self::reasons::shorten;
use self::turns::Turns;
use crate::logs::{LogPath, NotedPosition, RunLog, note_end};

/// Maximum number of queued results. A task whose result finds no room waits, and so probes less often.
const MAX_QUEUED_RESULTS: usize = 64;
/// Pause after the first attempt of a run, and again twice as long after each, up to the interval, until one
/// passes: a run that has become ready does not wait for a long interval.
const FIRST_RETRY: Duration = Duration::from_secs(1);

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
    turns: Turns,
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
    /// Result that an earlier agent had of the run that this process represents.
    earlier: Option<(ProcessId, ProbeReport)>,
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
    /// False for an attempt before its time, whose failure does not count.
    is_due: bool,
    result: Result<(), String>,
}

impl Probes {
    /// Creates an empty set of probes.
    pub(crate) fn new() -> Self {
        let (results, inbox) = mpsc::channel(MAX_QUEUED_RESULTS);
        let durations = watch::Sender::new(ProbeDurations::new());
        Self {
            components: HashMap::new(),
            tasks: JoinSet::new(),
            results,
            inbox,
            series: 0,
            durations,
            turns: Turns::default(),
        }
    }

    /// Returns a receiver of the durations of the last attempts.
    pub(crate) fn durations(&self) -> watch::Receiver<ProbeDurations> {
        self.durations.subscribe()
    }

    /// Sets the components to probe. A probe whose rule is unchanged keeps its task and its state. A probe
    /// whose rule changed begins again, with the grace counted from when the component was first seen to run;
    /// its state stays until the first attempt with the new rule has ended, since the component runs on. Must
    /// be called within a runtime.
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
                    let last = self.report(&component.name);
                    self.begin_series(&component.name, last);
                }
                None => drop(self.components.insert(
                    component.name.clone(),
                    ProbedComponent {
                        rule,
                        run: None,
                        log,
                        log_end: None,
                        passed: Vec::new(),
                        earlier: None,
                    },
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
        let earlier = probed.earlier.take();
        let earlier = earlier.filter(|(id, _)| running.is_some_and(|(running, _)| running == *id));
        self.begin_series(component, earlier.map(|(_, report)| report));
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

    /// Records the result that an earlier agent had of the run that this process represents: it stays until
    /// the first attempt has ended.
    pub(crate) fn record_earlier(&mut self, component: &Name, id: ProcessId, report: ProbeReport) {
        if let Some(probed) = self.components.get_mut(component) {
            probed.earlier = Some((id, report));
        }
    }

    /// Returns true if a running component has no probe result of its own yet.
    pub(crate) fn is_any_pending(&self) -> bool {
        let runs = self.components.values().filter_map(|probed| probed.run.as_ref());
        let mut series = runs.filter_map(|run| run.series.as_ref());
        series.any(|series| series.history.is_unanswered())
    }

    /// Begins a new series for a component, if it runs and has a rule, in place of the current one. `last` is
    /// the result before the series.
    fn begin_series(&mut self, component: &Name, last: Option<ProbeReport>) {
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
            let now = Timestamp::now();
            // A line that an earlier rule found is not the line of this one.
            let last =
                last.filter(|last| !last.is_pending() && !matches!(rule.question, ProbeMethod::Log(_)));
            let history = match (has_passed, last) {
                (true, _) => ProbeHistory::passed(now),
                (false, Some(last)) => ProbeHistory::carried(last),
                (false, None) => ProbeHistory::new(now),
            };
            let (seen, turns) = (run.seen, self.turns.clone());
            let attempts = SeriesTask { component, series: self.series, rule, seen, log, results, turns };
            ProbeSeries { number: self.series, history, task: self.tasks.spawn(attempts.run()) }
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
        let AttemptResult { component, series: number, running, took, is_due, result } = answer;
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
        let changed = match result {
            Err(reason) if !is_due => series.history.record_uncounted(reason),
            result => series.history.record(rule, running, result, Timestamp::now()),
        };
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
    turns: Turns,
}

impl SeriesTask {
    async fn run(self) {
        let Self { component, series, rule, seen, log, results, turns } = self;
        let mut prober = Prober::new(rule.question.clone(), rule.timeout, log);
        let (mut has_passed, mut retry, mut last_due) = (false, FIRST_RETRY, None::<Instant>);
        loop {
            let turn = turns.take(&rule.question).await;
            let (running, began) = (seen.elapsed(), Instant::now());
            let result = prober.run_attempt().await;
            drop(turn);
            let is_due = last_due.is_none_or(|last| began.duration_since(last) >= rule.interval);
            if is_due {
                last_due = Some(began);
            }
            has_passed |= result.is_ok();
            let (component, took) = (component.clone(), began.elapsed());
            let answer = AttemptResult { component, series, running, took, is_due, result };
            if results.send(answer).await.is_err() {
                return;
            }
            sleep(if has_passed { rule.interval } else { rule.interval.min(retry) }).await;
            retry = retry.saturating_mul(2);
        }
    }
}
