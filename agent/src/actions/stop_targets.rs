//! Tracks the processes to stop: scans for them repeatedly, signals them, and waits for their exit.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rta_shared::config::{HostComponent, HostConfig, StopScope};
use rta_shared::process::{CommandLine, ProcessId};
use rustix::io::Errno;
use rustix::process::Signal;
use tokio::time::Instant;

use super::context::ActionContext;
use super::error::{ActionError, ActionErrorKind, run_blocking_step};
use super::marked_processes::find_marked_processes;
use super::pidfd_process::{PidfdProcess, name_processes, remaining_processes};
use super::scope::{ProcessScope, ScopeInput, protected_pids};
use crate::host::cgroup::ComponentCgroup;
use crate::host::cgroup_mount::{CgroupFreezers, FrozenCgroup};
use crate::host::process_attributes::ProcfsAttributes;
use crate::host::process_tree::ProcessTree;
use crate::host::procfs::ProcFs;

/// Interval between two checks for exited processes.
const EXIT_CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// Time of waiting after which the remaining processes are scanned again.
const RESCAN_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum number of processes that are awaited at once: a process may have 1,024 files open by default
/// (getrlimit(2)).
const MAX_AWAITED: usize = 128;

/// Processes that are being stopped: those of a component, or those that were launched for it.
pub(super) struct StopTargets<'a> {
    context: &'a ActionContext,
    component: Arc<HostComponent>,
    /// Limits the set to the last launch, whether its processes match or not.
    only_launched: bool,
    /// True if the session and the control group belong to the component; decided in the first scan.
    includes_session: Option<bool>,
    /// `None` only while the scope is moved into a blocking task.
    scope: Option<ProcessScope>,
    /// Processes found since the stop began, in the order of discovery.
    found: Vec<ProcessId>,
}

/// Remaining processes at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct RemainingProcesses {
    /// Processes that match the criteria, sorted.
    pub(super) matched: Vec<ProcessId>,
    /// Other processes that belong to the component, sorted.
    pub(super) rest: Vec<ProcessId>,
    /// True if the whole control group may be killed at once.
    whole_group: bool,
    config: Option<Arc<HostConfig>>,
}

/// Result of sending a signal.
#[derive(Debug, Default)]
pub(super) struct SignalResult {
    pub(super) reached: Vec<ProcessId>,
    /// Processes that the agent may not signal.
    pub(super) denied: Vec<ProcessId>,
    /// Reason for the first of the denied processes.
    pub(super) why: Option<ActionError>,
    /// Processes that a signal had stopped, and that were resumed.
    pub(super) resumed: Vec<ProcessId>,
    /// Processes that act on no signal, each with its frozen control group.
    pub(super) frozen: Vec<(ProcessId, FrozenCgroup)>,
}

impl SignalResult {
    /// Resumes a signalled process that is stopped or frozen. `own` is the control group that the agent made
    /// for the component; no other group is thawed.
    fn resume(&mut self, held: &PidfdProcess, signal: Signal, own: Option<&ComponentCgroup>) {
        if signal != Signal::KILL {
            // Like systemd, since a stopped process runs no handler. SIGCONT does not harm a running process,
            // and a sender that was allowed the first signal is allowed this one.
            let _ = held.send_signal(Signal::CONT);
            if held.is_stopped {
                self.resumed.push(held.id);
            }
        }
        let Some(frozen) = &held.frozen else { return };
        // In cgroup version 2 SIGKILL takes effect despite the freezer.
        let blocks_signals = signal != Signal::KILL || frozen.is_legacy;
        let is_thawed = own.is_some_and(|own| own.is_at(&frozen.folder)) && frozen.thaw();
        if blocks_signals && !is_thawed {
            self.frozen.push((held.id, frozen.clone()));
        }
    }
}

impl RemainingProcesses {
    pub(super) fn is_empty(&self) -> bool {
        self.matched.is_empty() && self.rest.is_empty()
    }

    pub(super) fn all(&self) -> Vec<ProcessId> {
        self.matched.iter().chain(&self.rest).copied().collect()
    }

    /// Returns true if a process still is what it was found as: a match still meets all criteria, and another
    /// process has not become another component's. Returns false if that cannot be determined.
    fn is_unchanged(
        &self,
        component: &HostComponent,
        id: ProcessId,
        line: &CommandLine,
        process: &ProcfsAttributes<'_>,
    ) -> bool {
        match self.matched.contains(&id) {
            true => component.matches_process(line, process) == Ok(true),
            false => self.config.iter().flat_map(|config| &config.components).all(|other| {
                other.name == component.name
                    || component.matches_process(line, process) == Ok(true)
                    || other.matches_process(line, process) == Ok(false)
            }),
        }
    }
}

impl<'a> StopTargets<'a> {
    /// Creates the set of all processes that belong to the component.
    pub(super) fn new(context: &'a ActionContext) -> Self {
        Self::with(context, false, context.component.stop.scope)
    }

    /// Creates the set of the last launch and all of its descendants.
    pub(super) fn launched_only(context: &'a ActionContext) -> Self {
        Self::with(context, true, StopScope::Tree)
    }

    fn with(context: &'a ActionContext, only_launched: bool, scope: StopScope) -> Self {
        let scope = Some(ProcessScope::new(scope, std::process::id()));
        let component = Arc::new(context.component.clone());
        Self { context, component, only_launched, includes_session: None, scope, found: Vec::new() }
    }

    /// Returns the remaining processes; scans all processes if `thorough`.
    ///
    /// # Errors
    /// Returns an error if the processes cannot be read, or if a match is an ancestor of the agent or the
    /// host's first process.
    pub(super) async fn find_remaining(&mut self, thorough: bool) -> Result<RemainingProcesses, ActionError> {
        let sets = self.context.view.process_sets(thorough).await?;
        let Some(mut scope) = self.scope.take() else {
            return Err(ActionError::internal("an earlier scan of its processes failed"));
        };
        let group = self.context.cgroup.clone();
        let session = self.context.records.last_launch(&self.component.name);
        let only_launched = self.only_launched;
        // A launch that never became the component belongs to it in every scope. If something matches, it did
        // become the component, whichever agent saw that.
        let is_unmatched_launch = session.as_ref().is_some_and(|one| one.is_unfinished)
            && (only_launched || sets.matched.is_empty());
        let is_tree = self.component.stop.scope == StopScope::Tree;
        let includes_session = *self.includes_session.get_or_insert(is_tree || is_unmatched_launch);
        let (scope, remaining) = run_blocking_step(move || {
            // The table is read before the group: see `ScopeInput::control_group`.
            let tree = ProcessTree::read().map_err(unreadable_proc)?;
            let members =
                group.as_ref().filter(|_| includes_session).map(ComponentCgroup::members).unwrap_or_default();
            // Processes that left the session and the control group are found by their mark as far as
            // possible.
            let marked = match &session {
                Some(launch) if is_unmatched_launch && thorough => find_marked_processes(&tree, &launch.id),
                Some(_) | None => Vec::new(),
            };
            let session = session.filter(|session| includes_session && session.is_session_alive(&tree));
            let matched = if only_launched { Vec::new() } else { sets.matched };
            let protected = protected_pids(std::process::id(), &tree);
            if let Some(id) = matched.iter().find(|id| protected.contains(&id.pid)) {
                return Err(protected_process(*id));
            }
            let found: Vec<u32> = members.iter().copied().chain(marked.iter().map(|id| id.pid)).collect();
            let input = ScopeInput {
                matched: &matched,
                others: &sets.others,
                control_group: &found,
                session: session.map(|session| session.leader),
            };
            let rest = scope.update(&tree, &input);
            let whole_group = !members.is_empty() && !scope.spares_any(&tree, &members);
            Ok((scope, RemainingProcesses { matched, rest, whole_group, config: Some(sets.config) }))
        })
        .await?;
        self.scope = Some(scope);
        let found_before: HashSet<ProcessId> = self.found.iter().copied().collect();
        self.found.extend(remaining.all().into_iter().filter(|id| !found_before.contains(id)));
        Ok(remaining)
    }

    /// Signals those of `ids` that are unchanged since `remaining` was read, and resumes suspended ones so that
    /// they act on it.
    pub(super) async fn signal(
        &self,
        remaining: &RemainingProcesses,
        ids: &[ProcessId],
        signal: Signal,
    ) -> Result<SignalResult, ActionError> {
        let (remaining, component, ids) = (remaining.clone(), Arc::clone(&self.component), ids.to_vec());
        let group = self.context.cgroup.clone();
        run_blocking_step(move || {
            let proc = ProcFs::open().map_err(unreadable_proc)?;
            let freezers = CgroupFreezers::read();
            let mut signalled = SignalResult::default();
            for id in ids {
                let is_right = |line: &CommandLine, process: &ProcfsAttributes<'_>| {
                    remaining.is_unchanged(&component, id, line, process)
                };
                let held = PidfdProcess::open_checked(&proc, id, &freezers, is_right);
                let sent = held.and_then(|held| {
                    held.map(|held| {
                        held.send_signal(signal).map(|()| signalled.resume(&held, signal, group.as_ref()))
                    })
                    .transpose()
                });
                match sent {
                    Ok(Some(())) => signalled.reached.push(id),
                    Ok(None) => {}
                    // The other processes are signalled nevertheless.
                    Err(error) => {
                        signalled.denied.push(id);
                        signalled.why.get_or_insert(error);
                    }
                }
            }
            Ok(signalled)
        })
        .await
    }

    /// Kills all remaining processes.
    pub(super) async fn kill(&self, remaining: &RemainingProcesses) -> Result<SignalResult, ActionError> {
        if remaining.whole_group && self.context.cgroup.as_ref().is_some_and(ComponentCgroup::kill) {
            // This reaches even processes that were forked since; those outside of the group follow.
            tracing::debug!(component = %self.component.name, "its control group is killed");
        }
        self.signal(remaining, &remaining.all(), Signal::KILL).await
    }

    /// Waits until the matched processes of `remaining` have ended, or the others if none matches; at most until
    /// the next scan is due.
    pub(super) async fn wait(
        &self,
        remaining: &RemainingProcesses,
        deadline: Instant,
    ) -> Result<(), ActionError> {
        let awaited = if remaining.matched.is_empty() { &remaining.rest } else { &remaining.matched };
        let awaited: Vec<ProcessId> = awaited.iter().take(MAX_AWAITED).copied().collect();
        let (seen, component) = (remaining.clone(), Arc::clone(&self.component));
        let mut held = run_blocking_step(move || {
            let proc = ProcFs::open().map_err(unreadable_proc)?;
            let freezers = CgroupFreezers::default();
            let hold = |id| {
                let is_right = |line: &CommandLine, process: &ProcfsAttributes<'_>| {
                    seen.is_unchanged(&component, id, line, process)
                };
                PidfdProcess::open_checked(&proc, id, &freezers, is_right).transpose()
            };
            awaited.into_iter().filter_map(hold).collect::<Result<Vec<PidfdProcess>, ActionError>>()
        })
        .await?;
        let until = deadline.min(Instant::now() + RESCAN_INTERVAL);
        loop {
            // Waits at least once even if no process can be awaited: `remaining` is outdated then, and the caller
            // scans again.
            tokio::time::sleep(EXIT_CHECK_INTERVAL).await;
            held = remaining_processes(held)?;
            if held.is_empty() || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// Returns the PIDs of all found processes that are not in `remaining`.
    pub(super) fn ended_pids(&self, remaining: &RemainingProcesses) -> Vec<u32> {
        let remaining: HashSet<ProcessId> = remaining.all().into_iter().collect();
        self.found.iter().filter(|id| !remaining.contains(id)).map(|id| id.pid).collect()
    }
}

/// Returns the processes with their names: `pid 7 (java), pid 8 (sleep)`.
pub(super) async fn describe_processes(ids: &[ProcessId]) -> String {
    let ids = ids.to_vec();
    let named = run_blocking_step(move || Ok(format_processes(&ids))).await;
    named.unwrap_or_else(|error| error.reason)
}

fn format_processes(ids: &[ProcessId]) -> String {
    /// A longer list does not help the reader.
    const SHOWN: usize = 10;
    let shown = ids.get(..SHOWN).unwrap_or(ids);
    let more = ids.len() - shown.len();
    let text = match ProcFs::open() {
        Ok(proc) => name_processes(&proc, shown),
        Err(_) => shown.iter().map(|id| format!("pid {}", id.pid)).collect::<Vec<_>>().join(", "),
    };
    if more == 0 { text } else { format!("{text} and {more} more") }
}

/// Refuses to end a match that must never be signalled, whatever the configuration says.
fn protected_process(id: ProcessId) -> ActionError {
    let reason = format!(
        "{} matches its criteria, and is the host's first process or one that the agent itself runs below; nothing \
         was signalled; make the criteria narrower",
        format_processes(&[id])
    );
    ActionError::new(ActionErrorKind::PreconditionFailed, reason)
}

fn unreadable_proc(error: Errno) -> ActionError {
    ActionError::new(ActionErrorKind::Unavailable, format!("/proc cannot be read: {error}"))
}
