//! Decides how to continue the actions that were running when the earlier agent ended. Pure.

use super::action_record::{ActionRecord, LaunchedSession, RecordedAction};

/// Continuation of an interrupted action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecoveryDecision {
    /// The action is over. Carries the reason for the log.
    Discard(&'static str),
    /// The launch is awaited, or ended when its time is over.
    Adopt(LaunchedSession),
    /// The action is repeated from its beginning; completed parts are not done again.
    Resume,
}

/// Decides how to continue `action`, which is part of `record`, at `now_ms`. `by_command` is false for
/// systemd units: systemd itself continues its jobs.
pub(super) fn decide_recovery(
    record: &ActionRecord,
    action: &RecordedAction,
    by_command: bool,
    now_ms: u64,
) -> RecoveryDecision {
    if !by_command {
        return RecoveryDecision::Discard("systemd goes on with it");
    }
    let launch = record.launch.as_ref().filter(|launch| launch.launched_ms >= action.since_ms);
    match launch {
        Some(launch) if action.kind.starts() && launch.is_unfinished => {
            RecoveryDecision::Adopt(launch.clone())
        }
        Some(_) if action.kind.starts() => RecoveryDecision::Discard("it was done"),
        // The client got an error for the lost connection, and may have started the component elsewhere.
        _ if !action.kind.stops() => RecoveryDecision::Discard("nothing was launched"),
        // A component that a restart has stopped is started again.
        _ if now_ms < action.until_ms => RecoveryDecision::Resume,
        _ => RecoveryDecision::Discard("the agent was away for longer than it may take"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::action::{ActionKind, Requester};
    use rta_shared::process::ProcessId;

    use super::*;

    fn action(kind: ActionKind) -> RecordedAction {
        let by = Requester::default();
        RecordedAction { kind, by, since: Timestamp::UNIX_EPOCH, since_ms: 100, until_ms: 200 }
    }

    fn launch(launched_ms: u64, is_unfinished: bool) -> LaunchedSession {
        LaunchedSession {
            id: "x".to_owned(),
            leader: ProcessId { pid: 7, start_ticks: 7 },
            members: vec![],
            is_unfinished,
            launched_ms,
            deadline_ms: 300,
            control_group: None,
            logs: vec![],
        }
    }

    fn taken_up(kind: ActionKind, launch: Option<LaunchedSession>, now_ms: u64) -> RecoveryDecision {
        let mut record = ActionRecord::new(&"app".into(), "boot");
        record.launch = launch;
        decide_recovery(&record, &action(kind), true, now_ms)
    }

    #[test]
    fn unfinished_launch_is_adopted_at_any_time() {
        for kind in [ActionKind::Start, ActionKind::Restart] {
            for now_ms in [150, 9_999] {
                let expected = RecoveryDecision::Adopt(launch(100, true));
                assert_eq!(taken_up(kind, Some(launch(100, true)), now_ms), expected);
                assert_eq!(
                    taken_up(kind, Some(launch(100, false)), now_ms),
                    RecoveryDecision::Discard("it was done")
                );
            }
        }
    }

    #[test]
    fn interrupted_restart_and_stop_resume_within_their_limit() {
        // A launch of an earlier action does not belong to this one.
        for before in [None, Some(launch(99, false)), Some(launch(99, true))] {
            for kind in [ActionKind::Restart, ActionKind::Stop] {
                assert_eq!(taken_up(kind, before.clone(), 199), RecoveryDecision::Resume);
                assert!(matches!(taken_up(kind, before.clone(), 200), RecoveryDecision::Discard(_)));
            }
            assert_eq!(
                taken_up(ActionKind::Start, before, 150),
                RecoveryDecision::Discard("nothing was launched")
            );
        }
    }

    #[test]
    fn systemd_actions_are_left_to_systemd() {
        let record = ActionRecord::new(&"app".into(), "boot");
        for kind in [ActionKind::Start, ActionKind::Stop, ActionKind::Restart] {
            let expected = RecoveryDecision::Discard("systemd goes on with it");
            assert_eq!(decide_recovery(&record, &action(kind), false, 150), expected);
        }
    }
}
