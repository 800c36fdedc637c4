//! Tests of all ways in which a process appears, changes and ends, on a simulated host.

use rta_shared::process::{ProcessId, Suspension};

use super::*;

const KAFKA: PartId = PartId { component: 0, part: 0 };
const SPARK: PartId = PartId { component: 1, part: 0 };

/// Processes of a simulated host.
#[derive(Default)]
struct FakeHost(HashMap<u32, ProcessObservation>);

impl FakeHost {
    fn matched(&mut self, pid: u32, parent_pid: u32, start_ticks: u64, part: PartId) {
        self.candidate(pid, parent_pid, start_ticks, vec![part], false);
    }

    fn candidate(
        &mut self,
        pid: u32,
        parent_pid: u32,
        start_ticks: u64,
        parts: Vec<PartId>,
        may_change: bool,
    ) {
        let process = Process::new(ProcessId { pid, start_ticks }, parent_pid);
        let candidate = ProcessCandidate { process, parts, doubts: vec![], may_change };
        self.0.insert(pid, ProcessObservation::Candidate(candidate));
    }

    fn suspend(&mut self, pid: u32, suspension: Option<Suspension>) {
        let Some(ProcessObservation::Candidate(candidate)) = self.0.get_mut(&pid) else {
            panic!("{pid} is none")
        };
        candidate.process.suspension = suspension;
    }
}

impl ProcessObserver for FakeHost {
    fn observe(&mut self, pid: u32) -> ProcessObservation {
        self.0.get(&pid).cloned().unwrap_or(ProcessObservation::Other)
    }

    fn suspension(&mut self, id: ProcessId) -> Result<Option<Suspension>, Errno> {
        match self.0.get(&id.pid) {
            Some(ProcessObservation::Candidate(candidate)) if candidate.process.id == id => {
                Ok(candidate.process.suspension)
            }
            _ => Err(Errno::SRCH),
        }
    }
}

struct TrackerFixture {
    host: FakeHost,
    tracker: Tracker,
    now: Instant,
}

impl TrackerFixture {
    /// Returns a host on which Kafka runs as PID 10.
    fn new() -> Self {
        let mut world = Self { host: FakeHost::default(), tracker: Tracker::default(), now: Instant::now() };
        world.host.matched(10, 1, 100, KAFKA);
        world.scan(ChangeOrigin::Expected);
        assert_eq!(world.matched(), [(10, 100)]);
        world.tracker.take_change();
        world
    }

    fn event(&mut self, event: ProcessEvent) {
        self.tracker.handle_event(event, self.now, &mut self.host);
    }

    fn scan(&mut self, occasion: ChangeOrigin) {
        self.tracker.begin_scan();
        let pids: Vec<u32> = self.host.0.keys().copied().collect();
        for pid in pids {
            self.tracker.check_process(pid, occasion, &mut self.host);
        }
        self.tracker.end_scan(occasion, &mut self.host);
    }

    /// Advances the clock; returns the missed changes.
    fn after(&mut self, time: Duration) -> Vec<u32> {
        self.now += time;
        self.tracker.check_due(self.now, &mut self.host)
    }

    fn matched(&self) -> Vec<(u32, u64)> {
        self.tracker.matches().iter().map(|(process, _)| (process.id.pid, process.id.start_ticks)).collect()
    }
}

#[test]
fn exit_removes_process_at_once() {
    let mut world = TrackerFixture::new();
    world.host.0.clear();
    world.event(ProcessEvent::Exit { pid: 10, status: 0 });
    assert_eq!(world.matched(), []);
    assert!(world.tracker.take_change());
}

#[test]
fn exec_into_and_out_of_a_component_is_noticed() {
    let mut world = TrackerFixture::new();
    // bash, bash, java: one PID and one start time.
    world.event(ProcessEvent::Exec(20));
    assert_eq!(world.matched(), [(10, 100)]);
    world.host.matched(20, 1, 200, SPARK);
    world.event(ProcessEvent::Exec(20));
    assert_eq!(world.matched(), [(10, 100), (20, 200)]);
    world.host.0.remove(&20);
    world.event(ProcessEvent::Exec(20));
    assert_eq!(world.matched(), [(10, 100)]);
}

#[test]
fn child_before_exec_is_not_matched() {
    let mut world = TrackerFixture::new();
    world.host.matched(11, 10, 150, KAFKA);
    world.event(ProcessEvent::Fork { parent: 10, child: 11 });
    assert_eq!(world.matched(), [(10, 100)]);
    world.host.0.remove(&11);
    world.event(ProcessEvent::Exec(11));
    world.after(Duration::from_secs(1));
    assert_eq!(world.matched(), [(10, 100)]);
    assert!(!world.tracker.take_change(), "nothing was ever different");
}

#[test]
fn forked_worker_without_exec_is_matched() {
    let mut world = TrackerFixture::new();
    world.host.matched(11, 10, 150, KAFKA);
    world.event(ProcessEvent::Fork { parent: 10, child: 11 });
    assert!(world.tracker.next_due().is_some());
    world.after(EXEC_DELAY);
    assert_eq!(world.matched(), [(10, 100), (11, 150)]);
    // The children of that child are checked as well.
    world.host.matched(12, 11, 160, KAFKA);
    world.event(ProcessEvent::Fork { parent: 11, child: 12 });
    world.after(EXEC_DELAY);
    assert_eq!(world.matched().len(), 3);
    assert_eq!(world.tracker.next_due(), None);
}

#[test]
fn daemonizing_process_never_counts_as_stopped() {
    let mut world = TrackerFixture::new();
    world.host.matched(11, 1, 150, KAFKA);
    world.event(ProcessEvent::Fork { parent: 10, child: 11 });
    world.host.0.remove(&10);
    world.event(ProcessEvent::Exit { pid: 10, status: 0 });
    assert_eq!(world.matched(), [(11, 150)]);
}

#[test]
fn reused_pid_is_another_process() {
    let mut world = TrackerFixture::new();
    // The exit event of the old process arrives only when the new one exists and matches.
    world.host.matched(10, 1, 900, KAFKA);
    world.event(ProcessEvent::Exit { pid: 10, status: 0 });
    assert_eq!(world.matched(), [(10, 900)]);
    assert!(world.tracker.take_change());
    // The exit event was lost: the fork of a process with that PID reveals it.
    world.host.0.remove(&10);
    world.event(ProcessEvent::Fork { parent: 1, child: 10 });
    assert_eq!(world.matched(), []);
}

#[test]
fn unexplained_scan_change_counts_as_missed() {
    let mut world = TrackerFixture::new();
    world.host.matched(20, 1, 200, SPARK);
    world.scan(ChangeOrigin::FullScan(world.now));
    assert_eq!(world.matched().len(), 2, "the scan is the truth");
    assert_eq!(world.after(EVENT_DELAY), [20]);
    assert_eq!(world.after(EVENT_DELAY), [] as [u32; 0], "it is counted once");

    world.host.matched(30, 1, 300, SPARK);
    world.scan(ChangeOrigin::FullScan(world.now));
    world.event(ProcessEvent::Exec(30));
    assert_eq!(world.after(EVENT_DELAY), [] as [u32; 0]);

    world.host.0.remove(&10);
    world.scan(ChangeOrigin::FullScan(world.now));
    assert_eq!(world.after(EVENT_DELAY), [10], "a death that was not told");
    world.scan(ChangeOrigin::FullScan(world.now));
    assert_eq!(world.after(EVENT_DELAY), [] as [u32; 0]);
}

#[test]
fn unreadable_process_is_reported_until_readable_or_ended() {
    let mut world = TrackerFixture::new();
    world.host.0.insert(7, ProcessObservation::Unreadable(Errno::ACCESS));
    world.event(ProcessEvent::Exec(7));
    assert!(world.tracker.take_change());
    assert!(
        world
            .tracker
            .unreadable_processes()
            .reason_for(0)
            .is_some_and(|reason| reason.starts_with("the command line of pid 7 cannot be read: "))
    );
    world.scan(ChangeOrigin::Expected);
    assert!(!world.tracker.take_change());
    world.host.0.insert(9, ProcessObservation::Unreadable(Errno::ACCESS));
    world.event(ProcessEvent::Exec(9));
    assert!(
        world
            .tracker
            .unreadable_processes()
            .reason_for(0)
            .is_some_and(|reason| reason.contains("pid 7 cannot be read, nor that of another one: "))
    );
    world.host.0.remove(&7);
    world.event(ProcessEvent::Exit { pid: 7, status: 0 });
    world.host.0.remove(&9);
    world.scan(ChangeOrigin::Expected);
    assert_eq!(world.tracker.unreadable_processes(), UnreadableProcesses::default());
}

#[test]
fn unreadable_process_is_no_longer_matched() {
    let mut world = TrackerFixture::new();
    world.host.0.insert(10, ProcessObservation::Unreadable(Errno::ACCESS));
    world.tracker.recheck(&mut world.host);
    assert_eq!(world.matched(), []);
    assert!(world.tracker.unreadable_processes().reason_for(0).is_some());
}

#[test]
fn recheck_notices_exits_and_new_matches() {
    let mut world = TrackerFixture::new();
    world.host.matched(11, 10, 150, KAFKA);
    world.event(ProcessEvent::Fork { parent: 10, child: 11 });
    world.host.0.remove(&10);
    world.tracker.recheck(&mut world.host);
    assert_eq!(world.matched(), [(11, 150)]);
}

#[test]
fn double_fork_is_matched_with_late_events() {
    let mut world = TrackerFixture::new();
    // All of it has happened before the first event is read.
    world.host.0.clear();
    world.host.matched(12, 1, 160, KAFKA);
    world.event(ProcessEvent::Fork { parent: 10, child: 11 });
    world.event(ProcessEvent::Exit { pid: 10, status: 0 });
    world.event(ProcessEvent::Fork { parent: 11, child: 12 });
    world.event(ProcessEvent::Exit { pid: 11, status: 0 });
    world.after(EXEC_DELAY);
    assert_eq!(world.matched(), [(12, 160)]);
}

#[test]
fn missed_exit_is_noticed_and_counted() {
    let mut world = TrackerFixture::new();
    world.host.0.clear();
    world.tracker.verify(world.now, &mut world.host);
    assert_eq!(world.matched(), []);
    assert_eq!(world.after(EVENT_DELAY), [10]);
}

#[test]
fn doubt_about_one_component_does_not_affect_others() {
    let mut world = TrackerFixture::new();
    let mut doubtful = |pid, part, reason: &str| {
        let process = Process::new(ProcessId { pid, start_ticks: 1 }, 1);
        let doubts = vec![(part, reason.to_owned())];
        world.host.0.insert(
            pid,
            ProcessObservation::Candidate(ProcessCandidate {
                process,
                parts: vec![],
                doubts,
                may_change: true,
            }),
        );
    };
    doubtful(30, SPARK, "the executable of pid 30 cannot be read: not permitted");
    doubtful(20, SPARK, "the executable of pid 20 cannot be read: not permitted");
    world.scan(ChangeOrigin::Expected);
    assert!(world.tracker.take_change());
    assert_eq!(world.matched(), [(10, 100)]);
    let unseen = world.tracker.unreadable_processes();
    assert_eq!(unseen.reason_for(KAFKA.component), None);
    assert_eq!(
        unseen.reason_for(SPARK.component).as_deref(),
        Some(
            "pid 20 may be it, and the executable of pid 20 cannot be read: not permitted; \
             run the agent as root or give it CAP_SYS_PTRACE"
        )
    );
    world.host.0.remove(&20);
    world.event(ProcessEvent::Exit { pid: 20, status: 0 });
    assert!(
        world
            .tracker
            .unreadable_processes()
            .reason_for(SPARK.component)
            .is_some_and(|reason| reason.starts_with("pid 30 "))
    );
}

#[test]
fn process_that_changes_its_user_matches_without_exec() {
    let mut world = TrackerFixture::new();
    // The arguments match, the user does not.
    world.host.candidate(20, 1, 150, vec![], true);
    world.event(ProcessEvent::Exec(20));
    assert_eq!(world.matched(), [(10, 100)]);
    assert_eq!(world.tracker.process(20).map(|process| process.id.pid), Some(20));
    world.host.candidate(20, 1, 150, vec![SPARK], true);
    world.tracker.refresh_suspensions(&mut world.host);
    assert_eq!(world.matched(), [(10, 100), (20, 150)]);
    // The process ceases to match; no event could have reported that, so none was missed.
    world.host.candidate(20, 1, 150, vec![], true);
    world.scan(ChangeOrigin::FullScan(world.now));
    assert_eq!(world.matched(), [(10, 100)]);
    assert_eq!(world.after(EVENT_DELAY), [] as [u32; 0]);
}

#[test]
fn suspended_process_is_noticed_without_an_event() {
    let mut world = TrackerFixture::new();
    let suspension =
        |world: &TrackerFixture| world.tracker.process(10).and_then(|process| process.suspension);
    world.tracker.refresh_suspensions(&mut world.host);
    assert!(!world.tracker.take_change());
    world.host.suspend(10, Some(Suspension::Signal));
    world.tracker.refresh_suspensions(&mut world.host);
    assert!(world.tracker.take_change());
    assert_eq!(suspension(&world), Some(Suspension::Signal));
    world.host.suspend(10, None);
    // A full scan notices it as well, and does not count it as a missed event.
    world.scan(ChangeOrigin::FullScan(world.now));
    assert!(world.tracker.take_change());
    assert_eq!((suspension(&world), world.after(EVENT_DELAY)), (None, vec![]));
}
