//! A start on random observations.

use std::os::unix::process::ExitStatusExt as _;

use proptest::prelude::*;

use super::tests::{LAUNCHED, id, machine, scan};
use super::*;

/// Random answers of a host.
#[derive(Clone, Debug)]
struct RandomStartMoment {
    pids: Vec<u32>,
    is_partial: bool,
    has_ended: bool,
    exit: Option<i32>,
    probe: Option<bool>,
    remains: bool,
    fails: bool,
    milliseconds: u64,
}

fn random_moment() -> impl Strategy<Value = RandomStartMoment> {
    let pids = prop_oneof![
        2 => Just(vec![]),
        3 => Just(vec![LAUNCHED]),
        2 => proptest::collection::vec(LAUNCHED..12, 1..3),
    ];
    let exit = proptest::option::of(prop_oneof![Just(0), Just(256)]);
    let rare = || proptest::bool::weighted(0.02);
    (
        pids,
        proptest::bool::weighted(0.2),
        proptest::bool::weighted(0.1),
        exit,
        proptest::option::of(any::<bool>()),
        any::<bool>(),
        rare(),
        20_u64..400,
    )
        .prop_map(|(pids, is_partial, has_ended, exit, probe, remains, fails, milliseconds)| {
            let exit = exit.filter(|_| has_ended);
            RandomStartMoment { pids, is_partial, has_ended, exit, probe, remains, fails, milliseconds }
        })
}

fn random_scan(moment: &RandomStartMoment) -> StartScan {
    let state = match (moment.pids.is_empty(), moment.is_partial) {
        (true, _) => State::Stopped,
        (false, true) => State::Partial,
        (false, false) => State::Running,
    };
    scan(state, &moment.pids)
}

proptest! {
    /// Whatever the host answers: the command is launched at most once, and only after a scan found nothing
    /// and nothing is in the way; the start ends once, and as a success only if the probe has passed and the
    /// last check found the whole component, which is recorded before it is reported. A component that runs
    /// is not ended.
    #[test]
    fn start_is_safe_and_ends_on_any_host(
        moments in proptest::collection::vec(random_moment(), 1..40),
        has_probe in any::<bool>(),
        is_adopted in any::<bool>(),
    ) {
        let began = Instant::now();
        let mut now = began;
        let mut machine = machine(has_probe, began);
        let mut observation = match is_adopted {
            true => StartObservation::Adopted { pid: LAUNCHED, left: Duration::from_secs(2) },
            false => StartObservation::Begun,
        };
        let (mut launches, mut is_clear, mut is_probing) = (0, false, false);
        let mut last_scan: Option<StartScan> = None;
        let mut last_answer = None;
        let mut result = None;
        // The limits are 3 s and 1 s, and each answer takes at least 20 ms; a probe answers in the end.
        for (step, moment) in moments.iter().cycle().take(500).enumerate() {
            let mut effects = machine.next(now, observation);
            let observed = effects.pop();
            let mut recorded = None;
            for effect in effects {
                match effect {
                    StartEffect::Report(report) => {
                        let is_recorded = report.phase != ActionPhase::Stable || recorded.is_some();
                        prop_assert!(is_recorded);
                    }
                    StartEffect::RecordMatched(ids) => recorded = Some(ids),
                    StartEffect::StartProbe => {
                        prop_assert!(has_probe);
                        is_probing = true;
                    }
                    effect => return Err(TestCaseError::fail(format!("{effect:?} is to be observed"))),
                }
            }
            now += Duration::from_millis(moment.milliseconds);
            let failed = || ActionError::new(ActionErrorKind::Unavailable, "/proc");
            let exit = moment.exit.map(ExitStatus::from_raw);
            observation = match observed.unwrap() {
                StartEffect::Scan | StartEffect::RefuseObstructed if moment.fails => {
                    StartObservation::Failed(failed())
                }
                StartEffect::Scan => {
                    last_scan = Some(random_scan(moment));
                    StartObservation::Scanned(random_scan(moment))
                }
                StartEffect::RefuseObstructed => {
                    prop_assert!(last_scan.as_ref().unwrap().processes.is_empty());
                    is_clear = true;
                    StartObservation::Unobstructed
                }
                StartEffect::Launch => {
                    launches += 1;
                    prop_assert!(is_clear && !is_adopted && launches == 1);
                    StartObservation::Launched { pid: LAUNCHED }
                }
                StartEffect::Check { .. } if moment.fails => StartObservation::CheckFailed(failed()),
                StartEffect::Check { at, .. } => {
                    prop_assert!(launches == 1 || is_adopted);
                    now = now.max(at);
                    last_scan = Some(random_scan(moment));
                    last_answer = match (is_probing, moment.probe) {
                        (true, None) if step > 300 => Some(Ok(())),
                        (true, Some(true)) => Some(Ok(())),
                        (true, Some(false)) => Some(Err("no".to_owned())),
                        (true | false, _) => None,
                    };
                    StartObservation::Checked {
                        scan: random_scan(moment),
                        command: CommandState { exit, has_ended: moment.has_ended },
                        probe: last_answer.clone(),
                    }
                }
                StartEffect::FindLaunchRemains => StartObservation::LaunchRemains(moment.remains),
                StartEffect::ReadCommandExit { .. } => StartObservation::CommandExit(exit),
                StartEffect::FailStart { error, end_launch } => {
                    let is_running = last_scan.as_ref().unwrap().state == State::Running;
                    prop_assert!(end_launch != is_running);
                    prop_assert!(recorded.is_some() != end_launch);
                    StartObservation::Failed(error)
                }
                StartEffect::Finish(finished) => {
                    if finished.is_ok() {
                        prop_assert_eq!(&recorded, &Some(last_scan.clone().unwrap().processes));
                    }
                    result = Some(finished);
                    break;
                }
                effect => return Err(TestCaseError::fail(format!("{effect:?} is not to be observed"))),
            };
        }
        let Some(result) = result else { return Err(TestCaseError::fail("it does not end")) };
        if let Ok(done) = result {
            let last = last_scan.unwrap();
            prop_assert_eq!(last.state, State::Running);
            let pids: Vec<ProcessId> = done.pids.iter().copied().map(id).collect();
            prop_assert_eq!(pids, last.processes);
            if done.outcome == ActionOutcome::Started {
                prop_assert!(now >= began + Duration::from_secs(1));
                prop_assert!(!has_probe || last_answer == Some(Ok(())));
            }
        }
        prop_assert!(machine.next(now, StartObservation::Begun).is_empty());
    }
}
