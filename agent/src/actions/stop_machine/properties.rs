//! A stop on random observations.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use proptest::prelude::*;
use rustix::process::Signal;

use super::tests::{command, id};
use super::*;
use crate::actions::error::ActionErrorKind;
use crate::host::cgroup_mount::FrozenCgroup;

/// Random answers of a host: each process is matched, other or absent; each signal is reached, denied, of a
/// stopped or a frozen process, or of one that has ended.
#[derive(Clone, Debug)]
struct RandomStopMoment {
    roles: Vec<u8>,
    reactions: Vec<u8>,
    milliseconds: u64,
    command_end: Option<i32>,
    is_command_running: bool,
    fails: bool,
}

fn random_moment() -> impl Strategy<Value = RandomStopMoment> {
    let bytes = || proptest::collection::vec(0_u8..5, 6);
    let command_end = proptest::option::weighted(0.2, prop_oneof![Just(0), Just(256)]);
    let fails = proptest::bool::weighted(0.02);
    (bytes(), bytes(), 20_u64..400, command_end, any::<bool>(), fails).prop_map(
        |(roles, reactions, milliseconds, command_end, is_command_running, fails)| RandomStopMoment {
            roles,
            reactions,
            milliseconds,
            command_end,
            is_command_running,
            fails,
        },
    )
}

fn random_scan(moment: &RandomStopMoment, is_vanishing: bool) -> StopScan {
    let those = |role: u8| {
        let is_it = |(pid, is): (u32, &u8)| (!is_vanishing && *is == role).then_some(id(pid));
        (1..).zip(&moment.roles).filter_map(is_it).collect()
    };
    StopScan { matched: those(0), rest: those(1), is_command_running: moment.is_command_running }
}

fn random_signal(moment: &RandomStopMoment, ids: &[ProcessId]) -> SignalResult {
    let mut result = SignalResult::default();
    for id in ids {
        match moment.reactions[id.pid as usize - 1] {
            0 => result.denied.push(*id),
            1 => result.resumed.push(*id),
            2 => result.frozen.push((*id, FrozenCgroup { folder: "/x".into(), is_legacy: false })),
            3 => continue,
            _ => result.reached.push(*id),
        }
    }
    result.why = (!result.denied.is_empty())
        .then(|| ActionError::new(ActionErrorKind::PreconditionFailed, "it may not"));
    result
}

proptest! {
    /// Whatever the host answers: only processes of the last scan are signalled, matched ones first; SIGKILL
    /// comes after the time limit, and only if configured; the stop ends once, and only as a success if
    /// nothing is left.
    #[test]
    fn stop_is_safe_and_ends_on_any_host(
        moments in proptest::collection::vec(random_moment(), 1..40),
        kill in any::<bool>(),
        has_command in any::<bool>(),
        is_launched in any::<bool>(),
        has_supervisor in any::<bool>(),
        settle in proptest::option::of(0_u64..300),
        vanishes_at in 0_usize..200,
    ) {
        let rule = StopRule {
            kill,
            timeout: Duration::from_secs(2),
            command: if has_command { command() } else { vec![] },
            settle: settle.map(Duration::from_millis),
            ..StopRule::default()
        };
        let began = Instant::now();
        let mut now = began;
        let mut machine = StopMachine::new(rule, began);
        let mut observation = StopObservation::Begun;
        let mut last_scan: Option<StopScan> = None;
        let (mut launches, mut explained) = (0, 0);
        let mut result = None;
        // The limits are 2 s, 5 s and 2 s, and each answer takes at least 20 ms.
        for (step, moment) in moments.iter().cycle().take(600).enumerate() {
            let mut effects = machine.next(now, observation);
            let observed = effects.pop();
            let is_silent = |effect: &StopEffect| {
                matches!(
                    effect,
                    StopEffect::Report(_) | StopEffect::RemoveLaunch | StopEffect::RemoveCgroup
                )
            };
            prop_assert!(effects.iter().all(is_silent));
            now += Duration::from_millis(moment.milliseconds);
            let failed = || StopObservation::Failed(ActionError::new(ActionErrorKind::Unavailable, "/proc"));
            observation = match observed.unwrap() {
                StopEffect::Scan { .. } if moment.fails => failed(),
                StopEffect::Scan { .. } => {
                    let scan = random_scan(moment, step >= vanishes_at);
                    last_scan = Some(scan.clone());
                    StopObservation::Scanned(scan)
                }
                StopEffect::FindSupervisor { .. } => {
                    StopObservation::SupervisorFound(has_supervisor.then_some(ExternalSupervisor::Cron))
                }
                StopEffect::LaunchCommand => {
                    launches += 1;
                    prop_assert!(has_command && launches == 1);
                    match is_launched {
                        true => StopObservation::CommandLaunched { pid: 99 },
                        false => StopObservation::CommandNotLaunched(ActionError::internal("no")),
                    }
                }
                StopEffect::Signal { ids, signal } => {
                    let group = last_scan.as_ref().unwrap().first_group();
                    prop_assert!(!ids.is_empty() && ids.iter().all(|id| group.contains(id)));
                    prop_assert!(signal == Signal::TERM || signal == Signal::CONT);
                    StopObservation::Signalled { result: random_signal(moment, &ids), names: String::new() }
                }
                StopEffect::Kill { fresh } => {
                    let all = last_scan.as_ref().unwrap().all();
                    prop_assert!(kill && !fresh.is_empty() && fresh.iter().all(|id| all.contains(id)));
                    prop_assert!(now >= began + Duration::from_secs(2));
                    StopObservation::Signalled { result: random_signal(moment, &all), names: String::new() }
                }
                StopEffect::Wait { .. } | StopEffect::WaitForCommand { .. } | StopEffect::Sleep { .. } => {
                    let status = moment.command_end.map(ExitStatus::from_raw);
                    StopObservation::Waited(status.map(|status| CommandEnd { status, last_line: None }))
                }
                StopEffect::TerminateCommand => {
                    prop_assert_eq!(launches, 1);
                    StopObservation::CommandTerminated(moment.is_command_running)
                }
                StopEffect::Explain { failure, .. } => {
                    explained += 1;
                    StopObservation::Failed(failure.into_error("", None))
                }
                StopEffect::Finish(finished) => {
                    result = Some(finished);
                    break;
                }
                StopEffect::Report(_) | StopEffect::RemoveLaunch | StopEffect::RemoveCgroup => {
                    return Err(TestCaseError::fail("nothing is to be observed"));
                }
            };
        }
        let Some(result) = result else { return Err(TestCaseError::fail("it does not end")) };
        prop_assert!(explained <= 1);
        if let Ok(done) = result {
            prop_assert_eq!(explained, 0);
            prop_assert!(last_scan.unwrap().matched.is_empty());
            prop_assert!(done.outcome != ActionOutcome::Killed || kill);
            prop_assert!(done.outcome == ActionOutcome::AlreadyStopped || !done.pids.is_empty());
        }
        prop_assert!(machine.next(now, StopObservation::Begun).is_empty());
    }
}
