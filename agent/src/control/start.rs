//! Starts a component by a command: launches it, and waits until it matches, settles and passes its probe.

use std::process::ExitStatus;
use std::time::Duration;

use rta_shared::action::{ActionOutcome, ActionPhase, ActionResult};
use rta_shared::config::{CommandRule, HostComponent, StartEngine, StartRule};
use rta_shared::process::{Process, ProcessId};
use rta_shared::redact::redact_command_line;
use rta_shared::report::{ComponentReport, PartReport, State};
use tokio::time::Instant;
use tonic::Code;

use super::act::Act;
use super::aftermath;
use super::ending::ending;
use super::eyes::{pids, pids_text};
use super::launch::{Launched, Order, Purpose, launch};
use super::launch_record::{Launch, monotonic_ms};
use super::marks::marked;
use super::probing::{Well, Wellness};
use super::process_tree::ProcessTree;
use super::refusal::{Refusal, off_the_runtime};

/// Interval between two checks of the processes.
const PACE: Duration = Duration::from_millis(100);
/// Number of checks, while nothing matches, after which one is a full scan: one a second.
const THOROUGH: u32 = 10;
/// Time limit for the exit status of an ended process to become known.
const REAPED: Duration = Duration::from_secs(1);
/// Minimum time for a launch of an earlier agent to become the component, however late this agent began.
const ADOPTED: Duration = Duration::from_secs(2);

/// Returns the start rule and the start command of a component.
///
/// # Errors
/// Returns an error if no start command is configured.
pub(super) fn startable(component: &HostComponent) -> Result<(&StartRule, &CommandRule), Refusal> {
    let rule = component.start.as_ref().and_then(|rule| match &rule.engine {
        StartEngine::Command(command) => Some((rule, command)),
        StartEngine::Systemd(_) => None,
    });
    rule.ok_or_else(|| {
        let reason = "the configuration has no start command for it; it is watched only";
        Refusal::new(Code::FailedPrecondition, reason)
    })
}

/// Starts a component. If it runs already, nothing is launched.
pub(super) async fn start(act: &Act) -> Result<ActionResult, Refusal> {
    let began = Instant::now();
    let (rule, command) = startable(&act.component)?;
    let found = act.eyes.look().await?;
    match found.state {
        State::Running => {
            act.launches
                .finished(&act.component.name, found.processes.iter().map(|process| process.id).collect());
            let pids = pids(&found.processes);
            return Ok(ActionResult {
                outcome: ActionOutcome::AlreadyRunning,
                pids,
                took: began.elapsed(),
                warning: None,
            });
        }
        State::Partial => {
            let reason =
                format!("some of its processes run already, missing: {}; stop it first", missing(&found));
            return Err(Refusal::new(Code::FailedPrecondition, reason));
        }
        State::Stopped | State::Starting | State::Stopping | State::Unknown => {}
    }
    aftermath::nothing_left(act).await?;
    aftermath::nothing_unmatched(act).await?;
    aftermath::no_launch_of_a_removed_component(act).await?;
    let order = Order {
        rule: command.clone(),
        group: act.group.clone(),
        log: act.component.log.clone(),
        purpose: Purpose::Start(rule.timeout),
        component: act.component.name.clone(),
        launches: act.launches.clone(),
        tasks: act.tasks.clone(),
    };
    let launched = launch(order).await?;
    act.eyes.follow_exit(&launched);
    let shown = redact_command_line(command.command.iter().map(String::as_str));
    tracing::info!(component = %act.component.name, pid = launched.pid, command = shown, "launched");
    let program = redact_command_line(command.command.first().map(String::as_str));
    act.news.tell(
        ActionPhase::Launched,
        format!("{program} was launched (pid {})", launched.pid),
        vec![launched.pid],
    );
    let seconds = rule.timeout.as_secs();
    act.news.tell(
        ActionPhase::Waiting,
        format!("waiting up to {seconds} s until its criteria match"),
        Vec::new(),
    );
    let pids = Start::new(act, rule, launched, rule.timeout).until_stable().await?;
    Ok(ActionResult { outcome: ActionOutcome::Started, pids, took: began.elapsed(), warning: None })
}

/// Continues a start whose command an earlier agent launched: waits for the rest of its time until the
/// component is stable, and ends the launched processes if they do not become the component.
///
/// # Errors
/// Returns an error if the component does not become stable.
pub(super) async fn adopt(act: &Act, launch: &Launch) -> Result<ActionResult, Refusal> {
    let began = Instant::now();
    let (rule, _) = startable(&act.component)?;
    let (leader, id) = (launch.leader, launch.id.clone());
    let (known, tasks) = (launch.clone(), act.tasks.clone());
    let (launched, members) = off_the_runtime(move || {
        let launched = Launched::adopted(&known, &tasks)?;
        let tree = ProcessTree::read().map_err(Refusal::failed)?;
        // Without its leader the session's number may have been reused, so the mark decides.
        let marked = marked(&tree, &id);
        let is_member = |id: &ProcessId| tree.get(id.pid).is_some_and(|links| links.session == leader.pid);
        Ok((launched, marked.into_iter().filter(is_member).collect()))
    })
    .await?;
    act.launches.has_members(&act.component.name, members);
    let left = Duration::from_millis(launch.deadline_ms.saturating_sub(monotonic_ms())).max(ADOPTED);
    act.news.tell(
        ActionPhase::Waiting,
        format!("what was launched before the agent was restarted (pid {}) is waited for", leader.pid),
        vec![leader.pid],
    );
    let mut start = Start::new(act, rule, launched, left);
    // While the leader lives, the members are read when it ends.
    start.knows_members = start.launched.has_ended();
    let pids = start.until_stable().await?;
    Ok(ActionResult { outcome: ActionOutcome::Started, pids, took: began.elapsed(), warning: None })
}

/// Running start.
struct Start<'a> {
    act: &'a Act,
    rule: &'a StartRule,
    launched: Launched,
    deadline: Instant,
    settled_at: Instant,
    /// Processes that matched at the last check.
    matched: Vec<Process>,
    /// PIDs of processes that matched and ended while the command continued: a launcher's helper carries the
    /// component's arguments for a moment, as that of Spark does.
    passed: Vec<u32>,
    /// True if no process was missing at the last check.
    was_whole: bool,
    /// True if the members of the session of an ended command are known.
    knows_members: bool,
    wellness: Wellness,
}

impl<'a> Start<'a> {
    /// Creates a start whose criteria must match within `left`.
    fn new(act: &'a Act, rule: &'a StartRule, launched: Launched, left: Duration) -> Self {
        let deadline = Instant::now() + left;
        Self {
            act,
            rule,
            launched,
            deadline,
            settled_at: deadline,
            matched: Vec::new(),
            passed: Vec::new(),
            was_whole: false,
            knows_members: false,
            wellness: Wellness::default(),
        }
    }

    /// Waits until the component is stable; returns the PIDs of its processes.
    async fn until_stable(mut self) -> Result<Vec<u32>, Refusal> {
        let mut looks = 0_u32;
        loop {
            // Read before the scan, so that a launcher that has just become the component does not count as
            // ended.
            let (exit, has_ended) = (self.launched.exit(), self.launched.has_ended());
            if has_ended && !self.knows_members {
                self.knows_members = true;
                self.keep_members().await;
            }
            // A quick check does not see a changed process title, so every few checks a full scan runs.
            looks += 1;
            let seen = match self.matched.is_empty() && looks.is_multiple_of(THOROUGH) {
                true => self.act.eyes.look().await,
                false => self.act.eyes.glance().await,
            };
            let found = seen.map_err(|refusal| self.left_behind(refusal))?;
            let is_whole = found.state == State::Running;
            let now = &found.processes;
            let stays = now.iter().any(|process| self.matched.iter().any(|before| before.id == process.id));
            if is_whole && self.was_whole && stays {
                if Instant::now() >= self.settled_at && self.is_well(now).await? {
                    return Ok(self.stable(now));
                }
            } else if now.is_empty() && !(self.matched.is_empty() && self.passed.is_empty()) {
                let has_just_ended = !self.matched.is_empty();
                if has_just_ended {
                    self.passed = pids(&self.matched);
                }
                if self.is_over(exit, has_ended).await? {
                    return Err(self.died().await);
                }
                if has_just_ended {
                    let who = pids_text(&self.passed);
                    let text =
                        format!("{who} ended, and what was launched goes on: waiting for what it becomes");
                    self.act.news.tell(ActionPhase::Waiting, text, Vec::new());
                }
            } else if is_whole {
                // It matches for the first time, or one process handed over to another: the settle time
                // begins again.
                self.begin_to_settle(now);
            } else if let Some(status) = exit.filter(|status| !self.is_success(*status) && now.is_empty()) {
                let reason = format!("the command ended with {} before the criteria matched", ending(status));
                return Err(self.given_up(Code::Internal, reason).await);
            }
            if !is_whole {
                self.wellness.begin_anew();
                if Instant::now() >= self.deadline {
                    return Err(self.too_late(&found).await);
                }
            }
            self.matched = found.processes;
            self.was_whole = is_whole;
            if Instant::now() >= self.deadline + self.rule.settle + PACE && self.settled_at > Instant::now() {
                return Err(self.restless().await);
            }
            tokio::time::sleep(PACE).await;
        }
    }

    /// Returns true if this exit status counts as a success of the command.
    fn is_success(&self, status: ExitStatus) -> bool {
        self.act.component.restart.success.is_success(status)
    }

    /// Called after the match has ended. Returns true if no other process can take its place.
    async fn is_over(&self, exit: Option<ExitStatus>, has_ended: bool) -> Result<bool, Refusal> {
        if self.passed.contains(&self.launched.pid) {
            return Ok(true);
        }
        match exit {
            _ if !has_ended => Ok(false),
            Some(status) if !self.is_success(status) => Ok(true),
            // A launcher that leaves processes behind may have left the future component.
            Some(_) | None => Ok(!aftermath::is_left(self.act).await?),
        }
    }

    /// Records the members of the session that has just lost its leader.
    async fn keep_members(&self) {
        let leader = self.launched.id;
        let members = off_the_runtime(move || {
            ProcessTree::read().map(|tree| tree.session_members(leader)).map_err(Refusal::failed)
        });
        match members.await {
            Ok(members) => self.act.launches.has_members(&self.act.component.name, members),
            Err(refusal) => tracing::warn!(reason = refusal.reason, "a session's members are not known"),
        }
    }

    /// Ends the processes that a failed start left, so that the next start finds none.
    async fn given_up(&self, code: Code, reason: String) -> Refusal {
        let words = self.launched.last_words().await;
        let rest = aftermath::end(self.act, &self.launched).await;
        let reason = if rest.is_empty() { reason } else { format!("{reason}; {rest}") };
        Refusal::new(code, reason).with_log(words)
    }

    fn begin_to_settle(&mut self, now: &[Process]) {
        self.settled_at = Instant::now() + self.rule.settle;
        self.wellness.begin_anew();
        let settle = self.rule.settle.as_secs_f64();
        let pids = pids(now);
        let matches = if pids.len() == 1 { "matches; it has" } else { "match; they have" };
        let text = format!("{} {matches} to stay for {settle} s", pids_text(&pids));
        self.act.news.tell(ActionPhase::Matched, text, pids);
    }

    /// Called after the settle time. Returns true if the component has no probe, or if the probe has passed.
    async fn is_well(&mut self, now: &[Process]) -> Result<bool, Refusal> {
        let rule = self.act.component.probe.as_ref();
        match self.wellness.ask(rule, &self.act.news, &pids(now)) {
            Well::Yes => Ok(true),
            Well::No(reason) if Instant::now() >= self.deadline => Err(self.unwell(now, &reason).await),
            Well::No(_) | Well::NotKnown => Ok(false),
        }
    }

    fn stable(&self, now: &[Process]) -> Vec<u32> {
        let ids = now.iter().map(|process| process.id).collect();
        self.act.launches.finished(&self.act.component.name, ids);
        let pids = pids(now);
        let text = match self.act.component.probe {
            Some(_) => "it stayed, and its probe passed",
            None => "it stayed",
        };
        self.act.news.tell(ActionPhase::Stable, text, pids.clone());
        pids
    }

    /// Returns the refusal for a component that runs, but whose probe did not pass in time.
    async fn unwell(&self, now: &[Process], reason: &str) -> Refusal {
        let ids = now.iter().map(|process| process.id).collect();
        self.act.launches.finished(&self.act.component.name, ids);
        let (seconds, who) = (self.rule.timeout.as_secs(), pids_text(&pids(now)));
        let reason =
            format!("its probe did not pass within {seconds} s: {reason}; it is left running ({who})");
        Refusal::new(Code::DeadlineExceeded, reason).with_log(self.launched.last_words().await)
    }

    /// Returns the refusal for a component that matched, and ended before it was stable.
    async fn died(&mut self) -> Refusal {
        let pids = std::mem::take(&mut self.passed);
        // The match is often the launched process itself, which is being reaped just now.
        let exit = match pids.contains(&self.launched.pid) {
            true => self.launched.exit_within(REAPED).await,
            false => self.launched.exit(),
        };
        let how = match exit {
            Some(status) if pids.contains(&self.launched.pid) => format!(" with {}", ending(status)),
            Some(status) if !self.is_success(status) => {
                format!("; the command that launched it ended with {}", ending(status))
            }
            // The exit status is available to the parent only, which is not the agent here.
            Some(_) | None => String::new(),
        };
        let reason = format!("it started ({}) and ended again{how}", pids_text(&pids));
        self.given_up(Code::Internal, reason).await
    }

    /// Returns the refusal for a component that did not match in time.
    async fn too_late(&self, found: &ComponentReport) -> Refusal {
        let seconds = self.rule.timeout.as_secs();
        let what = match found.state {
            State::Partial => {
                format!("within {seconds} s only some of its processes ran, missing: {}", missing(found))
            }
            _ if self.passed.is_empty() => format!("no process matched its criteria within {seconds} s"),
            _ => {
                let who = pids_text(&self.passed);
                let reason = format!(
                    "it started ({who}) and ended again, and nothing took its place within {seconds} s"
                );
                return self.given_up(Code::DeadlineExceeded, reason).await;
            }
        };
        let how = match (self.launched.exit(), self.launched.has_ended()) {
            (Some(_), _) => format!("; the command (pid {}) had ended without an error", self.launched.pid),
            (None, true) => format!("; the command (pid {}) had ended", self.launched.pid),
            (None, false) => String::new(),
        };
        self.given_up(Code::DeadlineExceeded, format!("{what}{how}; check the criteria")).await
    }

    /// Returns the refusal for a component whose processes replace each other, so that none settles.
    async fn restless(&self) -> Refusal {
        let ids = self.matched.iter().map(|process| process.id).collect();
        self.act.launches.finished(&self.act.component.name, ids);
        let seconds = (self.rule.timeout + self.rule.settle).as_secs();
        let who = pids_text(&pids(&self.matched));
        let reason = format!(
            "its processes keep changing: after {seconds} s none had stayed for its settle time (now {who})"
        );
        Refusal::new(Code::Aborted, reason).with_log(self.launched.last_words().await)
    }

    /// Returns the refusal for a start that cannot be observed any longer.
    fn left_behind(&self, refusal: Refusal) -> Refusal {
        let reason = format!("{}; what was launched (pid {}) goes on", refusal.reason, self.launched.pid);
        Refusal { reason, ..refusal }
    }
}

/// Returns the missing parts: `driver, worker (1 of 2)`.
fn missing(found: &ComponentReport) -> String {
    let missing: Vec<String> = found.parts.iter().filter_map(PartReport::missing).collect();
    missing.join(", ")
}
