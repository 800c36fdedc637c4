//! A start on an imitated host.

use std::os::unix::process::ExitStatusExt as _;

use rta_shared::config::{LimitRules, Part, ProbeMethod, RestartRule, StartEngine, StopRule};

use super::*;

/// PID of the launched command.
pub(super) const LAUNCHED: u32 = 7;

pub(super) fn id(pid: u32) -> ProcessId {
    ProcessId { pid, start_ticks: u64::from(pid) }
}

fn command() -> CommandRule {
    let command = vec!["/opt/app/start.sh".to_owned(), "--password=secret".to_owned()];
    CommandRule { command, ..CommandRule::default() }
}

/// Creates the machine for a start with a limit of 3 s and a settle time of 1 s.
pub(super) fn machine(has_probe: bool, began: Instant) -> StartMachine {
    let second = Duration::from_secs(1);
    let probe = ProbeRule {
        question: ProbeMethod::command(["/opt/app/ready"]),
        interval: second,
        timeout: second,
        failures: 1,
        grace: Duration::ZERO,
    };
    let component = HostComponent {
        name: "app".into(),
        aliases: vec![],
        parts: Vec::<Part>::new(),
        start: None,
        stop: StopRule::default(),
        probe: has_probe.then_some(probe),
        limits: LimitRules::default(),
        log: None,
        restart: RestartRule::default(),
        wanted: false,
        depends_on: vec![],
    };
    let engine = StartEngine::Command(command());
    let rule = StartRule { engine, timeout: 3 * second, settle: second };
    StartMachine::new(&component, &rule, &command(), began)
}

pub(super) fn scan(state: State, pids: &[u32]) -> StartScan {
    let missing = if state == State::Partial { "worker" } else { "" };
    StartScan { state, processes: pids.iter().copied().map(id).collect(), missing: missing.to_owned() }
}

/// Imitated host, whose processes are given by time.
#[derive(Default)]
struct FakeHost {
    /// Processes before the launch.
    before: Option<StartScan>,
    /// Something of an earlier start is in the way.
    is_obstructed: bool,
    /// Matching processes from so many milliseconds on.
    matches: Vec<(u64, StartScan)>,
    /// Milliseconds to the end of the command, and its raw exit status, if that is known.
    command_end: Option<(u64, Option<i32>)>,
    has_leftovers: bool,
    /// Milliseconds after which the probe passes, instead of failing.
    probe_passes: Option<u64>,
    /// Milliseconds after which the processes cannot be read any more.
    unreadable_after: Option<u64>,
    log: Vec<String>,
}

impl FakeHost {
    fn start(self, has_probe: bool) -> Vec<String> {
        self.run(has_probe, StartObservation::Begun)
    }

    /// Starts the component, and returns what was done, one line an effect.
    fn run(mut self, has_probe: bool, first: StartObservation) -> Vec<String> {
        let began = Instant::now();
        let mut now = began;
        let mut machine = machine(has_probe, began);
        let mut observation = first;
        for _ in 0..1_000 {
            let mut next = None;
            for effect in machine.next(now, observation) {
                assert!(next.is_none(), "an effect follows one that is observed");
                if let StartEffect::Check { at, .. } = &effect {
                    now = now.max(*at);
                }
                let at = (now - began).as_millis();
                match effect {
                    StartEffect::Finish(Ok(done)) => {
                        self.log.push(format!("{at}: {done}"));
                        return self.log;
                    }
                    StartEffect::Finish(Err(error)) => {
                        self.log.push(format!("{at}: failed: {}", error.reason));
                        return self.log;
                    }
                    StartEffect::Report(report) => self.log.push(format!("{at}: {}", report.text)),
                    effect => next = self.perform(effect, u64::try_from(at).unwrap()),
                }
            }
            observation = next.expect("an effect is observed");
        }
        panic!("it does not end: {:?}", self.log)
    }

    fn perform(&mut self, effect: StartEffect, at: u64) -> Option<StartObservation> {
        let end = self.command_end.filter(|(end, _)| at >= *end);
        let exit = end.and_then(|(_, status)| status).map(ExitStatus::from_raw);
        let unreadable = || ActionError::new(ActionErrorKind::Unavailable, "/proc cannot be read");
        Some(match effect {
            StartEffect::Scan => {
                let before = self.before.clone();
                StartObservation::Scanned(before.unwrap_or_else(|| scan(State::Stopped, &[])))
            }
            StartEffect::RefuseObstructed if self.is_obstructed => StartObservation::Failed(
                ActionError::new(ActionErrorKind::PreconditionFailed, "pid 5 is there"),
            ),
            StartEffect::RefuseObstructed => StartObservation::Unobstructed,
            StartEffect::Launch => {
                self.log.push("launch".to_owned());
                StartObservation::Launched { pid: LAUNCHED }
            }
            StartEffect::Check { .. } if self.unreadable_after.is_some_and(|limit| at >= limit) => {
                StartObservation::CheckFailed(unreadable())
            }
            StartEffect::Check { .. } => {
                let current =
                    self.matches.iter().rfind(|(from, _)| at >= *from).map(|(_, scan)| scan.clone());
                let answer = || match self.probe_passes {
                    Some(passes) if at >= passes => Ok(()),
                    _ => Err("it exited with 1".to_owned()),
                };
                StartObservation::Checked {
                    scan: current.unwrap_or_else(|| scan(State::Stopped, &[])),
                    command: CommandState { exit, has_ended: end.is_some() },
                    probe: Some(answer()),
                }
            }
            StartEffect::FindLaunchRemains => StartObservation::LaunchRemains(self.has_leftovers),
            StartEffect::ReadCommandExit { .. } => StartObservation::CommandExit(exit),
            StartEffect::StartProbe => return None,
            StartEffect::RecordMatched(ids) => {
                self.log.push(format!("record {:?}", ids.iter().map(|id| id.pid).collect::<Vec<_>>()));
                return None;
            }
            StartEffect::FailStart { error, end_launch } => {
                self.log.push((if end_launch { "end the launch" } else { "leave it running" }).to_owned());
                StartObservation::Failed(error)
            }
            StartEffect::Report(_) | StartEffect::Finish(_) => unreachable!(),
        })
    }
}

fn running(pids: &[u32]) -> StartScan {
    scan(State::Running, pids)
}

fn stopped() -> StartScan {
    scan(State::Stopped, &[])
}

#[test]
fn nothing_is_launched_beside_what_is_there() {
    let rows: [(FakeHost, &[&str]); 3] = [
        (
            FakeHost { before: Some(running(&[5])), ..FakeHost::default() },
            &["record [5]", "0: already running, nothing was started (pid 5)"],
        ),
        (
            FakeHost { before: Some(scan(State::Partial, &[5])), ..FakeHost::default() },
            &["0: failed: some of its processes run already, missing: worker; stop it first"],
        ),
        (FakeHost { is_obstructed: true, ..FakeHost::default() }, &["0: failed: pid 5 is there"]),
    ];
    for (host, expected) in rows {
        assert_eq!(host.start(false), expected);
    }
}

#[test]
fn start_succeeds_after_the_settle_time_and_the_probe() {
    let matches = vec![(200, running(&[LAUNCHED]))];
    let log = FakeHost { matches: matches.clone(), ..FakeHost::default() }.start(false);
    let expected = [
        "launch",
        "0: /opt/app/start.sh was launched (pid 7)",
        "0: waiting up to 3 s until its criteria match",
        "200: pid 7 matches; it has to stay for 1 s",
        "record [7]",
        "1200: it stayed",
        "1200: started in 1.2 s (pid 7)",
    ];
    assert_eq!(log, expected);
    let log = FakeHost { matches, probe_passes: Some(2000), ..FakeHost::default() }.start(true);
    let expected = [
        "200: pid 7 matches; it has to stay for 1 s",
        "1200: asking its probe: command /opt/app/ready",
        "1300: its probe does not pass yet: it exited with 1",
        "record [7]",
        "2000: it stayed, and its probe passed",
        "2000: started in 2.0 s (pid 7)",
    ];
    assert_eq!(log[3..], expected);
}

#[test]
fn adopted_start_launches_nothing_and_waits_for_the_rest_of_its_time() {
    let left = Duration::from_secs(2);
    let adopted = || StartObservation::Adopted { pid: LAUNCHED, left };
    let matches = vec![(0, running(&[LAUNCHED]))];
    let log = FakeHost { matches, ..FakeHost::default() }.run(false, adopted());
    let expected = [
        "0: waiting for the command launched before the agent was restarted (pid 7)",
        "0: pid 7 matches; it has to stay for 1 s",
        "record [7]",
        "1000: it stayed",
        "1000: started in 1.0 s (pid 7)",
    ];
    assert_eq!(log, expected);
    let log = FakeHost::default().run(false, adopted());
    let last = "2000: failed: no process matched its criteria within 3 s; check the criteria";
    assert_eq!(log[1..], ["end the launch", last]);
}

#[test]
fn failed_command_is_given_up_before_anything_matched() {
    let log = FakeHost { command_end: Some((300, Some(256))), ..FakeHost::default() }.start(false);
    let last = "300: failed: the command ended with exit status 1 before the criteria matched";
    assert_eq!(log[3..], ["end the launch", last]);
}

#[test]
fn component_that_ends_before_it_is_stable_is_a_failed_start() {
    let one = |pid| vec![(100, running(&[pid])), (500, stopped())];
    let failed = Some((450, Some(256)));
    let rows = [
        // The command itself was the component; without its status if an earlier agent launched it.
        (one(LAUNCHED), failed, false, "it started (pid 7) and ended again with exit status 1"),
        (one(LAUNCHED), Some((450, None)), false, "it started (pid 7) and ended again"),
        // A launcher failed after its child had ended, or succeeded and left nothing.
        (
            one(9),
            failed,
            false,
            "it started (pid 9) and ended again; the command that launched it ended with exit status 1",
        ),
        (one(9), Some((450, Some(0))), false, "it started (pid 9) and ended again"),
    ];
    for (matches, command_end, has_leftovers, expected) in rows {
        let host = FakeHost { matches, command_end, has_leftovers, ..FakeHost::default() };
        assert_eq!(host.start(false)[4..], ["end the launch", &format!("500: failed: {expected}")]);
    }
}

#[test]
fn launchers_helper_that_matches_for_a_moment_is_not_the_component() {
    // The launcher goes on, or has left a process behind.
    for command_end in [None, Some((250, Some(0)))] {
        let matches = vec![(100, running(&[9])), (200, stopped()), (400, running(&[LAUNCHED]))];
        let host = FakeHost { matches, command_end, has_leftovers: true, ..FakeHost::default() };
        let expected = [
            "100: pid 9 matches; it has to stay for 1 s",
            "200: pid 9 ended, but its launch is still running; waiting for the component's process",
            "400: pid 7 matches; it has to stay for 1 s",
            "record [7]",
            "1400: it stayed",
            "1400: started in 1.4 s (pid 7)",
        ];
        assert_eq!(host.start(false)[3..], expected);
    }
    // Nothing takes its place.
    let matches = vec![(100, running(&[9])), (200, stopped())];
    let log = FakeHost { matches, ..FakeHost::default() }.start(false);
    let last = "3000: failed: it started (pid 9) and ended again, and nothing took its place within 3 s";
    assert_eq!(log[5..], ["end the launch", last]);
}

#[test]
fn start_that_never_becomes_the_component_is_ended_at_the_time_limit() {
    let partial = vec![(100, scan(State::Partial, &[9]))];
    let rows = [
        (vec![], None, "no process matched its criteria within 3 s"),
        (
            vec![],
            Some((100, Some(0))),
            "no process matched its criteria within 3 s; the command (pid 7) had ended without an error",
        ),
        (
            vec![],
            Some((100, None)),
            "no process matched its criteria within 3 s; the command (pid 7) had ended",
        ),
        (partial, None, "within 3 s only some of its processes ran, missing: worker"),
    ];
    for (matches, command_end, expected) in rows {
        let log = FakeHost { matches, command_end, ..FakeHost::default() }.start(false);
        let last = format!("3000: failed: {expected}; check the criteria");
        assert_eq!(log[3..], ["end the launch", &last]);
    }
}

#[test]
fn running_component_that_misses_a_limit_is_left_running() {
    let matches = vec![(0, running(&[LAUNCHED]))];
    let log = FakeHost { matches, ..FakeHost::default() }.start(true);
    let last =
        "3000: failed: its probe did not pass within 3 s: it exited with 1; it is left running (pid 7)";
    assert_eq!(log[6..], ["record [7]", "leave it running", last]);
    // Its processes replace each other.
    let matches = (0..60).map(|step| (step * 100, running(&[100 + step as u32]))).collect();
    let log = FakeHost { matches, ..FakeHost::default() }.start(false);
    let last = "4100: failed: its processes keep changing: after 4 s none had stayed for its settle time \
                (now pid 141)";
    assert_eq!(log[log.len() - 3..], ["record [141]", "leave it running", last]);
}

#[test]
fn start_that_cannot_be_observed_any_more_says_that_the_launch_goes_on() {
    let log = FakeHost { unreadable_after: Some(500), ..FakeHost::default() }.start(false);
    assert_eq!(log[3..], ["500: failed: /proc cannot be read; what was launched (pid 7) goes on"]);
}
