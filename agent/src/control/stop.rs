//! Stops a component: terminates the matched processes, then the remaining ones, and finally escalates as
//! configured.

use std::collections::HashSet;
use std::time::Duration;

use rta_shared::action::{ActionOutcome, ActionPhase, ActionResult};
use rta_shared::config::{StopRule, StopSignal};
use rta_shared::format::counted;
use rta_shared::process::ProcessId;
use rta_shared::redact::redact_command_line;
use rustix::process::Signal;
use tokio::time::Instant;
use tonic::Code;

use super::act::Act;
use super::chase::{Chase, Left, Signalled, who};
use super::ending::ending;
use super::eyes::pids_text;
use super::launch::{Launched, Order, Purpose, launch};
use super::process_tree::ProcessTree;
use super::refusal::{Refusal, off_the_runtime};
use super::supervisor::{Origin, Supervisor};
use super::suspension::{FrozenProcesses, resumed_text};
use crate::procfs::ProcFs;

/// Time limit for a process to end after SIGKILL. One in uninterruptible sleep may take longer.
const KILLED: Duration = Duration::from_secs(5);
/// Number of rounds after which a component that matches again counts as restarted by something else. Several
/// rounds are normal: a launcher's children may appear while the launcher ends.
const ROUNDS: u32 = 10;
/// Interval between two checks whether the component has come back.
const SETTLING: Duration = Duration::from_millis(100);
/// Maximum number of processes whose origin is read.
const ORIGINS: usize = 20;

/// Stops a component. If none of its processes exists, nothing is signalled.
pub(super) async fn stop(act: &Act) -> Result<ActionResult, Refusal> {
    let began = Instant::now();
    let mut chase = Chase::new(act);
    let left = chase.look(true).await?;
    if left.is_empty() {
        return Ok(ActionResult {
            outcome: ActionOutcome::AlreadyStopped,
            pids: Vec::new(),
            took: began.elapsed(),
            warning: None,
        });
    }
    let deadline = began + act.component.stop.timeout;
    let supervisor = supervisor_of(left.matched.clone(), left.all()).await;
    let mut stop = Stop {
        act,
        chase,
        supervisor,
        deadline,
        rounds: 0,
        asked: HashSet::new(),
        denied: HashSet::new(),
        why_denied: None,
        frozen: FrozenProcesses::default(),
        command: Command::Untried,
    };
    let outcome = stop.until_gone(left).await;
    let pids = stop.chase.met();
    let outcome = match outcome {
        Ok(outcome) => stop.stays_away().await.map(|()| outcome),
        Err(refusal) => Err(refusal),
    };
    // The command has done its work, or never will.
    if let Command::Runs(command) = stop.command {
        let pid = command.pid;
        if command.give_up().await {
            let text = format!("its stop command (pid {pid}) was still running and has been ended");
            act.news.tell(ActionPhase::Waiting, text, vec![pid]);
        }
    }
    let outcome = outcome?;
    act.launches.ended(&act.component.name);
    act.news.tell(ActionPhase::Gone, "nothing of it is left", pids.clone());
    if let Some(group) = &act.group {
        group.remove();
    }
    Ok(ActionResult { outcome, pids, took: began.elapsed(), warning: None })
}

/// Running stop.
struct Stop<'a> {
    act: &'a Act,
    chase: Chase<'a>,
    /// Program that may restart the component.
    supervisor: Option<Supervisor>,
    deadline: Instant,
    rounds: u32,
    /// Processes that got the signal, or that the command is to end.
    asked: HashSet<ProcessId>,
    /// Processes that the agent may not signal.
    denied: HashSet<ProcessId>,
    why_denied: Option<Refusal>,
    frozen: FrozenProcesses,
    command: Command,
}

/// Configured stop command.
enum Command {
    Untried,
    Runs(Launched),
    /// Ended with exit status 0.
    Worked,
    /// The signal is sent instead.
    Failed,
}

impl Stop<'_> {
    async fn until_gone(&mut self, mut left: Left) -> Result<ActionOutcome, Refusal> {
        loop {
            if left.is_empty() {
                left = self.chase.look(true).await?;
            }
            if left.is_empty() && !self.is_command_busy() {
                return Ok(ActionOutcome::Stopped);
            }
            if Instant::now() >= self.deadline {
                return self.last_resort(left).await;
            }
            if left.is_empty() {
                // Only the command is left.
                self.wait_for_command().await;
                self.look_at_command().await;
                continue;
            }
            self.ask(&left).await?;
            self.is_anybody_else(&left).await?;
            self.chase.wait(&left, self.deadline).await?;
            self.look_at_command().await;
            left = self.chase.look(false).await?;
        }
    }

    fn is_command_busy(&self) -> bool {
        matches!(&self.command, Command::Runs(command) if command.exit().is_none())
    }

    async fn wait_for_command(&mut self) {
        if let Command::Runs(command) = &mut self.command {
            command.exit_within(self.deadline.saturating_duration_since(Instant::now())).await;
        }
    }

    /// Records the result of a signal and reports suspended processes. Returns the PIDs that the signal
    /// reached.
    fn note(&mut self, signalled: Signalled) -> Vec<u32> {
        self.denied.extend(signalled.denied);
        if self.why_denied.is_none() {
            self.why_denied = signalled.why;
        }
        if let Some(text) = resumed_text(&signalled.resumed) {
            self.act.news.tell(
                ActionPhase::Signalled,
                text,
                signalled.resumed.iter().map(|id| id.pid).collect(),
            );
        }
        let frozen: Vec<ProcessId> = signalled.frozen.iter().map(|(id, _)| *id).collect();
        self.frozen.note(&signalled.reached, signalled.frozen);
        if let Some(why) = self.frozen.why(&frozen) {
            self.act.news.tell(ActionPhase::Waiting, why, frozen.iter().map(|id| id.pid).collect());
        }
        signalled.reached.iter().map(|id| id.pid).collect()
    }

    /// Succeeds if at least one remaining process can be waited for.
    ///
    /// # Errors
    /// Returns an error if the agent may signal none of the remaining processes.
    async fn is_anybody_else(&mut self, left: &Left) -> Result<(), Refusal> {
        let those = if left.matched.is_empty() { &left.rest } else { &left.matched };
        if !those.iter().all(|id| self.denied.contains(id)) {
            return Ok(());
        }
        let Some(refusal) = self.why_denied.take() else { return Ok(()) };
        let reason = format!("{}; still there: {}", refusal.reason, who(&left.all()).await);
        Err(Refusal { reason, ..refusal })
    }

    /// Terminates processes that were not signalled yet: the matched ones, by the stop command or the signal,
    /// and only after these have ended the others.
    async fn ask(&mut self, left: &Left) -> Result<(), Refusal> {
        let are_matched = !left.matched.is_empty();
        let those = if are_matched { &left.matched } else { &left.rest };
        let fresh: Vec<ProcessId> = those.iter().filter(|id| !self.asked.contains(id)).copied().collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let is_first = self.asked.is_empty();
        self.asked.extend(&fresh);
        if are_matched {
            self.rounds += 1;
            if self.rounds > ROUNDS {
                return Err(self.brought_back(left).await);
            }
            if matches!(self.command, Command::Untried) {
                self.run_command().await;
            }
            if matches!(self.command, Command::Runs(_) | Command::Worked) {
                // The command signals them too; a stopped process would not act on that.
                let resumed = self.chase.signal(left, &fresh, Signal::CONT).await?;
                self.note(Signalled { denied: Vec::new(), why: None, ..resumed });
                return Ok(());
            }
        }
        let signal = self.act.component.stop.signal;
        let named = who(&fresh).await;
        let signalled = self.chase.signal(left, &fresh, as_signal(signal)).await?;
        let pids = self.note(signalled);
        if pids.is_empty() {
            return Ok(());
        }
        let text = match are_matched {
            true => format!("{signal} was sent to {named}"),
            false => format!("{signal} was sent to what it left behind: {named}"),
        };
        self.act.news.tell(ActionPhase::Signalled, text, pids.clone());
        if is_first {
            self.tell_waiting(pids);
        }
        Ok(())
    }

    fn tell_waiting(&self, pids: Vec<u32>) {
        let (count, seconds) = (counted(pids.len(), "process"), self.act.component.stop.timeout.as_secs());
        let then = if self.act.component.stop.kill { "SIGKILL follows" } else { "it is given up" };
        let text = format!("waiting for the end of {count}; {then} after {seconds} s");
        self.act.news.tell(ActionPhase::Waiting, text, pids);
    }

    /// Runs the configured command, if there is one.
    async fn run_command(&mut self) {
        let Some(rule) = &self.act.component.stop.command else {
            self.command = Command::Failed;
            return;
        };
        let program = redact_command_line(rule.command.first().map(String::as_str));
        // Not in the component's control group, since it would end itself.
        match launch(Order {
            rule: rule.clone(),
            group: None,
            log: None,
            purpose: Purpose::Stop,
            component: self.act.component.name.clone(),
            launches: self.act.launches.clone(),
            tasks: self.act.tasks.clone(),
        })
        .await
        {
            Ok(launched) => {
                let pid = launched.pid;
                let shown = redact_command_line(rule.command.iter().map(String::as_str));
                tracing::info!(component = %self.act.component.name, pid, command = shown, "launched");
                let text = format!("its stop command {program} runs (pid {pid})");
                self.act.news.tell(ActionPhase::Signalled, text, vec![pid]);
                self.tell_waiting(self.asked.iter().map(|id| id.pid).collect());
                self.command = Command::Runs(launched);
            }
            Err(refusal) => {
                let text = format!("its stop command did not run, so it is signalled: {}", refusal.reason);
                self.act.news.tell(ActionPhase::Waiting, text, Vec::new());
                self.command = Command::Failed;
            }
        }
    }

    /// Checks for the end of the command. If it failed, the processes that it was to end are signalled.
    async fn look_at_command(&mut self) {
        let Command::Runs(command) = &self.command else { return };
        let Some(status) = command.exit() else { return };
        if status.success() {
            self.command = Command::Worked;
            return;
        }
        let mut text = format!("its stop command ended with {}, so it is signalled", ending(status));
        if let Some(last) = command.last_words().await.last() {
            text.push_str(&format!("; it said: {last}"));
        }
        self.act.news.tell(ActionPhase::Waiting, text, vec![command.pid]);
        self.command = Command::Failed;
        self.asked.clear();
    }

    /// Escalates after the time limit: kills the remaining processes if that is configured.
    async fn last_resort(&mut self, mut left: Left) -> Result<ActionOutcome, Refusal> {
        let rule = &self.act.component.stop;
        let seconds = rule.timeout.as_secs();
        let of_what = match self.command {
            Command::Runs(_) | Command::Worked => "its stop command".to_owned(),
            Command::Untried | Command::Failed => rule.signal.to_string(),
        };
        if left.is_empty() {
            // Only the command has not ended.
            return Ok(ActionOutcome::Stopped);
        }
        if !rule.kill {
            let named = who(&left.all()).await;
            let mut reason = format!(
                "{named} did not end within {seconds} s of {of_what}, and kill = false in its configuration"
            );
            if let Some(why) = self.frozen.why(&left.all()) {
                reason.push_str(&format!("; {why}"));
            }
            return Err(Refusal::new(Code::DeadlineExceeded, reason));
        }
        let deadline = Instant::now() + KILLED;
        let mut killed: HashSet<ProcessId> = HashSet::new();
        loop {
            let fresh: Vec<ProcessId> = left.all().into_iter().filter(|id| !killed.contains(id)).collect();
            if !fresh.is_empty() {
                self.rounds += u32::from(!killed.is_empty());
                if self.rounds > ROUNDS {
                    return Err(self.brought_back(&left).await);
                }
                let pids: Vec<u32> = fresh.iter().map(|id| id.pid).collect();
                tracing::warn!(component = %self.act.component.name, ?pids, "did not end in time and is killed");
                let text = format!(
                    "not ended within {seconds} s of {of_what}: SIGKILL was sent to {}",
                    who(&fresh).await
                );
                killed.extend(fresh);
                let signalled = self.chase.kill(&left).await?;
                self.note(signalled);
                self.is_anybody_else(&left).await?;
                self.act.news.tell(ActionPhase::Killed, text, pids);
            }
            self.chase.wait(&left, deadline).await?;
            left = self.chase.look(false).await?;
            if left.is_empty() {
                left = self.chase.look(true).await?;
            }
            if left.is_empty() {
                return Ok(ActionOutcome::Killed);
            }
            if Instant::now() >= deadline {
                let survivors = left.all();
                if !survivors.iter().any(|id| killed.contains(id)) {
                    return Err(self.brought_back(&left).await);
                }
                let (named, seconds) = (who(&survivors).await, KILLED.as_secs());
                let why = self
                    .frozen
                    .why(&survivors)
                    .unwrap_or_else(|| "the kernel holds it, perhaps on a disk".to_owned());
                let reason = format!("{named} did not end within {seconds} s of SIGKILL; {why}");
                return Err(Refusal::new(Code::DeadlineExceeded, reason));
            }
        }
    }

    /// Checks during the settle time that the component does not come back.
    ///
    /// # Errors
    /// Returns an error if it comes back, with the cause and how to stop it there.
    async fn stays_away(&mut self) -> Result<(), Refusal> {
        let settle = match (self.act.component.stop.settle, &self.supervisor) {
            (Some(settle), _) => settle,
            (None, Some(_)) => StopRule::SETTLE,
            (None, None) => Duration::ZERO,
        };
        if settle.is_zero() {
            return Ok(());
        }
        if let Some(supervisor) = self.supervisor.as_ref().filter(|supervisor| supervisor.is_known()) {
            let text = format!("it is gone, and is watched for {} s: {supervisor}", settle.as_secs_f64());
            self.act.news.tell(ActionPhase::Waiting, text, Vec::new());
        }
        let until = Instant::now() + settle;
        while Instant::now() < until {
            tokio::time::sleep(SETTLING.min(until.saturating_duration_since(Instant::now()))).await;
            let left = self.chase.look(Instant::now() >= until).await?;
            if !left.matched.is_empty() {
                return Err(self.brought_back(&left).await);
            }
        }
        Ok(())
    }

    /// Returns the refusal for a component that was started again in the meantime: ended processes do not
    /// come back.
    async fn brought_back(&self, left: &Left) -> Refusal {
        let ended = pids_text(&self.chase.ended(left));
        let supervisor =
            supervisor_of(left.matched.clone(), Vec::new()).await.or_else(|| self.supervisor.clone());
        let by = supervisor.map_or_else(|| "something else starts it".to_owned(), |by| by.to_string());
        let who = who(&left.all()).await;
        Refusal::new(Code::Aborted, format!("it was ended ({ended}), but {who} came in its place: {by}"))
    }
}

/// Returns what else starts one of `matched`, as far as that can be determined; `own` are the processes of
/// the component itself.
async fn supervisor_of(matched: Vec<ProcessId>, own: Vec<ProcessId>) -> Option<Supervisor> {
    let read = off_the_runtime(move || {
        let own: HashSet<u32> = own.iter().map(|id| id.pid).collect();
        let (Ok(proc), Ok(tree)) = (ProcFs::open(), ProcessTree::read()) else { return Ok(None) };
        let origins = matched.iter().take(ORIGINS).map(|id| Origin::read(&proc, &tree, *id, &own));
        Ok(origins.into_iter().find_map(|origin| origin.supervisor()))
    });
    // A failed read counts as unknown.
    read.await.ok().flatten()
}

fn as_signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::TERM,
        StopSignal::Int => Signal::INT,
        StopSignal::Hup => Signal::HUP,
        StopSignal::Quit => Signal::QUIT,
        StopSignal::Usr1 => Signal::USR1,
        StopSignal::Usr2 => Signal::USR2,
        StopSignal::Kill => Signal::KILL,
    }
}
