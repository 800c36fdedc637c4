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

use crate::actions::component_view::{format_pids, pids};
use crate::actions::context::ActionContext;
use crate::actions::error::{ActionError, run_blocking_step};
use crate::actions::exit_status::format_exit_status;
use crate::actions::failed_start_cleanup;
use crate::actions::launch::{LaunchPurpose, LaunchRequest, LaunchedCommand, launch};
use crate::actions::launch_record::{LaunchedSession, monotonic_ms};
use crate::actions::marked_processes::find_marked_processes;
use crate::actions::start_probe::{ProbeGate, ProbeGateState};
use crate::host::process_tree::ProcessTree;

/// Interval between two checks of the processes.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Number of checks, while nothing matches, after which one is a full scan: one a second.
const FULL_SCAN_EVERY: u32 = 10;
/// Time limit for the exit status of an ended process to become known.
const EXIT_STATUS_TIMEOUT: Duration = Duration::from_secs(1);
/// Minimum time for a launch of an earlier agent to become the component, however late this agent began.
const MIN_ADOPTED_TIME: Duration = Duration::from_secs(2);

/// Returns the start rule and the start command of a component.
///
/// # Errors
/// Returns an error if no start command is configured.
pub(crate) fn start_command(component: &HostComponent) -> Result<(&StartRule, &CommandRule), ActionError> {
    let rule = component.start.as_ref().and_then(|rule| match &rule.engine {
        StartEngine::Command(command) => Some((rule, command)),
        StartEngine::Systemd(_) => None,
    });
    rule.ok_or_else(|| {
        let reason = "the configuration has no start command for it; it is watched only";
        ActionError::new(Code::FailedPrecondition, reason)
    })
}

/// Starts a component. If it runs already, nothing is launched.
pub(crate) async fn start_component(context: &ActionContext) -> Result<ActionResult, ActionError> {
    let began = Instant::now();
    let (rule, command) = start_command(&context.component)?;
    let found = context.view.full_scan().await?;
    match found.state {
        State::Running => {
            context.sessions.record_matched(
                &context.component.name,
                found.processes.iter().map(|process| process.id).collect(),
            );
            let pids = pids(&found.processes);
            return Ok(ActionResult {
                outcome: ActionOutcome::AlreadyRunning,
                pids,
                took: began.elapsed(),
                warning: None,
            });
        }
        State::Partial => {
            let reason = format!(
                "some of its processes run already, missing: {}; stop it first",
                format_missing_parts(&found)
            );
            return Err(ActionError::new(Code::FailedPrecondition, reason));
        }
        State::Stopped | State::Starting | State::Stopping | State::Unknown => {}
    }
    failed_start_cleanup::refuse_if_launch_remains(context).await?;
    failed_start_cleanup::refuse_if_unmatched_remains(context).await?;
    failed_start_cleanup::refuse_if_removed_launch_pending(context).await?;
    let order = LaunchRequest {
        rule: command.clone(),
        group: context.cgroup.clone(),
        log: context.component.log.clone(),
        purpose: LaunchPurpose::Start(rule.timeout),
        component: context.component.name.clone(),
        launches: context.sessions.clone(),
        tasks: context.tasks.clone(),
    };
    let launched = launch(order).await?;
    context.view.record_exit(&launched);
    let shown = redact_command_line(command.command.iter().map(String::as_str));
    tracing::info!(component = %context.component.name, pid = launched.pid, command = shown, "launched");
    let program = redact_command_line(command.command.first().map(String::as_str));
    context.progress.send(
        ActionPhase::Launched,
        format!("{program} was launched (pid {})", launched.pid),
        vec![launched.pid],
    );
    let seconds = rule.timeout.as_secs();
    context.progress.send(
        ActionPhase::Waiting,
        format!("waiting up to {seconds} s until its criteria match"),
        Vec::new(),
    );
    let pids = RunningStart::new(context, rule, launched, rule.timeout).wait_until_stable().await?;
    Ok(ActionResult { outcome: ActionOutcome::Started, pids, took: began.elapsed(), warning: None })
}

/// Continues a start whose command an earlier agent launched: waits for the rest of its time until the
/// component is stable, and ends the launched processes if they do not become the component.
///
/// # Errors
/// Returns an error if the component does not become stable.
pub(crate) async fn adopt_start(
    context: &ActionContext,
    launch: &LaunchedSession,
) -> Result<ActionResult, ActionError> {
    let began = Instant::now();
    let (rule, _) = start_command(&context.component)?;
    let (leader, id) = (launch.leader, launch.id.clone());
    let (known, tasks) = (launch.clone(), context.tasks.clone());
    let (launched, members) = run_blocking_step(move || {
        let launched = LaunchedCommand::adopt(&known, &tasks)?;
        let tree = ProcessTree::read().map_err(ActionError::internal)?;
        // Without its leader the session's number may have been reused, so the mark decides.
        let marked = find_marked_processes(&tree, &id);
        let is_member = |id: &ProcessId| tree.get(id.pid).is_some_and(|links| links.session == leader.pid);
        Ok((launched, marked.into_iter().filter(is_member).collect()))
    })
    .await?;
    context.sessions.record_members(&context.component.name, members);
    let left = Duration::from_millis(launch.deadline_ms.saturating_sub(monotonic_ms())).max(MIN_ADOPTED_TIME);
    context.progress.send(
        ActionPhase::Waiting,
        format!("what was launched before the agent was restarted (pid {}) is waited for", leader.pid),
        vec![leader.pid],
    );
    let mut start = RunningStart::new(context, rule, launched, left);
    // While the leader lives, the members are read when it ends.
    start.knows_members = start.launched.has_ended();
    let pids = start.wait_until_stable().await?;
    Ok(ActionResult { outcome: ActionOutcome::Started, pids, took: began.elapsed(), warning: None })
}

/// Running start.
struct RunningStart<'a> {
    context: &'a ActionContext,
    rule: &'a StartRule,
    launched: LaunchedCommand,
    deadline: Instant,
    settled_at: Instant,
    /// Processes that matched at the last check.
    matched: Vec<Process>,
    /// PIDs of processes that matched and ended while the command continued: a launcher's helper carries the
    /// component's arguments for a moment, as that of Spark does.
    ended_matches: Vec<u32>,
    /// True if no process was missing at the last check.
    was_whole: bool,
    /// True if the members of the session of an ended command are known.
    knows_members: bool,
    probe_gate: ProbeGate,
}

impl<'a> RunningStart<'a> {
    /// Creates a start whose criteria must match within `left`.
    fn new(
        context: &'a ActionContext,
        rule: &'a StartRule,
        launched: LaunchedCommand,
        left: Duration,
    ) -> Self {
        let deadline = Instant::now() + left;
        Self {
            context,
            rule,
            launched,
            deadline,
            settled_at: deadline,
            matched: Vec::new(),
            ended_matches: Vec::new(),
            was_whole: false,
            knows_members: false,
            probe_gate: ProbeGate::default(),
        }
    }

    /// Waits until the component is stable; returns the PIDs of its processes.
    async fn wait_until_stable(mut self) -> Result<Vec<u32>, ActionError> {
        let mut looks = 0_u32;
        loop {
            // Read before the scan, so that a launcher that has just become the component does not count as
            // ended.
            let (exit, has_ended) = (self.launched.exit_status(), self.launched.has_ended());
            if has_ended && !self.knows_members {
                self.knows_members = true;
                self.record_session_members().await;
            }
            // A quick check does not see a changed process title, so every few checks a full scan runs.
            looks += 1;
            let seen = match self.matched.is_empty() && looks.is_multiple_of(FULL_SCAN_EVERY) {
                true => self.context.view.full_scan().await,
                false => self.context.view.quick_check().await,
            };
            let found = seen.map_err(|error| self.with_running_command(error))?;
            let is_whole = found.state == State::Running;
            let now = &found.processes;
            let stays = now.iter().any(|process| self.matched.iter().any(|before| before.id == process.id));
            if is_whole && self.was_whole && stays {
                if Instant::now() >= self.settled_at && self.is_probe_passed(now).await? {
                    return Ok(self.record_stable(now));
                }
            } else if now.is_empty() && !(self.matched.is_empty() && self.ended_matches.is_empty()) {
                let has_just_ended = !self.matched.is_empty();
                if has_just_ended {
                    self.ended_matches = pids(&self.matched);
                }
                if self.has_failed(exit, has_ended).await? {
                    return Err(self.early_exit_error().await);
                }
                if has_just_ended {
                    let who = format_pids(&self.ended_matches);
                    let text =
                        format!("{who} ended, and what was launched goes on: waiting for what it becomes");
                    self.context.progress.send(ActionPhase::Waiting, text, Vec::new());
                }
            } else if is_whole {
                // It matches for the first time, or one process handed over to another: the settle time
                // begins again.
                self.begin_settling(now);
            } else if let Some(status) = exit.filter(|status| !self.is_success(*status) && now.is_empty()) {
                let reason = format!(
                    "the command ended with {} before the criteria matched",
                    format_exit_status(status)
                );
                return Err(self.abandon(Code::Internal, reason).await);
            }
            if !is_whole {
                self.probe_gate.reset();
                if Instant::now() >= self.deadline {
                    return Err(self.timeout_error(&found).await);
                }
            }
            self.matched = found.processes;
            self.was_whole = is_whole;
            if Instant::now() >= self.deadline + self.rule.settle + CHECK_INTERVAL
                && self.settled_at > Instant::now()
            {
                return Err(self.never_settled_error().await);
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
    }

    /// Returns true if this exit status counts as a success of the command.
    fn is_success(&self, status: ExitStatus) -> bool {
        self.context.component.restart.success.is_success(status)
    }

    /// Called after the match has ended. Returns true if no other process can take its place.
    async fn has_failed(&self, exit: Option<ExitStatus>, has_ended: bool) -> Result<bool, ActionError> {
        if self.ended_matches.contains(&self.launched.pid) {
            return Ok(true);
        }
        match exit {
            _ if !has_ended => Ok(false),
            Some(status) if !self.is_success(status) => Ok(true),
            // A launcher that leaves processes behind may have left the future component.
            Some(_) | None => Ok(!failed_start_cleanup::is_launch_remaining(self.context).await?),
        }
    }

    /// Records the members of the session that has just lost its leader.
    async fn record_session_members(&self) {
        let leader = self.launched.id;
        let members = run_blocking_step(move || {
            ProcessTree::read().map(|tree| tree.session_members(leader)).map_err(ActionError::internal)
        });
        match members.await {
            Ok(members) => self.context.sessions.record_members(&self.context.component.name, members),
            Err(error) => tracing::warn!(reason = error.reason, "a session's members are not known"),
        }
    }

    /// Ends the processes that a failed start left, so that the next start finds none.
    async fn abandon(&self, code: Code, reason: String) -> ActionError {
        let words = self.launched.last_log_lines().await;
        let rest = failed_start_cleanup::end_launch(self.context, &self.launched).await;
        let reason = if rest.is_empty() { reason } else { format!("{reason}; {rest}") };
        ActionError::new(code, reason).with_log(words)
    }

    fn begin_settling(&mut self, now: &[Process]) {
        self.settled_at = Instant::now() + self.rule.settle;
        self.probe_gate.reset();
        let settle = self.rule.settle.as_secs_f64();
        let pids = pids(now);
        let matches = if pids.len() == 1 { "matches; it has" } else { "match; they have" };
        let text = format!("{} {matches} to stay for {settle} s", format_pids(&pids));
        self.context.progress.send(ActionPhase::Matched, text, pids);
    }

    /// Called after the settle time. Returns true if the component has no probe, or if the probe has passed.
    async fn is_probe_passed(&mut self, now: &[Process]) -> Result<bool, ActionError> {
        let rule = self.context.component.probe.as_ref();
        match self.probe_gate.check(rule, &self.context.progress, &pids(now)) {
            ProbeGateState::Passed => Ok(true),
            ProbeGateState::Failing(reason) if Instant::now() >= self.deadline => {
                Err(self.probe_failed_error(now, &reason).await)
            }
            ProbeGateState::Failing(_) | ProbeGateState::Pending => Ok(false),
        }
    }

    fn record_stable(&self, now: &[Process]) -> Vec<u32> {
        let ids = now.iter().map(|process| process.id).collect();
        self.context.sessions.record_matched(&self.context.component.name, ids);
        let pids = pids(now);
        let text = match self.context.component.probe {
            Some(_) => "it stayed, and its probe passed",
            None => "it stayed",
        };
        self.context.progress.send(ActionPhase::Stable, text, pids.clone());
        pids
    }

    /// Creates the error for a component that runs, but whose probe did not pass in time.
    async fn probe_failed_error(&self, now: &[Process], reason: &str) -> ActionError {
        let ids = now.iter().map(|process| process.id).collect();
        self.context.sessions.record_matched(&self.context.component.name, ids);
        let (seconds, who) = (self.rule.timeout.as_secs(), format_pids(&pids(now)));
        let reason =
            format!("its probe did not pass within {seconds} s: {reason}; it is left running ({who})");
        ActionError::new(Code::DeadlineExceeded, reason).with_log(self.launched.last_log_lines().await)
    }

    /// Creates the error for a component that matched, and ended before it was stable.
    async fn early_exit_error(&mut self) -> ActionError {
        let pids = std::mem::take(&mut self.ended_matches);
        // The match is often the launched process itself, which is being reaped just now.
        let exit = match pids.contains(&self.launched.pid) {
            true => self.launched.wait_for_exit(EXIT_STATUS_TIMEOUT).await,
            false => self.launched.exit_status(),
        };
        let how = match exit {
            Some(status) if pids.contains(&self.launched.pid) => {
                format!(" with {}", format_exit_status(status))
            }
            Some(status) if !self.is_success(status) => {
                format!("; the command that launched it ended with {}", format_exit_status(status))
            }
            // The exit status is available to the parent only, which is not the agent here.
            Some(_) | None => String::new(),
        };
        let reason = format!("it started ({}) and ended again{how}", format_pids(&pids));
        self.abandon(Code::Internal, reason).await
    }

    /// Creates the error for a component that did not match in time.
    async fn timeout_error(&self, found: &ComponentReport) -> ActionError {
        let seconds = self.rule.timeout.as_secs();
        let what = match found.state {
            State::Partial => {
                format!(
                    "within {seconds} s only some of its processes ran, missing: {}",
                    format_missing_parts(found)
                )
            }
            _ if self.ended_matches.is_empty() => {
                format!("no process matched its criteria within {seconds} s")
            }
            _ => {
                let who = format_pids(&self.ended_matches);
                let reason = format!(
                    "it started ({who}) and ended again, and nothing took its place within {seconds} s"
                );
                return self.abandon(Code::DeadlineExceeded, reason).await;
            }
        };
        let how = match (self.launched.exit_status(), self.launched.has_ended()) {
            (Some(_), _) => format!("; the command (pid {}) had ended without an error", self.launched.pid),
            (None, true) => format!("; the command (pid {}) had ended", self.launched.pid),
            (None, false) => String::new(),
        };
        self.abandon(Code::DeadlineExceeded, format!("{what}{how}; check the criteria")).await
    }

    /// Creates the error for a component whose processes replace each other, so that none settles.
    async fn never_settled_error(&self) -> ActionError {
        let ids = self.matched.iter().map(|process| process.id).collect();
        self.context.sessions.record_matched(&self.context.component.name, ids);
        let seconds = (self.rule.timeout + self.rule.settle).as_secs();
        let who = format_pids(&pids(&self.matched));
        let reason = format!(
            "its processes keep changing: after {seconds} s none had stayed for its settle time (now {who})"
        );
        ActionError::new(Code::Aborted, reason).with_log(self.launched.last_log_lines().await)
    }

    /// Creates the error for a start that cannot be observed any longer.
    fn with_running_command(&self, error: ActionError) -> ActionError {
        let reason = format!("{}; what was launched (pid {}) goes on", error.reason, self.launched.pid);
        ActionError { reason, ..error }
    }
}

/// Returns the missing parts: `driver, worker (1 of 2)`.
fn format_missing_parts(found: &ComponentReport) -> String {
    let missing: Vec<String> = found.parts.iter().filter_map(PartReport::missing).collect();
    missing.join(", ")
}
