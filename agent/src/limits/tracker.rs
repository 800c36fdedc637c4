//! Compares measurements with the limits of all components. Pure: takes the time as a value.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rta_shared::config::{HostComponent, OpenFilesLimit};
use rta_shared::format::joined_list;
use rta_shared::limit::{ExceededLimit, LimitKind};
use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use rta_shared::report::ComponentReport;
use rta_shared::usage::HostUsage;

use super::sustained::{Exceeded, SustainedState};

/// Exceeded limits of each component that exceeds one.
pub(crate) type LimitReports = HashMap<Name, Vec<ExceededLimit>>;

/// Number of measurements without a figure after which a limit counts as not checked: a process that has just
/// ended has none either.
const MAX_MISSING: u32 = 2;

/// What a measurement shows of the limits of all components.
#[derive(Debug, Default)]
pub(crate) struct LimitFindings {
    /// Limits that are exceeded.
    pub(crate) exceeded: LimitReports,
    /// Components whose limit of a kind cannot be checked, in the order of the configuration.
    pub(crate) unchecked: Vec<(Name, LimitKind)>,
}

/// Measurement of a host.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MeasuredUsage<'a> {
    pub(crate) usage: &'a HostUsage,
    /// Soft limits of open files of the processes whose component has a limit in percent.
    pub(crate) open_file_limits: &'a HashMap<u32, u64>,
    /// Time of the measurement, on a clock that never steps.
    pub(crate) at: Duration,
}

/// States of the limits of all components.
#[derive(Debug, Default)]
pub(crate) struct LimitTracker {
    components: HashMap<Name, ComponentLimits>,
}

#[derive(Debug)]
struct ComponentLimits {
    /// Oldest process of the run: another run starts from zero.
    run: ProcessId,
    memory: SustainedState,
    cpu: SustainedState,
    open_files: SustainedState,
    /// Number of measurements in a row without the figures of any process.
    missing_figures: u32,
    /// Number of measurements in a row in which the open files of a process could not be counted.
    missing_open_files: u32,
}

impl ComponentLimits {
    fn new(run: ProcessId) -> Self {
        let state = SustainedState::default();
        Self { run, memory: state, cpu: state, open_files: state, missing_figures: 0, missing_open_files: 0 }
    }
}

impl LimitTracker {
    /// Takes a measurement of components, each with its report. Returns what is exceeded, and what cannot be
    /// checked.
    pub(crate) fn measure<'a>(
        &mut self,
        components: impl IntoIterator<Item = (&'a HostComponent, &'a ComponentReport)>,
        measured: MeasuredUsage<'_>,
    ) -> LimitFindings {
        let mut before = std::mem::take(&mut self.components);
        let mut findings = LimitFindings::default();
        for (component, report) in components {
            let name = &component.name;
            let oldest = report.processes.iter().map(|process| process.id).min_by_key(|id| id.start_ticks);
            // What does not run uses nothing, and starts from zero when it runs again.
            let Some(run) = oldest else { continue };
            let state = before.remove(name).filter(|state| state.run == run);
            let mut state = state.unwrap_or_else(|| ComponentLimits::new(run));
            let limits = state.measure(component, report, measured);
            if !limits.is_empty() {
                findings.exceeded.insert(name.clone(), limits);
            }
            let unchecked = state.unchecked_kinds(component);
            findings.unchecked.extend(unchecked.into_iter().map(|kind| (name.clone(), kind)));
            self.components.insert(name.clone(), state);
        }
        findings
    }
}

impl ComponentLimits {
    fn measure(
        &mut self,
        component: &HostComponent,
        report: &ComponentReport,
        measured: MeasuredUsage<'_>,
    ) -> Vec<ExceededLimit> {
        let rules = &component.limits;
        let pids = || report.processes.iter().map(|process| process.id.pid);
        let is_uncounted = |pid| measured.usage.of(pid).is_some_and(|usage| usage.open_files.is_none());
        self.missing_open_files = if pids().any(is_uncounted) { self.missing_open_files + 1 } else { 0 };
        // Before the first measurement of a new process there is no figure.
        let Some(total) = measured.usage.total_of(pids()) else {
            self.missing_figures += 1;
            return Vec::new();
        };
        self.missing_figures = 0;
        let mut exceeded = Vec::new();
        let mut push = |kind, found: Option<Exceeded>, reason: &dyn Fn(f64) -> String| {
            exceeded.extend(found.map(|found| ExceededLimit {
                kind,
                reason: reason(found.figure),
                since: wall_time(found.since, measured),
            }));
        };
        if let Some(limit) = rules.memory {
            let (used, most) = (total.resident_bytes as f64, limit.most.bytes as f64);
            let found = self.memory.measure(measured.at, used, most, limit.hold);
            push(LimitKind::Memory, found, &|used| {
                format!("uses {} of memory, above {}", limit.most.format_alike(used as u64), limit.most)
            });
        }
        if let Some(limit) = rules.cpu {
            let found = self.cpu.measure(measured.at, total.cpu_percent, f64::from(limit.most), limit.hold);
            let most = limit.most;
            push(LimitKind::Cpu, found, &|used| format!("uses {used:.1} % of a core, above {most} %"));
        }
        if let Some(limit) = rules.open_files
            && let Some(fullest) = pids()
                .filter_map(|pid| OpenFiles::of(pid, limit.most, measured))
                .max_by(|one, other| one.ratio().total_cmp(&other.ratio()))
        {
            let OpenFiles { pid, most, .. } = fullest;
            // The shares of processes with different limits are compared, not their numbers.
            let found = self.open_files.measure(measured.at, fullest.ratio(), 1.0, limit.hold);
            push(LimitKind::OpenFiles, found, &|ratio| {
                let above = match limit.most {
                    OpenFilesLimit::Count(count) => count.to_string(),
                    OpenFilesLimit::Percent(_) => {
                        format!("{} of the {} that it may open", limit.most, fullest.soft_limit)
                    }
                };
                format!("has {:.0} files open in pid {pid}, above {above}", ratio * most)
            });
        }
        exceeded
    }
}

impl ComponentLimits {
    /// Returns the kinds of limits that have had no figure for a while.
    fn unchecked_kinds(&self, component: &HostComponent) -> Vec<LimitKind> {
        let (rules, no_figures) = (&component.limits, self.missing_figures >= MAX_MISSING);
        let no_open_files = no_figures || self.missing_open_files >= MAX_MISSING;
        let kinds = [
            (LimitKind::Memory, rules.memory.is_some() && no_figures),
            (LimitKind::Cpu, rules.cpu.is_some() && no_figures),
            (LimitKind::OpenFiles, rules.open_files.is_some() && no_open_files),
        ];
        kinds.into_iter().filter_map(|(kind, is_unchecked)| is_unchecked.then_some(kind)).collect()
    }
}

/// Returns a sentence about limits that cannot be checked; `None` if there are none.
pub(crate) fn unchecked_sentence(unchecked: &[(Name, LimitKind)]) -> Option<String> {
    let mut parts = Vec::new();
    for kind in LimitKind::ALL {
        let names = unchecked.iter().filter(|(_, unchecked)| *unchecked == kind).map(|(name, _)| name);
        let names = joined_list(names, ", ");
        if !names.is_empty() {
            let why = match kind {
                LimitKind::OpenFiles => {
                    "the open files of a process of another user cannot be counted, unless rta-agent runs as root"
                }
                _ => "the usage of its processes cannot be measured",
            };
            parts.push(format!("the limit {kind} of {names} is not checked: {why}"));
        }
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Open files of a process.
#[derive(Clone, Copy, Debug)]
struct OpenFiles {
    pid: u32,
    count: f64,
    /// Number of files that may be reached.
    most: f64,
    soft_limit: u64,
}

impl OpenFiles {
    /// Returns the open files of a process; `None` if they cannot be counted, or if it may open any number.
    fn of(pid: u32, limit: OpenFilesLimit, measured: MeasuredUsage<'_>) -> Option<Self> {
        let count = f64::from(measured.usage.of(pid)?.open_files?);
        let (soft_limit, most) = match limit {
            OpenFilesLimit::Count(most) => (u64::from(most), f64::from(most)),
            OpenFilesLimit::Percent(percent) => {
                let soft_limit = *measured.open_file_limits.get(&pid)?;
                (soft_limit, soft_limit as f64 * f64::from(percent) / 100.0)
            }
        };
        Some(Self { pid, count, most, soft_limit })
    }

    fn ratio(&self) -> f64 {
        if self.most > 0.0 { self.count / self.most } else { f64::INFINITY }
    }
}

/// Returns the time of day of a moment on the clock that never steps.
fn wall_time(moment: Duration, measured: MeasuredUsage<'_>) -> Timestamp {
    let ago = SignedDuration::try_from(measured.at.saturating_sub(moment)).unwrap_or_default();
    measured.usage.measured_at.checked_sub(ago).unwrap_or(measured.usage.measured_at)
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Source, load_sources};
    use rta_shared::process::Process;
    use rta_shared::report::ComponentContext;
    use rta_shared::usage::ProcessUsage;

    use super::*;

    struct TrackerFixture {
        component: HostComponent,
        tracker: LimitTracker,
        start_ticks: u64,
        /// Sentence about what the last measurement could not check.
        unchecked: Option<String>,
    }

    impl TrackerFixture {
        fn new(limits: &str) -> Self {
            let text = format!(
                "[[component]]\nname = 'app'\ncriteria = [{{ regex = 'a' }}]\nlimits = {{ {limits} }}\n\
                 [[environment]]\nname = 'E'\nhost = [{{ name = 'h', components = ['app'] }}]"
            );
            let platform = load_sources(&[Source { name: "x".to_owned(), text }]).unwrap();
            let config = platform.host_config(platform.find_host("h").unwrap(), &[]).unwrap();
            Self {
                component: config.components[0].clone(),
                tracker: LimitTracker::default(),
                start_ticks: 1,
                unchecked: None,
            }
        }

        /// Measures two processes at this second; returns the sentence.
        fn measure(&mut self, at: u64, each: ProcessUsage) -> Option<String> {
            let id = |pid| ProcessId { pid, start_ticks: self.start_ticks };
            let processes = vec![Process::new(id(7), 1), Process::new(id(8), 7)];
            let report = ComponentReport::new(&self.component, &[processes], ComponentContext::default());
            let usage = HostUsage {
                cpu_times: Vec::new(),
                probe_durations: Vec::new(),
                measured_at: Timestamp::from_second(i64::try_from(1000 + at).unwrap()).unwrap(),
                cpus: 2,
                load: [0.0; 3],
                memory_total_bytes: 0,
                memory_available_bytes: 0,
                booted_at: None,
                processes: vec![ProcessUsage { pid: 7, ..each }, ProcessUsage { pid: 8, ..each }],
            };
            let open_file_limits = HashMap::from([(7, 1024), (8, 512)]);
            let measured = MeasuredUsage {
                usage: &usage,
                open_file_limits: &open_file_limits,
                at: Duration::from_secs(at),
            };
            let LimitFindings { exceeded, unchecked } =
                self.tracker.measure([(&self.component, &report)], measured);
            self.unchecked = unchecked_sentence(&unchecked);
            let sentences: Vec<String> =
                exceeded.get(&self.component.name)?.iter().map(ExceededLimit::sentence).collect();
            Some(sentences.join("; "))
        }
    }

    fn usage(cpu_percent: f64, mebibytes: u64, open_files: Option<u32>) -> ProcessUsage {
        ProcessUsage { pid: 0, cpu_percent, resident_bytes: mebibytes << 20, threads: 1, open_files }
    }

    #[test]
    fn sum_of_the_processes_is_compared_and_the_figure_is_told() {
        let mut memory = TrackerFixture::new("memory = '1 GiB for 20s'");
        assert_eq!(memory.measure(0, usage(0.0, 600, None)), None);
        assert_eq!(memory.measure(10, usage(0.0, 600, None)), None);
        let expected = "it uses 1.2 GiB of memory, above 1 GiB since 00:16:40 UTC";
        assert_eq!(memory.measure(20, usage(0.0, 600, None)).as_deref(), Some(expected));
        // Another run starts from zero.
        memory.start_ticks = 2;
        assert_eq!(memory.measure(30, usage(0.0, 600, None)), None);

        let mut cpu = TrackerFixture::new("cpu = '90%'");
        assert_eq!(cpu.measure(0, usage(45.0, 1, None)), None);
        let expected = "it uses 97.4 % of a core, above 90 % since 00:16:45 UTC";
        assert_eq!(cpu.measure(5, usage(48.7, 1, None)).as_deref(), Some(expected));
    }

    #[test]
    fn open_files_are_compared_with_the_limit_of_their_own_process() {
        let mut share = TrackerFixture::new("open_files = '80%'");
        assert_eq!(share.measure(0, usage(0.0, 1, Some(409))), None);
        let expected =
            "it has 410 files open in pid 8, above 80 % of the 512 that it may open since 00:16:45 UTC";
        assert_eq!(share.measure(5, usage(0.0, 1, Some(410))).as_deref(), Some(expected));
        let mut count = TrackerFixture::new("open_files = '500'");
        assert_eq!(count.measure(0, usage(0.0, 1, Some(500))), None);
        let expected = "it has 501 files open in pid 8, above 500 since 00:16:45 UTC";
        assert_eq!(count.measure(5, usage(0.0, 1, Some(501))).as_deref(), Some(expected));
    }

    #[test]
    fn limit_without_a_figure_is_reported_unless_a_process_has_just_ended() {
        let mut share = TrackerFixture::new("open_files = '1%', memory = '1 GiB'");
        assert_eq!(share.measure(0, usage(0.0, 1, None)), None);
        assert_eq!(share.unchecked, None);
        assert_eq!(share.measure(5, usage(0.0, 1, None)), None);
        assert_eq!(
            share.unchecked.as_deref(),
            Some(
                "the limit open_files of app is not checked: the open files of a process of another user cannot be \
                 counted, unless rta-agent runs as root"
            )
        );
        share.measure(10, usage(0.0, 1, Some(1)));
        assert_eq!(share.unchecked, None);
        let mut other = TrackerFixture::new("memory = '1 GiB'");
        other.measure(0, usage(0.0, 1, None));
        other.measure(5, usage(0.0, 1, None));
        assert_eq!(other.unchecked, None);
    }
}
