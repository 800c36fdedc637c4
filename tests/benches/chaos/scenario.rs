//! Sequence of actions and their times, determined by the seed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rta_tests::RandomNumbers;
use rta_tests::measurement::argument;

use crate::actual_state::ActualState;
use crate::aggregators::{AggregatorState, host_of};
use crate::components::{INSTANCES, Launch};
use crate::event_log::EventLog;
use crate::operators::Operators;
use crate::overview_checker::{OverviewChecker, Violation, name};
use crate::platform::{AGENTS, AgentLog, HOSTS, Platform};
use crate::sampler::OverviewSample;

/// Interval between samples.
const SAMPLED: Duration = Duration::from_millis(100);
/// Time without actions at the end, in which everything must settle.
const REST: Duration = Duration::from_secs(25);
/// Port of a second agent of a host.
const SECOND_PORT: u16 = 7602;

/// Scheduled follow-up of an action.
#[derive(Clone, Copy, Debug)]
enum DelayedAction {
    Heal(usize),
    Continue(usize, u32),
    EndLookAlikes(usize),
    PowerOn(usize),
    /// Stop the agent of an instance that is being started, start another agent, and request the start again.
    EndAgentInMidStart(usize, &'static str),
    StartAgent(usize, AgentLog),
    StartAggregator(usize),
    ResumeAggregator(usize),
    HealAggregator(usize),
    StartDatabase,
    ResumeDatabase,
    EndSecondAgent(usize),
    /// Request the start of an instance.
    Start(usize),
}

/// Running scenario.
#[derive(Debug)]
pub(crate) struct Scenario {
    platform: Platform,
    judge: OverviewChecker,
    operators: Operators,
    random: RandomNumbers,
    seed: u64,
    began: Instant,
    is_cut: [bool; AGENTS],
    /// True for hosts with a running action that excludes similar ones.
    is_taken: [bool; AGENTS],
    /// True while an aggregator or the database is disturbed; of several aggregators one at a time is.
    is_center_taken: bool,
    later: Vec<(Instant, DelayedAction)>,
    next_action: Instant,
    next_sample: Instant,
    done: BTreeMap<&'static str, usize>,
    /// Number of actions in the event stores read so far; each store is read at the end
    /// and before it is lost.
    actions_on_record: usize,
    /// Names of the excluded scenarios.
    left_out: Vec<String>,
    /// True if each action is printed.
    is_verbose: bool,
}

impl Scenario {
    /// Creates the scenario; its first action starts every instance.
    pub(crate) fn new(mut platform: Platform, seed: u64) -> Self {
        let now = Instant::now();
        let mut operators = Operators::new();
        (0..INSTANCES.len()).for_each(|at| operators.request(&mut platform, "start", at));
        Self {
            platform,
            judge: OverviewChecker::new(),
            operators,
            random: RandomNumbers::new(seed),
            seed,
            began: now,
            is_cut: [false; AGENTS],
            is_taken: [false; AGENTS],
            is_center_taken: false,
            later: Vec::new(),
            next_action: now,
            next_sample: now,
            done: BTreeMap::new(),
            actions_on_record: 0,
            left_out: argument("--without")
                .map_or(Vec::new(), |names| names.split(',').map(str::to_owned).collect()),
            is_verbose: std::env::args().any(|argument| argument == "--verbose"),
        }
    }

    /// Performs due actions and takes a sample.
    pub(crate) fn step(&mut self) {
        if Instant::now() >= self.next_action {
            self.act();
            let pause = 200 + u64::try_from(self.random.below(1300)).unwrap();
            self.next_action = Instant::now() + Duration::from_millis(pause);
        }
        self.sample();
    }

    fn sample(&mut self) {
        let now = Instant::now();
        let (due, later) = self.later.drain(..).partition(|(at, _)| *at <= now);
        self.later = later;
        for (_, action) in Vec::from_iter::<Vec<_>>(due) {
            self.end(action);
        }
        self.operators.poll();
        let truth = ActualState::observe(&self.platform, self.is_cut);
        let sample = self.platform.next_web().and_then(OverviewSample::take);
        self.judge.take(truth, sample);
        for at in self.judge.births() {
            if INSTANCES[at].launch != Launch::Restarted && !self.operators.asked_for(at) {
                let sentence = format!("{} began, and nobody asked for it", name(at));
                self.judge.report(Violation::Unattributed, &sentence);
            }
        }
        std::thread::sleep(self.next_sample.saturating_duration_since(Instant::now()));
        self.next_sample = Instant::now() + SAMPLED;
    }

    fn act(&mut self) {
        let at = self.random.below(INSTANCES.len());
        let host = self.random.below(AGENTS);
        let is_free = !self.is_taken[host];
        let is_left_out = |what| self.left_out.iter().any(|left_out| left_out == what);
        let are_several = self.platform.aggregators.are_several();
        let what = match self.random.below(100) {
            84.. if are_several && !self.is_center_taken => self.disturb_center(),
            30..40 => self.request("stop", at),
            40..48 => self.request("restart", at),
            48..60 => self.kill_process(at),
            60..66 if !is_left_out("stopped-process") => self.stop_process(at),
            66..72 if !is_left_out("look-alike") => self.look_alike(at),
            72..78 if is_free => self.restart_agent(host),
            78..84 if !is_left_out("mid-start") => self.end_agent_in_mid_start(),
            84..87 if is_free && !is_left_out("second-agent") => self.second_agent(host),
            87..93 if is_free => self.cut(host),
            93..96 if is_free => self.power_off(host),
            96..98 if !are_several && !self.is_center_taken => self.restart_aggregator(),
            98 if !are_several && !self.is_center_taken && !is_left_out("lost-data") => self.lose_data(),
            _ => self.request("start", at),
        };
        *self.done.entry(what).or_default() += 1;
        if self.is_verbose {
            println!("{:7.1} s  {what}: {} or {}", self.began.elapsed().as_secs_f64(), name(at), HOSTS[host]);
        }
    }

    fn request(&mut self, verb: &'static str, at: usize) -> &'static str {
        self.operators.request(&mut self.platform, verb, at);
        verb
    }

    /// Schedules `action` at a random time between `shortest` and `longest` milliseconds from now.
    fn later(&mut self, shortest: usize, longest: usize, action: DelayedAction) {
        let wait = shortest + self.random.below(longest - shortest);
        let at = Instant::now() + Duration::from_millis(u64::try_from(wait).unwrap());
        self.later.push((at, action));
    }

    /// Returns a process of an instance, from the last true state of its host.
    fn process(&self, at: usize) -> Option<u32> {
        self.judge.last()?.pids[at].first().copied()
    }

    fn kill_process(&mut self, at: usize) -> &'static str {
        if let Some(pid) = self.process(at) {
            self.platform.host(INSTANCES[at].host).signal(pid, "KILL");
        }
        "process killed"
    }

    fn stop_process(&mut self, at: usize) -> &'static str {
        if let Some(pid) = self.process(at) {
            self.platform.host(INSTANCES[at].host).signal(pid, "STOP");
            self.later(2000, 15_000, DelayedAction::Continue(INSTANCES[at].host, pid));
        }
        "process stopped by a signal"
    }

    fn look_alike(&mut self, at: usize) -> &'static str {
        if self.platform.host(INSTANCES[at].host).is_on() {
            self.platform.start_look_alike(at);
            self.later(3000, 9000, DelayedAction::EndLookAlikes(at));
        }
        "look-alike of another user"
    }

    fn restart_agent(&mut self, host: usize) -> &'static str {
        let (signal, what) = match self.random.below(2) {
            0 => ("TERM", "agent restarted"),
            _ => ("KILL", "agent killed and started"),
        };
        let log = if self.random.below(2) == 0 { AgentLog::File } else { AgentLog::ClosedPipe };
        self.end_agent(host, signal);
        self.later(10, 3000, DelayedAction::StartAgent(host, log));
        what
    }

    fn end_agent(&mut self, host: usize, signal: &str) {
        self.is_taken[host] = true;
        self.judge.disturb(host);
        self.platform.end_agents(host, signal);
        self.judge.disturb(host);
    }

    /// Starts a slow component, stops its agent before the launcher has become the component, then
    /// requests the start again.
    fn end_agent_in_mid_start(&mut self) -> &'static str {
        let slow: Vec<usize> = (0..INSTANCES.len())
            .filter(|at| INSTANCES[*at].launch == Launch::Slow && !self.is_taken[INSTANCES[*at].host])
            .collect();
        if let Some(at) = (!slow.is_empty()).then(|| slow[self.random.below(slow.len())]) {
            self.is_taken[INSTANCES[at].host] = true;
            self.kill_process(at);
            // The agent needs time to notice that the process has ended.
            self.later(1500, 1600, DelayedAction::Start(at));
            let signal = if self.random.below(2) == 0 { "KILL" } else { "TERM" };
            self.later(1800, 5000, DelayedAction::EndAgentInMidStart(at, signal));
        }
        "agent ended in mid-start"
    }

    fn second_agent(&mut self, host: usize) -> &'static str {
        self.is_taken[host] = true;
        self.platform.start_agent_at(host, SECOND_PORT, AgentLog::File);
        // The second agent waits two seconds for the first one's lock.
        self.later(4000, 7000, DelayedAction::EndSecondAgent(host));
        "second agent on a host"
    }

    fn cut(&mut self, host: usize) -> &'static str {
        self.is_taken[host] = true;
        self.is_cut[host] = true;
        self.judge.disturb(host);
        self.platform.host(host).cut();
        self.later(1000, 20_000, DelayedAction::Heal(host));
        "host cut off"
    }

    fn power_off(&mut self, host: usize) -> &'static str {
        self.is_taken[host] = true;
        self.judge.disturb(host);
        self.platform.hosts.get_mut(host).power_off();
        self.judge.disturb(host);
        self.later(500, 20_000, DelayedAction::PowerOn(host));
        "host lost power"
    }

    /// Deletes the running aggregator's data folder. Later requests must be recorded nevertheless.
    fn lose_data(&mut self) -> &'static str {
        self.check_record();
        std::fs::remove_dir_all(self.platform.path("data")).unwrap();
        self.operators.excuse();
        "data folder lost while the aggregator runs"
    }

    fn restart_aggregator(&mut self) -> &'static str {
        self.is_center_taken = true;
        let (signal, what) = match self.random.below(3) {
            0 => ("TERM", "aggregator restarted"),
            1 => ("KILL", "aggregator killed and started"),
            _ => ("KILL", "aggregator killed, its data folder lost"),
        };
        if what.ends_with("lost") {
            self.check_record();
        }
        self.platform.end_aggregator(0, signal);
        self.judge.disturb_all();
        if what.ends_with("lost") {
            std::fs::remove_dir_all(self.platform.path("data")).unwrap();
            self.operators.excuse();
        }
        self.later(10, 3000, DelayedAction::StartAggregator(0));
        what
    }

    /// Disturbs the leader, more often than others, or the database.
    fn disturb_center(&mut self) -> &'static str {
        let running = self.platform.aggregators.in_state(AggregatorState::Running);
        let leader = self.platform.aggregators.leader();
        let others: Vec<usize> = running.iter().copied().filter(|at| Some(*at) != leader).collect();
        self.is_center_taken = true;
        self.judge.disturb_all();
        match (self.random.below(12), leader) {
            (0..3, Some(leader)) => {
                self.platform.end_aggregator(leader, "KILL");
                self.later(10, 15_000, DelayedAction::StartAggregator(leader));
                "leader killed"
            }
            (3, Some(leader)) => {
                self.platform.end_aggregator(leader, "TERM");
                self.later(10, 5000, DelayedAction::StartAggregator(leader));
                "leader ended"
            }
            (4..6, Some(leader)) => {
                self.platform.pause_aggregator(leader);
                self.later(1000, 20_000, DelayedAction::ResumeAggregator(leader));
                "leader paused"
            }
            (6..8, Some(leader)) => {
                self.platform.host(host_of(leader)).cut();
                self.platform.aggregators.states[leader] = AggregatorState::Cut;
                self.later(1000, 20_000, DelayedAction::HealAggregator(leader));
                "leader cut off"
            }
            (8, _) if !others.is_empty() => {
                let other = others[self.random.below(others.len())];
                self.platform.end_aggregator(other, "KILL");
                self.later(10, 5000, DelayedAction::StartAggregator(other));
                "follower killed"
            }
            (9, _) => {
                self.platform.aggregators.pause_database();
                self.later(500, 10_000, DelayedAction::ResumeDatabase);
                "database hangs"
            }
            (number, _) => {
                self.platform.aggregators.stop_database(number % 2 == 0);
                self.later(10, 10_000, DelayedAction::StartDatabase);
                if number % 2 == 0 { "database crashed" } else { "database stopped" }
            }
        }
    }

    /// The disturbance of an aggregator or the database is over.
    fn free_center(&mut self) {
        self.judge.disturb_all();
        self.is_center_taken = false;
    }

    fn end(&mut self, action: DelayedAction) {
        match action {
            DelayedAction::Heal(host) => {
                self.platform.host(host).heal();
                self.judge.disturb(host);
                self.is_cut[host] = false;
                self.is_taken[host] = false;
            }
            DelayedAction::Continue(host, pid) if self.platform.host(host).is_on() => {
                self.platform.host(host).signal(pid, "CONT");
            }
            DelayedAction::EndLookAlikes(at) if self.platform.host(INSTANCES[at].host).is_on() => {
                self.platform.end_look_alikes(at);
            }
            DelayedAction::Continue(..) | DelayedAction::EndLookAlikes(_) => {}
            DelayedAction::PowerOn(host) => {
                self.platform.hosts.get_mut(host).power_on();
                self.end(DelayedAction::StartAgent(host, AgentLog::File));
            }
            DelayedAction::EndAgentInMidStart(at, signal) => {
                let host = INSTANCES[at].host;
                self.end_agent(host, signal);
                self.end(DelayedAction::StartAgent(host, AgentLog::File));
                self.later(300, 1000, DelayedAction::Start(at));
                self.later(1000, 3500, DelayedAction::Start(at));
            }
            DelayedAction::StartAgent(host, log) => {
                self.platform.start_agent(host, log);
                self.judge.disturb(host);
                self.is_taken[host] = false;
            }
            DelayedAction::StartAggregator(aggregator) => {
                self.platform.start_aggregator(aggregator);
                self.free_center();
            }
            DelayedAction::ResumeAggregator(aggregator) => {
                self.platform.resume_aggregator(aggregator);
                self.free_center();
            }
            DelayedAction::HealAggregator(aggregator) => {
                self.platform.host(host_of(aggregator)).heal();
                self.platform.aggregators.states[aggregator] = AggregatorState::Running;
                self.free_center();
            }
            DelayedAction::StartDatabase => {
                self.platform.aggregators.start_database();
                self.free_center();
            }
            DelayedAction::ResumeDatabase => {
                self.platform.aggregators.resume_database();
                self.free_center();
            }
            DelayedAction::EndSecondAgent(host) => {
                if self.platform.end_second_agent(host, SECOND_PORT) {
                    let sentence = format!("a second agent serves {}", HOSTS[host]);
                    self.judge.report(Violation::Double, &sentence);
                }
                self.is_taken[host] = false;
            }
            DelayedAction::Start(at) => {
                self.request("start", at);
            }
        }
    }

    /// Reports every recorded action without a name, and every completed request that was not recorded.
    fn check_record(&mut self) {
        // Each of several aggregators has the same record.
        for _ in 0..self.platform.aggregators.in_state(AggregatorState::Running).len() {
            if let Some(record) = self.platform.next_web().and_then(EventLog::read) {
                self.check_events(&record);
            }
        }
    }

    fn check_events(&mut self, record: &EventLog) {
        self.actions_on_record += record.actions;
        for sentence in &record.nameless {
            self.judge.report(Violation::Unattributed, &format!("nobody is named for: {sentence}"));
        }
        for operator in self.operators.carried_out().filter(|name| !record.names.contains(*name)) {
            self.judge.report(Violation::Unattributed, &format!("the record does not know {operator}"));
        }
    }

    /// Lets everything settle, reads the event store, and prints the results. Returns
    /// the number of violations.
    pub(crate) fn finish(mut self) -> usize {
        let elapsed = self.began.elapsed();
        let rest = Instant::now() + REST;
        while Instant::now() < rest || !self.later.is_empty() {
            self.sample();
        }
        self.operators.wait();
        self.check_record();
        self.done.iter().for_each(|(what, times)| println!("  {times:6} {what}"));
        let count = |violation| self.judge.count(violation);
        let (wrong, doubles) = (count(Violation::WrongState), count(Violation::Double));
        let (unattributed, stuck) = (count(Violation::Unattributed), count(Violation::Stuck));
        println!(
            "chaos: seed {}, {} s, {AGENTS} hosts, {} actions, {} requests of operators, {} actions on record, \
             {} samples: {wrong} wrong states, {doubles} doubles, {unattributed} unattributed, {stuck} stuck",
            self.seed,
            elapsed.as_secs(),
            self.done.values().sum::<usize>(),
            self.operators.requests,
            self.actions_on_record,
            self.judge.samples,
        );
        if self.platform.aggregators.are_several() {
            println!(
                "{} aggregators, {} changes of the leader; actions on record are counted at each of them",
                self.platform.aggregators.states.len(),
                self.platform.aggregators.epoch(),
            );
        }
        let violations = wrong + doubles + unattributed + stuck;
        if violations > 0 {
            println!("the logs are kept in {}", self.platform.keep_folder().display());
        }
        violations
    }
}
