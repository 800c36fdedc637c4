//! A stop on an imitated host.

use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use super::*;
use crate::actions::error::ActionErrorKind;
use crate::actions::stop_targets::SignalResult;
use crate::host::cgroup_mount::FrozenCgroup;

pub(super) fn id(pid: u32) -> ProcessId {
    ProcessId { pid, start_ticks: u64::from(pid) }
}

pub(super) fn command() -> Vec<String> {
    vec!["/opt/app/stop.sh".to_owned()]
}

fn rule() -> StopRule {
    StopRule { timeout: Duration::from_secs(2), ..StopRule::default() }
}

/// Imitated process.
#[derive(Clone, Copy, Debug, Default)]
struct FakeProcess {
    is_matched: bool,
    /// Time from this signal to the end of the process.
    ends: Option<(i32, u64)>,
    is_denied: bool,
    is_stopped: bool,
    is_frozen: bool,
    /// Process that comes in its place.
    successor: Option<u32>,
}

/// Imitated host, on which processes react to signals.
struct FakeHost {
    began: Instant,
    now: Instant,
    processes: HashMap<u32, FakeProcess>,
    /// Ends that are due, with their times.
    due: Vec<(u32, Instant)>,
    supervisor: Option<ExternalSupervisor>,
    /// Duration, raw exit status and victim of the stop command; `None`: it cannot be launched.
    command: Option<(u64, i32, Option<u32>)>,
    command_ends: Option<Instant>,
    last_scan: StopScan,
    log: Vec<String>,
}

impl FakeHost {
    fn new(processes: impl IntoIterator<Item = (u32, FakeProcess)>) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            now,
            processes: processes.into_iter().collect(),
            due: vec![],
            supervisor: None,
            command: None,
            command_ends: None,
            last_scan: StopScan::default(),
            log: vec![],
        }
    }

    /// Stops the component, and returns what was done, one line an effect.
    fn stop(mut self, rule: StopRule) -> Vec<String> {
        let mut machine = StopMachine::new(rule, self.now);
        let mut observation = StopObservation::Begun;
        for _ in 0..1_000 {
            let mut next = None;
            for effect in machine.next(self.now, observation) {
                assert!(next.is_none(), "an effect follows one that is observed");
                let at = (self.now - self.began).as_millis();
                match effect {
                    StopEffect::Finish(Ok(done)) => {
                        self.log.push(format!("{at}: {done}"));
                        return self.log;
                    }
                    StopEffect::Finish(Err(error)) => {
                        self.log.push(format!("{at}: failed: {}", error.reason));
                        return self.log;
                    }
                    StopEffect::Report(report) => self.log.push(format!("{at}: {}", report.text)),
                    effect => next = self.perform(effect),
                }
            }
            observation = next.expect("an effect is observed");
        }
        panic!("it does not end: {:?}", self.log)
    }

    fn perform(&mut self, effect: StopEffect) -> Option<StopObservation> {
        let names = |ids: &[ProcessId]| format!("pids {:?}", ids.iter().map(|id| id.pid).collect::<Vec<_>>());
        Some(match effect {
            StopEffect::Scan { .. } => {
                let those = |is_matched: bool| {
                    let one = |(pid, process): (&u32, &FakeProcess)| {
                        (process.is_matched == is_matched).then_some(id(*pid))
                    };
                    let mut ids: Vec<ProcessId> = self.processes.iter().filter_map(one).collect();
                    ids.sort_unstable();
                    ids
                };
                let is_command_running = self.command_ends.is_some_and(|end| end > self.now);
                self.last_scan = StopScan { matched: those(true), rest: those(false), is_command_running };
                StopObservation::Scanned(self.last_scan.clone())
            }
            StopEffect::FindSupervisor { .. } => StopObservation::SupervisorFound(self.supervisor.clone()),
            StopEffect::LaunchCommand => match self.command {
                None => StopObservation::CommandNotLaunched(ActionError::new(
                    ActionErrorKind::Internal,
                    "no such file",
                )),
                Some((time, _, victim)) => {
                    let end = self.now + Duration::from_millis(time);
                    self.command_ends = Some(end);
                    self.due.extend(victim.map(|victim| (victim, end)));
                    StopObservation::CommandLaunched { pid: 99 }
                }
            },
            StopEffect::Signal { signal, ids } => {
                let names = names(&ids);
                StopObservation::Signalled { result: self.signal(&ids, signal), names }
            }
            StopEffect::Kill { fresh } => {
                let all = self.last_scan.all();
                StopObservation::Signalled { result: self.signal(&all, Signal::KILL), names: names(&fresh) }
            }
            StopEffect::Wait { until } => {
                self.advance(until.min(self.now + Duration::from_millis(200)));
                StopObservation::Waited(self.take_command_end())
            }
            StopEffect::WaitForCommand { until } => {
                self.advance(self.command_ends.map_or(until, |end| end.min(until)));
                StopObservation::Waited(self.take_command_end())
            }
            StopEffect::Sleep { until } => {
                self.advance(until);
                StopObservation::Waited(None)
            }
            StopEffect::TerminateCommand => {
                StopObservation::CommandTerminated(self.command_ends.take().is_some_and(|end| end > self.now))
            }
            StopEffect::Explain { failure, remaining } => {
                StopObservation::Failed(failure.into_error(&names(&remaining), None))
            }
            StopEffect::RemoveLaunch | StopEffect::RemoveCgroup => return None,
            StopEffect::Report(_) | StopEffect::Finish(_) => unreachable!(),
        })
    }

    fn signal(&mut self, ids: &[ProcessId], signal: Signal) -> SignalResult {
        let mut result = SignalResult::default();
        for one in ids {
            let Some(process) = self.processes.get_mut(&one.pid) else { continue };
            if process.is_denied {
                result.denied.push(*one);
                let why =
                    || ActionError::new(ActionErrorKind::PreconditionFailed, "the agent may not signal it");
                result.why.get_or_insert_with(why);
                continue;
            }
            self.log.push(format!("signal {} to {}", signal.as_raw(), one.pid));
            result.reached.push(*one);
            if std::mem::take(&mut process.is_stopped) {
                result.resumed.push(*one);
            }
            if process.is_frozen {
                result.frozen.push((*one, FrozenCgroup { folder: "/sys/x".into(), is_legacy: true }));
            }
            if let Some((by, after)) = process.ends
                && (by == signal.as_raw() || signal == Signal::KILL)
            {
                self.due.push((one.pid, self.now + Duration::from_millis(after)));
            }
        }
        result
    }

    fn advance(&mut self, until: Instant) {
        self.now = self.now.max(until);
        let (over, due) = self.due.drain(..).partition(|(_, end)| *end <= self.now);
        self.due = due;
        let over: Vec<(u32, Instant)> = over;
        for (pid, _) in over {
            let Some(ended) = self.processes.remove(&pid) else { continue };
            if let Some(next) = ended.successor {
                let successor = ended.successor.map(|next| next + 1);
                self.processes.insert(next, FakeProcess { successor, ..ended });
            }
        }
    }

    fn take_command_end(&mut self) -> Option<CommandEnd> {
        let (_, status, _) = self.command?;
        self.command_ends.take_if(|end| *end <= self.now)?;
        let status = ExitStatus::from_raw(status);
        Some(CommandEnd { status, last_line: (!status.success()).then(|| "no such pid".to_owned()) })
    }
}

const TERM: i32 = 15;
const KILL: i32 = 9;

fn matched(by: i32, after: u64) -> FakeProcess {
    FakeProcess { is_matched: true, ends: Some((by, after)), ..FakeProcess::default() }
}

fn helper(by: i32, after: u64) -> FakeProcess {
    FakeProcess { is_matched: false, ..matched(by, after) }
}

#[test]
fn nothing_is_signalled_if_nothing_runs() {
    assert_eq!(FakeHost::new([]).stop(rule()), ["0: not running, nothing was stopped"]);
}

#[test]
fn matched_processes_are_signalled_before_the_rest() {
    let log = FakeHost::new([(7, matched(TERM, 100)), (8, helper(TERM, 100))]).stop(rule());
    let expected = [
        "signal 15 to 7",
        "0: SIGTERM was sent to pids [7]",
        "0: waiting for the end of 1 process; SIGKILL follows after 2 s",
        "signal 15 to 8",
        "200: SIGTERM was sent to what it left behind: pids [8]",
        "400: nothing of it is left",
        "400: stopped in 0.4 s (pids 7, 8)",
    ];
    assert_eq!(log, expected);
}

#[test]
fn processes_that_outlast_the_time_limit_are_killed_together() {
    let log = FakeHost::new([(7, matched(KILL, 100)), (8, helper(KILL, 100))]).stop(rule());
    let expected = [
        "signal 15 to 7",
        "0: SIGTERM was sent to pids [7]",
        "0: waiting for the end of 1 process; SIGKILL follows after 2 s",
        "signal 9 to 7",
        "signal 9 to 8",
        "2000: not ended within 2 s of SIGTERM: SIGKILL was sent to pids [7, 8]",
        "2200: nothing of it is left",
        "2200: did not stop in time and was killed in 2.2 s (pids 7, 8)",
    ];
    assert_eq!(log, expected);
}

#[test]
fn nothing_is_killed_if_the_configuration_forbids_it() {
    let log = FakeHost::new([(7, matched(KILL, 0))]).stop(StopRule { kill: false, ..rule() });
    let expected = [
        "signal 15 to 7",
        "0: SIGTERM was sent to pids [7]",
        "0: waiting for the end of 1 process; it is given up after 2 s",
        "2000: failed: pids [7] did not end within 2 s of SIGTERM, and kill = false in its configuration",
    ];
    assert_eq!(log, expected);
}

#[test]
fn process_that_survives_sigkill_is_given_up() {
    let log = FakeHost::new([(7, FakeProcess { is_matched: true, ..FakeProcess::default() })]).stop(rule());
    let last =
        "7000: failed: pids [7] did not end within 5 s of SIGKILL; the kernel holds it, perhaps on a disk";
    assert_eq!(log.last().unwrap(), last);
    assert_eq!(log.iter().filter(|line| **line == "signal 9 to 7").count(), 1);
}

#[test]
fn stop_command_replaces_the_signal_for_matched_processes() {
    let stopped = FakeProcess { is_stopped: true, ..matched(TERM, 0) };
    let mut host = FakeHost::new([(7, stopped), (8, helper(TERM, 0))]);
    host.command = Some((300, 0, Some(7)));
    let log = host.stop(StopRule { command: command(), ..rule() });
    let expected = [
        "0: its stop command /opt/app/stop.sh runs (pid 99)",
        "0: waiting for the end of 1 process; SIGKILL follows after 2 s",
        "signal 18 to 7",
        "0: pid 7 was stopped by a signal: SIGCONT was sent, so that it is acted on",
        "signal 15 to 8",
        "400: SIGTERM was sent to what it left behind: pids [8]",
        "600: nothing of it is left",
        "600: stopped in 0.6 s (pids 7, 8)",
    ];
    assert_eq!(log, expected);
}

#[test]
fn failed_stop_command_is_followed_by_the_signal() {
    let rows = [
        (
            Some((300, 256, None)),
            "400: its stop command ended with exit status 1, so it is signalled; it said: no such pid",
        ),
        (None, "0: its stop command did not run, so it is signalled: no such file"),
    ];
    for (command_end, expected) in rows {
        let mut host = FakeHost::new([(7, matched(TERM, 0))]);
        host.command = command_end;
        let log = host.stop(StopRule { command: command(), ..rule() });
        let failed = log.iter().position(|line| line == expected).expect(expected);
        assert_eq!(log[failed + 1], "signal 15 to 7");
        assert!(log.last().unwrap().contains("stopped in"), "{log:?}");
    }
}

#[test]
fn stop_command_that_never_ends_is_terminated() {
    // The component ends, and the command does not; the component ends by SIGKILL only, and the command not.
    let rows = [
        (matched(TERM, 0), Some(7), "2000: stopped in 2.0 s (pid 7)"),
        (matched(KILL, 0), None, "2200: did not stop in time and was killed in 2.2 s (pid 7)"),
    ];
    for (process, victim, last) in rows {
        let mut host = FakeHost::new([(7, process)]);
        host.command = Some((60_000, 0, None));
        host.due.extend(victim.map(|victim| (victim, host.now + Duration::from_millis(100))));
        let log = host.stop(StopRule { command: command(), ..rule() });
        assert!(
            log.iter()
                .any(|line| line.ends_with("its stop command (pid 99) was still running and has been ended"))
        );
        assert_eq!(log.last().unwrap(), last);
        if victim.is_none() {
            let killed = "2000: not ended within 2 s of its stop command: SIGKILL was sent to pids [7]";
            assert!(log.iter().any(|line| line == killed), "{log:?}");
        }
    }
}

#[test]
fn stop_fails_at_once_if_no_process_may_be_signalled() {
    let denied = FakeProcess { is_denied: true, ..matched(TERM, 0) };
    let log = FakeHost::new([(7, denied), (8, helper(TERM, 0))]).stop(rule());
    assert_eq!(log, ["0: failed: the agent may not signal it; still there: pids [7, 8]"]);
    // One that may be signalled is waited for first.
    let log = FakeHost::new([(6, matched(TERM, 0)), (7, denied)]).stop(rule());
    assert_eq!(log.last().unwrap(), "200: failed: the agent may not signal it; still there: pids [7]");
}

#[test]
fn frozen_processes_are_named_with_the_remedy() {
    let frozen = FakeProcess { is_frozen: true, ends: None, ..matched(TERM, 0) };
    let log = FakeHost::new([(7, frozen)]).stop(rule());
    let why = "pid 7 is frozen by a control group and handles no signal before that is thawed";
    assert!(log[1].contains(why), "{log:?}");
    assert!(log.last().unwrap().contains(&format!("within 5 s of SIGKILL; {why}")), "{log:?}");
}

#[test]
fn component_that_comes_back_at_once_is_given_up_after_some_rounds() {
    for by in [TERM, KILL] {
        let returning = FakeProcess { successor: Some(8), ..matched(by, 0) };
        let log =
            FakeHost::new([(7, returning)]).stop(StopRule { timeout: Duration::from_secs(3), ..rule() });
        let last = log.last().unwrap();
        assert!(last.contains("failed: it was ended (pids 7, 8, "), "{log:?}");
        assert!(last.ends_with("came in its place: something else starts it"), "{log:?}");
    }
}

#[test]
fn component_must_stay_stopped_for_the_settle_time() {
    let cron = Some(ExternalSupervisor::Cron);
    let parent = Some(ExternalSupervisor::Parent { pid: 5, name: "sh".to_owned() });
    let settle = Some(Duration::from_millis(250));
    // By default, only if something may restart it.
    for (settle, supervisor, end) in [
        (None, None, "200: stopped in 0.2 s (pid 7)"),
        (None, parent.clone(), "2200: stopped in 2.2 s (pid 7)"),
        (Some(Duration::ZERO), cron.clone(), "200: stopped in 0.2 s (pid 7)"),
        (settle, None, "450: stopped in 0.5 s (pid 7)"),
    ] {
        let mut host = FakeHost::new([(7, matched(TERM, 0))]);
        host.supervisor = supervisor;
        let log = host.stop(StopRule { settle, ..rule() });
        assert_eq!(log.last().unwrap(), end);
    }
    let mut host = FakeHost::new([(7, matched(TERM, 0))]);
    host.supervisor = cron;
    let log = host.stop(rule());
    let watched = "200: it is gone, and is watched for 2 s: cron starts it; take it out of its crontab";
    assert!(log.iter().any(|line| line == watched), "{log:?}");
}

#[test]
fn component_that_comes_back_in_the_settle_time_fails_with_its_starter() {
    let now = Instant::now();
    let mut machine = StopMachine::new(rule(), now);
    let scanned = |matched: &[u32]| {
        let matched = matched.iter().copied().map(id).collect();
        StopObservation::Scanned(StopScan { matched, ..StopScan::default() })
    };
    let reached = SignalResult { reached: vec![id(7)], ..SignalResult::default() };
    for observation in [
        StopObservation::Begun,
        scanned(&[7]),
        StopObservation::SupervisorFound(Some(ExternalSupervisor::Cron)),
        StopObservation::Signalled { result: reached, names: String::new() },
        StopObservation::Waited(None),
        scanned(&[]),
        scanned(&[]),
        StopObservation::Waited(None),
    ] {
        machine.next(now, observation);
    }
    let failure = StopFailure::Restarted {
        ended: vec![7],
        matched: vec![id(9)],
        supervisor: Some(ExternalSupervisor::Cron),
    };
    assert_eq!(machine.next(now, scanned(&[9])), [StopEffect::Explain { failure, remaining: vec![id(9)] }]);
    // An error of the host ends the stop too.
    let error = ActionError::new(ActionErrorKind::Conflict, "it came back");
    let finished = machine.next(now, StopObservation::Failed(error.clone()));
    assert_eq!(finished, [StopEffect::Finish(Err(error))]);
}
