//! Tracks the processes to stop: scans for them repeatedly, signals them, and waits for their exit.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rta_shared::config::{HostComponent, HostConfig, StopScope};
use rta_shared::process::{CommandLine, ProcessId};
use rustix::io::Errno;
use rustix::process::Signal;
use tokio::time::Instant;
use tonic::Code;

use super::act::Act;
use super::cgroup::ComponentCgroup;
use super::held::{Held, named, still_there};
use super::marks::marked;
use super::process_tree::ProcessTree;
use super::refusal::{Refusal, off_the_runtime};
use super::scope::{Moment, Scope, lineage};
use crate::cgroup_mount::{CgroupFreezers, FrozenCgroup};
use crate::process_attributes::ProcfsAttributes;
use crate::procfs::ProcFs;

/// Interval between two checks for exited processes.
const PACE: Duration = Duration::from_millis(20);
/// Time of waiting after which the remaining processes are scanned again.
const LOOK: Duration = Duration::from_millis(200);
/// Maximum number of processes that are awaited at once: a process may have 1,024 files open by default
/// (getrlimit(2)).
const AWAITED: usize = 128;

/// Processes that are being stopped: those of a component, or those that were launched for it.
pub(super) struct Chase<'a> {
    act: &'a Act,
    component: Arc<HostComponent>,
    /// Limits the set to the last launch, whether its processes match or not.
    only_launched: bool,
    /// True if the session and the control group belong to the component; decided in the first scan.
    is_wide: Option<bool>,
    /// `None` only while the scope is lent to a thread.
    scope: Option<Scope>,
    /// Processes found since the stop began, in the order of discovery.
    met: Vec<ProcessId>,
}

/// Remaining processes at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
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
pub(super) struct Signalled {
    pub(super) reached: Vec<ProcessId>,
    /// Processes that the agent may not signal.
    pub(super) denied: Vec<ProcessId>,
    /// Reason for the first of the denied processes.
    pub(super) why: Option<Refusal>,
    /// Processes that a signal had stopped, and that were resumed.
    pub(super) resumed: Vec<ProcessId>,
    /// Processes that act on no signal, each with its frozen control group.
    pub(super) frozen: Vec<(ProcessId, FrozenCgroup)>,
}

impl Signalled {
    /// Resumes a signalled process that is stopped or frozen. `own` is the control group that the agent made
    /// for the component; no other group is thawed.
    fn resume(&mut self, held: &Held, signal: Signal, own: Option<&ComponentCgroup>) {
        if signal != Signal::KILL {
            // Like systemd, since a stopped process runs no handler. SIGCONT does not harm a running process,
            // and a sender that was allowed the first signal is allowed this one.
            let _ = held.send(Signal::CONT);
            if held.is_stopped {
                self.resumed.push(held.id);
            }
        }
        let Some(frozen) = &held.frozen else { return };
        // In cgroup version 2 SIGKILL takes effect despite the freezer.
        let holds = signal != Signal::KILL || frozen.is_legacy;
        let is_thawed = own.is_some_and(|own| own.is_at(&frozen.folder)) && frozen.thaw();
        if holds && !is_thawed {
            self.frozen.push((held.id, frozen.clone()));
        }
    }
}

impl Left {
    pub(super) fn is_empty(&self) -> bool {
        self.matched.is_empty() && self.rest.is_empty()
    }

    pub(super) fn all(&self) -> Vec<ProcessId> {
        self.matched.iter().chain(&self.rest).copied().collect()
    }

    /// Returns true if a process still is what it was found as: a match still meets all criteria, and another
    /// process has not become another component's. Returns false if that cannot be determined.
    fn is_right(
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

impl<'a> Chase<'a> {
    /// Creates the set of all processes that belong to the component.
    pub(super) fn new(act: &'a Act) -> Self {
        Self::with(act, false, act.component.stop.scope)
    }

    /// Creates the set of the last launch and all of its descendants.
    pub(super) fn of_launch(act: &'a Act) -> Self {
        Self::with(act, true, StopScope::Tree)
    }

    fn with(act: &'a Act, only_launched: bool, reach: StopScope) -> Self {
        let scope = Some(Scope::new(reach, std::process::id()));
        let component = Arc::new(act.component.clone());
        Self { act, component, only_launched, is_wide: None, scope, met: Vec::new() }
    }

    /// Returns the remaining processes; scans all processes if `thorough`.
    ///
    /// # Errors
    /// Returns an error if the processes cannot be read, or if a match is an ancestor of the agent or the
    /// host's first process.
    pub(super) async fn look(&mut self, thorough: bool) -> Result<Left, Refusal> {
        let surroundings = self.act.eyes.surroundings(thorough).await?;
        let Some(mut scope) = self.scope.take() else {
            return Err(Refusal::failed("it lost sight of its processes"));
        };
        let group = self.act.group.clone();
        let session = self.act.launches.of(&self.component.name);
        let only_launched = self.only_launched;
        // A launch that never became the component belongs to it in every scope. If something matches, it did
        // become the component, whichever agent saw that.
        let never_became = session.as_ref().is_some_and(|one| one.is_unfinished)
            && (only_launched || surroundings.matched.is_empty());
        let is_tree = self.component.stop.scope == StopScope::Tree;
        let is_wide = *self.is_wide.get_or_insert(is_tree || never_became);
        let (scope, left) = off_the_runtime(move || {
            // The table is read before the group: see `Moment::control_group`.
            let tree = ProcessTree::read().map_err(unreadable)?;
            let members =
                group.as_ref().filter(|_| is_wide).map(ComponentCgroup::members).unwrap_or_default();
            // Processes that left the session and the control group are found by their mark as far as
            // possible.
            let marked = match &session {
                Some(launch) if never_became && thorough => marked(&tree, &launch.id),
                Some(_) | None => Vec::new(),
            };
            let session = session.filter(|session| is_wide && session.stands(&tree));
            let matched = if only_launched { Vec::new() } else { surroundings.matched };
            let holy = lineage(std::process::id(), &tree);
            if let Some(id) = matched.iter().find(|id| holy.contains(&id.pid)) {
                return Err(untouchable(*id));
            }
            let found: Vec<u32> = members.iter().copied().chain(marked.iter().map(|id| id.pid)).collect();
            let moment = Moment {
                matched: &matched,
                others: &surroundings.others,
                control_group: &found,
                session: session.map(|session| session.leader),
            };
            let rest = scope.take(&tree, &moment);
            let whole_group = !members.is_empty() && !scope.spares_any(&tree, &members);
            Ok((scope, Left { matched, rest, whole_group, config: Some(surroundings.config) }))
        })
        .await?;
        self.scope = Some(scope);
        let met: HashSet<ProcessId> = self.met.iter().copied().collect();
        self.met.extend(left.all().into_iter().filter(|id| !met.contains(id)));
        Ok(left)
    }

    /// Signals those of `ids` that are unchanged since `left` was taken, and resumes suspended ones so that
    /// they act on it.
    pub(super) async fn signal(
        &self,
        left: &Left,
        ids: &[ProcessId],
        signal: Signal,
    ) -> Result<Signalled, Refusal> {
        let (left, component, ids) = (left.clone(), Arc::clone(&self.component), ids.to_vec());
        let group = self.act.group.clone();
        off_the_runtime(move || {
            let proc = ProcFs::open().map_err(unreadable)?;
            let freezers = CgroupFreezers::read();
            let mut signalled = Signalled::default();
            for id in ids {
                let is_right = |line: &CommandLine, process: &ProcfsAttributes<'_>| {
                    left.is_right(&component, id, line, process)
                };
                let held = Held::new(&proc, id, &freezers, is_right);
                let sent = held.and_then(|held| {
                    held.map(|held| {
                        held.send(signal).map(|()| signalled.resume(&held, signal, group.as_ref()))
                    })
                    .transpose()
                });
                match sent {
                    Ok(Some(())) => signalled.reached.push(id),
                    Ok(None) => {}
                    // The other processes are signalled nevertheless.
                    Err(refusal) => {
                        signalled.denied.push(id);
                        signalled.why.get_or_insert(refusal);
                    }
                }
            }
            Ok(signalled)
        })
        .await
    }

    /// Kills all remaining processes.
    pub(super) async fn kill(&self, left: &Left) -> Result<Signalled, Refusal> {
        if left.whole_group && self.act.group.as_ref().is_some_and(ComponentCgroup::kill) {
            // This reaches even processes that were forked since; those outside of the group follow.
            tracing::debug!(component = %self.component.name, "its control group is killed");
        }
        self.signal(left, &left.all(), Signal::KILL).await
    }

    /// Waits until the matched processes of `left` have ended, or the others if none matches; at most until
    /// the next scan is due.
    pub(super) async fn wait(&self, left: &Left, deadline: Instant) -> Result<(), Refusal> {
        let awaited = if left.matched.is_empty() { &left.rest } else { &left.matched };
        let awaited: Vec<ProcessId> = awaited.iter().take(AWAITED).copied().collect();
        let (seen, component) = (left.clone(), Arc::clone(&self.component));
        let mut held = off_the_runtime(move || {
            let proc = ProcFs::open().map_err(unreadable)?;
            let freezers = CgroupFreezers::default();
            let hold = |id| {
                let is_right = |line: &CommandLine, process: &ProcfsAttributes<'_>| {
                    seen.is_right(&component, id, line, process)
                };
                Held::new(&proc, id, &freezers, is_right).transpose()
            };
            awaited.into_iter().filter_map(hold).collect::<Result<Vec<Held>, Refusal>>()
        })
        .await?;
        let until = deadline.min(Instant::now() + LOOK);
        loop {
            // Waits at least once even if no process can be awaited: `left` is outdated then, and the caller
            // scans again.
            tokio::time::sleep(PACE).await;
            held = still_there(held)?;
            if held.is_empty() || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// Returns the PIDs of all processes found since the stop began.
    pub(super) fn met(&self) -> Vec<u32> {
        self.met.iter().map(|id| id.pid).collect()
    }

    /// Returns the PIDs of all found processes that are not in `left`.
    pub(super) fn ended(&self, left: &Left) -> Vec<u32> {
        let left: HashSet<ProcessId> = left.all().into_iter().collect();
        self.met.iter().filter(|id| !left.contains(id)).map(|id| id.pid).collect()
    }
}

/// Returns the processes with their names: `pid 7 (java), pid 8 (sleep)`.
pub(super) async fn who(ids: &[ProcessId]) -> String {
    let ids = ids.to_vec();
    let named = off_the_runtime(move || Ok(names(&ids))).await;
    named.unwrap_or_else(|refusal| refusal.reason)
}

fn names(ids: &[ProcessId]) -> String {
    /// A longer list does not help the reader.
    const SHOWN: usize = 10;
    let shown = ids.get(..SHOWN).unwrap_or(ids);
    let more = ids.len() - shown.len();
    let text = match ProcFs::open() {
        Ok(proc) => named(&proc, shown),
        Err(_) => shown.iter().map(|id| format!("pid {}", id.pid)).collect::<Vec<_>>().join(", "),
    };
    if more == 0 { text } else { format!("{text} and {more} more") }
}

/// Refuses to end a match that must never be signalled, whatever the configuration says.
fn untouchable(id: ProcessId) -> Refusal {
    let reason = format!(
        "{} matches its criteria, and is the host's first process or one that the agent itself runs below; nothing \
         was signalled; make the criteria narrower",
        names(&[id])
    );
    Refusal::new(Code::FailedPrecondition, reason)
}

fn unreadable(error: Errno) -> Refusal {
    Refusal::new(Code::Unavailable, format!("/proc cannot be read: {error}"))
}
