use std::os::unix::process::ExitStatusExt as _;

use rta_shared::action::Requester;
use rta_shared::config::{LimitRules, RestartLimit, RestartRule, StopRule};

use super::*;

struct HistoryFixture {
    history: RunHistory,
    component: HostComponent,
    endings: HashMap<u32, ExitRecord>,
    living: Vec<u32>,
    hold: Option<ActionLock>,
    now: Timestamp,
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn boot(id: &str) -> HostBoot {
    HostBoot { id: id.to_owned(), at: Some(time(5)) }
}

// wait(2): the exit status is in the second byte, the signal in the first.
fn exit(code: i32) -> ExitStatus {
    ExitStatus::from_raw(code << 8)
}

fn ann() -> Requester {
    Requester { user: "ann".to_owned(), address: String::new() }
}

impl HistoryFixture {
    fn new() -> Self {
        let component = HostComponent {
            name: "app".into(),
            aliases: vec![],
            parts: vec![],
            start: None,
            stop: StopRule::default(),
            probe: None,
            limits: LimitRules::default(),
            log: None,
            restart: RestartRule::default(),
            wanted: false,
            depends_on: vec![],
        };
        Self {
            history: RunHistory::new(BTreeMap::new(), boot("b")),
            component,
            endings: HashMap::new(),
            living: vec![],
            hold: None,
            now: time(10),
        }
    }

    /// Observes the component with these processes a second later.
    fn see(&mut self, pids: &[u32]) -> Option<ExitInquiry> {
        self.now = time(self.now.as_second() + 1);
        let process = |pid: &u32| Process {
            started_at: Some(time(1)),
            ..Process::new(ProcessId { pid: *pid, start_ticks: u64::from(*pid) }, 1)
        };
        let processes: Vec<Process> = pids.iter().map(process).collect();
        let (endings, living) = (&self.endings, &self.living);
        let observation = ComponentObservation {
            component: &self.component,
            processes: &processes,
            hold: self.hold.as_ref(),
            exit_record: &|pid| endings.get(&pid).copied(),
            is_alive: &|id| living.contains(&id.pid),
        };
        self.history.observe(&observation, self.now)
    }

    /// Ends the process `pid`, after all others that have ended.
    fn ends(&mut self, pid: u32, status: ExitStatus) {
        let order = self.endings.len() as u64;
        self.endings.insert(pid, ExitRecord { status, order });
    }

    fn hold(&mut self, kind: ActionKind) {
        self.hold = Some(ActionLock { kind, by: ann(), since: self.now });
    }

    /// Replaces the agent by one that continues with the stored records, serialised and parsed.
    fn next_agent(&mut self, boot_id: &str) {
        let stored = serde_json::to_string(self.history.records()).unwrap();
        self.history = RunHistory::new(serde_json::from_str(&stored).unwrap(), boot(boot_id));
        self.hold = None;
    }

    fn cause(&self) -> DownCause {
        self.history.cause(&self.component.name).unwrap()
    }
}

#[test]
fn component_that_never_ran_is_never_seen() {
    let mut world = HistoryFixture::new();
    assert_eq!(world.history.cause(&"app".into()), None);
    world.see(&[]);
    let first = world.now;
    world.see(&[]);
    world.next_agent("c");
    world.see(&[]);
    assert_eq!(world.cause(), DownCause { at: first, kind: DownKind::NeverSeen, last_log_line: None });
}

#[test]
fn exit_has_its_time_and_is_kept_for_the_next_agent() {
    let mut world = HistoryFixture::new();
    world.see(&[7]);
    assert!(world.history.take_change());
    assert!(world.see(&[7]).is_none() && !world.history.take_change());
    world.ends(7, exit(7));
    let inquiry = world.see(&[]).unwrap();
    assert_eq!((inquiry.id.pid, inquiry.status, inquiry.started_at), (7, Some(exit(7)), Some(time(1))));
    let expected = DownCause {
        at: world.now,
        kind: DownKind::Exited { status: 7, is_clean: false },
        last_log_line: None,
    };
    assert_eq!(world.cause(), expected);
    let result = InquiryResult {
        kind: inquiry.status.map(|status| down_kind(status, &inquiry.success)),
        last_log_line: Some("bye".to_owned()),
    };
    world.history.apply_inquiry(&"app".into(), inquiry.id, result);
    assert!(world.see(&[]).is_none());
    world.next_agent("b");
    assert!(world.see(&[]).is_none());
    assert_eq!(world.cause(), DownCause { last_log_line: Some("bye".to_owned()), ..expected });
    // Across a reboot too: what counts is that the component did not run before it.
    world.next_agent("c");
    world.see(&[]);
    assert!(matches!(world.cause().kind, DownKind::Exited { status: 7, .. }));
}

#[test]
fn probe_result_is_of_its_run_only() {
    let id = |pid| ProcessId { pid, start_ticks: u64::from(pid) };
    let report = |state, second, reason: &str| ProbeReport {
        state,
        since: Timestamp::from_second(second).unwrap(),
        reason: reason.to_owned(),
    };
    let mut world = HistoryFixture::new();
    let app = "app".into();
    world.see(&[7]);
    world.history.record_probe(&app, &report(ProbeState::Pending, 1, "not yet"));
    assert_eq!(world.history.recorded_probe(&app, id(7)), None);
    let failing = report(ProbeState::Failing, 2, "refused");
    world.history.record_probe(&app, &failing);
    assert!(world.history.take_change());
    // Only a change of the state is worth a write.
    world.history.record_probe(&app, &report(ProbeState::Failing, 2, "refused again"));
    assert!(!world.history.take_change());
    world.next_agent("b");
    assert_eq!(world.history.recorded_probe(&app, id(7)), Some(failing));
    let passing = report(ProbeState::Passing, 3, "");
    world.history.record_probe(&app, &passing);
    assert_eq!(world.history.recorded_probe(&app, id(7)), Some(passing));
    world.see(&[8]);
    assert_eq!(world.history.recorded_probe(&app, id(8)), None);
    world.history.record_probe(&app, &report(ProbeState::Passing, 4, ""));
    world.next_agent("c");
    assert_eq!(world.history.recorded_probe(&app, id(8)), None, "the same PID of another boot");
}

#[test]
fn line_found_in_the_log_is_of_its_run_only() {
    let id = |pid| ProcessId { pid, start_ticks: u64::from(pid) };
    let mut world = HistoryFixture::new();
    let app = "app".into();
    world.history.record_found_line(&app, "'up'");
    world.see(&[7]);
    assert!(!world.history.is_line_found(&app, id(7), "'up'"), "nothing ran then");
    world.history.record_found_line(&app, "'up'");
    world.see(&[7]);
    assert!(world.history.is_line_found(&app, id(7), "'up'"));
    assert!(!world.history.is_line_found(&app, id(7), "'ready'"), "another regex");
    world.next_agent("b");
    assert!(world.history.is_line_found(&app, id(7), "'up'"));
    world.see(&[8]);
    assert!(
        !world.history.is_line_found(&app, id(8), "'up'")
            && !world.history.is_line_found(&app, id(7), "'up'")
    );
    world.history.record_found_line(&app, "'up'");
    world.next_agent("c");
    assert!(!world.history.is_line_found(&app, id(8), "'up'"), "the same PID of another boot");
}

#[test]
fn restarts_count_but_those_of_operators() {
    let mut world = HistoryFixture::new();
    let within = Duration::from_secs(60);
    world.component.limits.restarts = Some(RestartLimit { most: 1, within });
    let exceeded = |world: &HistoryFixture| world.history.exceeded_restarts(&world.component, world.now);
    // The first start is none, and neither is the end of one process of several.
    world.see(&[]);
    world.see(&[7, 8]);
    world.see(&[8, 9]);
    world.see(&[9, 10]);
    // One after an end, which is allowed, and one between two observations.
    world.see(&[]);
    world.see(&[11]);
    assert_eq!(exceeded(&world), None);
    world.see(&[12]);
    let since = world.now;
    let expected = ExceededLimit {
        kind: LimitKind::Restarts,
        reason: "was restarted 2 times within 1 min, more often than 1".to_owned(),
        since,
    };
    assert_eq!(exceeded(&world), Some(expected.clone()));
    // Those of operators are no sign of trouble; the agent's own are.
    world.hold(ActionKind::Restart);
    world.see(&[]);
    world.see(&[13]);
    assert_eq!(exceeded(&world), Some(expected.clone()));
    world.next_agent("b");
    assert_eq!(exceeded(&world), Some(expected));
    world.hold = Some(ActionLock { kind: ActionKind::Start, by: Requester::autostart(), since: world.now });
    world.see(&[]);
    world.see(&[14]);
    let reason = exceeded(&world).unwrap().reason;
    assert!(reason.starts_with("was restarted 3 times"), "{reason}");
    // A reboot is no restart, and what is long ago does not count.
    world.next_agent("c");
    world.see(&[15]);
    assert_eq!(exceeded(&world).unwrap().reason, reason);
    world.now = time(since.as_second() + 61);
    world.see(&[15]);
    assert_eq!(exceeded(&world), None);
}

#[test]
fn status_may_be_known_after_the_end() {
    let mut world = HistoryFixture::new();
    world.see(&[7]);
    let inquiry = world.see(&[]).unwrap();
    let at = world.now;
    assert_eq!((world.cause().kind, inquiry.is_unwatched), (DownKind::Unknown, false));
    world.ends(7, ExitStatus::from_raw(9));
    world.see(&[]);
    let killed = DownKind::Killed { signal: 9, is_clean: false, out_of_memory: false };
    assert_eq!((world.cause().kind, world.cause().at), (killed, at));
    let oom = DownKind::Killed { signal: 9, is_clean: false, out_of_memory: true };
    world.history.apply_inquiry(
        &"app".into(),
        inquiry.id,
        InquiryResult { kind: Some(oom.clone()), last_log_line: None },
    );
    world.see(&[]);
    assert_eq!(world.cause().kind, oom);
}

#[test]
fn late_inquiry_result_changes_nothing() {
    let mut world = HistoryFixture::new();
    world.see(&[7]);
    let inquiry = world.see(&[]).unwrap();
    world.see(&[8]);
    world.ends(8, exit(0));
    world.see(&[]);
    let clean = DownKind::Exited { status: 0, is_clean: true };
    let answer = InquiryResult { kind: Some(DownKind::Unknown), last_log_line: Some("old".to_owned()) };
    world.history.apply_inquiry(&"app".into(), inquiry.id, answer);
    assert_eq!((world.cause().kind, world.cause().last_log_line), (clean, None));
}

#[test]
fn first_failed_process_is_the_cause() {
    let killed = |world: &HistoryFixture| matches!(world.cause().kind, DownKind::Killed { signal: 9, .. });
    // A master and workers that end with it, noticed one after the other.
    let mut world = HistoryFixture::new();
    world.see(&[7, 8, 9]);
    world.ends(7, ExitStatus::from_raw(9));
    world.see(&[8, 9]);
    world.ends(9, exit(1));
    world.ends(8, exit(0));
    assert_eq!(world.see(&[]).unwrap().id.pid, 7);
    assert!(killed(&world));

    // A wrapper that ends after the process that it wraps, noticed together.
    world.see(&[17, 18]);
    world.ends(18, ExitStatus::from_raw(9));
    world.ends(17, exit(137));
    assert_eq!(world.see(&[]).unwrap().id.pid, 18);
    assert!(killed(&world));

    // A launcher that has done its work, and the process that it launched.
    world.see(&[27, 28]);
    world.ends(27, exit(0));
    world.see(&[28]);
    world.ends(28, exit(3));
    world.see(&[]);
    assert_eq!(world.cause().kind, DownKind::Exited { status: 3, is_clean: false });

    // A failure long before is unrelated.
    world.see(&[37, 38]);
    world.ends(37, exit(1));
    world.see(&[38]);
    world.now = time(world.now.as_second() + 60);
    world.ends(38, exit(0));
    world.see(&[]);
    assert_eq!(world.cause().kind, DownKind::Exited { status: 0, is_clean: true });
}

#[test]
fn stop_names_its_requester_after_an_agent_restart() {
    let stopped = DownKind::Stopped { by: ann() };
    let mut world = HistoryFixture::new();
    world.see(&[7]);
    world.hold(ActionKind::Stop);
    let hold = world.hold.clone();
    world.ends(7, ExitStatus::from_raw(9));
    assert!(world.see(&[]).is_none());
    world.hold = None;
    world.see(&[]);
    assert_eq!(world.cause().kind, stopped);

    world.see(&[8]);
    world.next_agent("b");
    assert!(world.see(&[]).unwrap().is_unwatched);
    assert_eq!(world.cause().kind, DownKind::Unwatched);
    world.hold = hold;
    world.see(&[]);
    assert_eq!(world.cause().kind, stopped);

    // A stop of a component that had ended before is not the reason why it is down.
    world.hold = None;
    world.see(&[9]);
    world.ends(9, exit(1));
    world.see(&[]);
    world.now = time(100);
    world.hold(ActionKind::Stop);
    world.see(&[]);
    assert_eq!(world.cause().kind, DownKind::Exited { status: 1, is_clean: false });
}

#[test]
fn failed_start_takes_precedence_until_it_runs() {
    let mut world = HistoryFixture::new();
    world.see(&[]);
    world.hold(ActionKind::Start);
    world.see(&[7]);
    world.ends(7, exit(1));
    let inquiry = world.see(&[]).unwrap();
    let log = ["first".to_owned(), "port in use".to_owned()];
    world.history.start_failed(&"app".into(), FailedStart::new("it ended\nagain", &log), world.now);
    world.history.apply_inquiry(
        &"app".into(),
        inquiry.id,
        InquiryResult { kind: Some(DownKind::Unknown), last_log_line: None },
    );
    world.hold = None;
    world.see(&[]);
    world.next_agent("b");
    world.see(&[]);
    let cause = world.cause();
    assert_eq!(cause.kind, DownKind::StartFailed { reason: "it ended\\nagain".to_owned() });
    assert_eq!(cause.last_log_line.as_deref(), Some("port in use"));
    world.see(&[8]);
    world.ends(8, exit(0));
    world.see(&[]);
    assert_eq!(world.cause().kind, DownKind::Exited { status: 0, is_clean: true });
}

#[test]
fn reboot_is_the_cause_after_a_boot() {
    let mut world = HistoryFixture::new();
    world.see(&[7]);
    world.next_agent("c");
    assert!(world.see(&[]).is_none());
    assert_eq!((world.cause().kind, world.cause().at), (DownKind::Rebooted, time(5)));
}

#[test]
fn removed_component_is_forgotten() {
    let mut world = HistoryFixture::new();
    world.see(&[7]);
    world.history.take_change();
    world.history.retain(|_| true);
    assert!(!world.history.take_change());
    world.history.retain(|_| false);
    assert!(world.history.take_change() && world.history.records().is_empty());
}

#[test]
fn process_that_stopped_matching_is_the_cause_until_it_ends() {
    let mut world = HistoryFixture::new();
    world.see(&[7]);
    world.living = vec![7];
    let inquiry = world.see(&[]).unwrap();
    let name = world.component.name.clone();
    let unmatched = InquiryResult { kind: Some(DownKind::Unmatched { pid: 7 }), last_log_line: None };
    world.history.apply_inquiry(&name, inquiry.id, unmatched);
    let kind = |world: &HistoryFixture| world.history.cause(&name).unwrap().kind;
    world.see(&[]);
    assert_eq!(kind(&world), DownKind::Unmatched { pid: 7 });
    assert_eq!(world.history.last_processes(&name), [ProcessId { pid: 7, start_ticks: 7 }]);
    world.history.start_failed(&name, FailedStart::new("pid 7 is still there", &[]), world.now);
    assert_eq!(kind(&world), DownKind::Unmatched { pid: 7 });
    world.living = vec![];
    world.see(&[]);
    assert_eq!(kind(&world), DownKind::Unknown);
    world.ends(7, exit(3));
    world.see(&[]);
    assert_eq!(kind(&world), DownKind::Exited { status: 3, is_clean: false });
    // The next boot has other processes with these PIDs.
    let next = RunHistory::new(world.history.records().clone(), boot("c"));
    assert_eq!(next.last_processes(&name), []);
}
