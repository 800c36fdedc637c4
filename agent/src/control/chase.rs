//! The processes of a component that is being stopped: found again and again, signalled, and waited for.

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
use super::cgroup::Group;
use super::held::{Held, named, still_there};
use super::marks::marked;
use super::refusal::{Refusal, off_the_runtime};
use super::scope::{Moment, Scope, lineage};
use super::table::Table;
use crate::attributes::Attributes;
use crate::cgroup_mount::{Freezers, FrozenGroup};
use crate::procfs::Proc;

/// How often it is asked whether processes have ended.
const PACE: Duration = Duration::from_millis(20);
/// After so long of waiting, it is looked at what there is.
const LOOK: Duration = Duration::from_millis(200);
/// So many are waited for at once: a process may have 1,024 files open by default (getrlimit(2)).
const AWAITED: usize = 128;

/// The processes that are being ended: those of a component, or what was launched for it.
pub(super) struct Chase<'a> {
    act: &'a Act,
    component: Arc<HostComponent>,
    /// Only what was launched last, whether it matches or not.
    only_launched: bool,
    /// Whether its session and its control group belong to it, as was found at the first look.
    is_wide: Option<bool>,
    /// `None` only while it is lent to a thread.
    scope: Option<Scope>,
    /// All that were ever found, in that order.
    met: Vec<ProcessId>,
}

/// What is left at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Left {
    /// Those that match, sorted.
    pub(super) matched: Vec<ProcessId>,
    /// Those that belong to it beside these, sorted.
    pub(super) rest: Vec<ProcessId>,
    /// All in its control group may be killed at once.
    whole_group: bool,
    config: Option<Arc<HostConfig>>,
}

/// What became of a signal.
#[derive(Debug, Default)]
pub(super) struct Signalled {
    pub(super) reached: Vec<ProcessId>,
    /// Those that the agent may not signal.
    pub(super) denied: Vec<ProcessId>,
    /// Why not the first of these.
    pub(super) why: Option<Refusal>,
    /// Those that a signal had stopped, and that were resumed.
    pub(super) resumed: Vec<ProcessId>,
    /// Those that act on no signal, with the frozen control group that they are in.
    pub(super) frozen: Vec<(ProcessId, FrozenGroup)>,
}

impl Signalled {
    /// Lets a process that was signalled run again, where something keeps it from that. `own` is the control group that
    /// the agent made for the component: no other one is thawed.
    fn resume(&mut self, held: &Held, signal: Signal, own: Option<&Group>) {
        if signal != Signal::KILL {
            // As systemd does: a stopped process runs no handler. It does no harm to one that is not; and one that
            // could be sent the signal before can be sent this.
            let _ = held.send(Signal::CONT);
            if held.is_stopped {
                self.resumed.push(held.id);
            }
        }
        let Some(frozen) = &held.frozen else { return };
        // Version 2 lets SIGKILL through.
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

    /// Whether one that was found is what it was taken for: a match still meets all criteria, and the rest has not
    /// become another component's. What cannot be told is not so.
    fn is_right(
        &self,
        component: &HostComponent,
        id: ProcessId,
        line: &CommandLine,
        process: &Attributes<'_>,
    ) -> bool {
        match self.matched.contains(&id) {
            true => component.claims(line, process) == Ok(true),
            false => self.config.iter().flat_map(|config| &config.components).all(|other| {
                other.name == component.name
                    || component.claims(line, process) == Ok(true)
                    || other.claims(line, process) == Ok(false)
            }),
        }
    }
}

impl<'a> Chase<'a> {
    /// Of all that belongs to the component.
    pub(super) fn new(act: &'a Act) -> Self {
        Self::with(act, false, act.component.stop.scope)
    }

    /// Of what was launched for it last, and all that this began.
    pub(super) fn of_launch(act: &'a Act) -> Self {
        Self::with(act, true, StopScope::Tree)
    }

    fn with(act: &'a Act, only_launched: bool, reach: StopScope) -> Self {
        let scope = Some(Scope::new(reach, std::process::id()));
        let component = Arc::new(act.component.clone());
        Self { act, component, only_launched, is_wide: None, scope, met: Vec::new() }
    }

    /// What is left now; by a full scan, if it is to be thorough.
    ///
    /// # Errors
    /// It cannot be seen; what matches is above the agent, or the host's first process.
    pub(super) async fn look(&mut self, thorough: bool) -> Result<Left, Refusal> {
        let surroundings = self.act.eyes.surroundings(thorough).await?;
        let Some(mut scope) = self.scope.take() else {
            return Err(Refusal::failed("it lost sight of its processes"));
        };
        let group = self.act.group.clone();
        let session = self.act.launches.of(&self.component.name);
        let only_launched = self.only_launched;
        // What never became the component belongs to it in every scope. What matches did, whoever saw it.
        let never_became = session.as_ref().is_some_and(|one| one.is_unfinished)
            && (only_launched || surroundings.matched.is_empty());
        let is_tree = self.component.stop.scope == StopScope::Tree;
        let is_wide = *self.is_wide.get_or_insert(is_tree || never_became);
        let (scope, left) = off_the_runtime(move || {
            // In this order: see `Moment::control_group`.
            let table = Table::read().map_err(unreadable)?;
            let members = group.as_ref().filter(|_| is_wide).map(Group::members).unwrap_or_default();
            // What left its session and its control group is found by its mark, as far as it can be.
            let marked = match &session {
                Some(launch) if never_became && thorough => marked(&table, &launch.id),
                Some(_) | None => Vec::new(),
            };
            let session = session.filter(|session| is_wide && session.stands(&table));
            let matched = if only_launched { Vec::new() } else { surroundings.matched };
            let holy = lineage(std::process::id(), &table);
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
            let rest = scope.take(&table, &moment);
            let whole_group = !members.is_empty() && !scope.spares_any(&table, &members);
            Ok((scope, Left { matched, rest, whole_group, config: Some(surroundings.config) }))
        })
        .await?;
        self.scope = Some(scope);
        let met: HashSet<ProcessId> = self.met.iter().copied().collect();
        self.met.extend(left.all().into_iter().filter(|id| !met.contains(id)));
        Ok(left)
    }

    /// Signals those of `ids` that still are what they were when `left` was seen, and lets those that are suspended run
    /// again, so that they act on it.
    pub(super) async fn signal(
        &self,
        left: &Left,
        ids: &[ProcessId],
        signal: Signal,
    ) -> Result<Signalled, Refusal> {
        let (left, component, ids) = (left.clone(), Arc::clone(&self.component), ids.to_vec());
        let group = self.act.group.clone();
        off_the_runtime(move || {
            let proc = Proc::open().map_err(unreadable)?;
            let freezers = Freezers::read();
            let mut signalled = Signalled::default();
            for id in ids {
                let is_right = |line: &CommandLine, process: &Attributes<'_>| {
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
                    // The others are signalled all the same.
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

    /// Kills all that is left.
    pub(super) async fn kill(&self, left: &Left) -> Result<Signalled, Refusal> {
        if left.whole_group && self.act.group.as_ref().is_some_and(Group::kill) {
            // It reaches even those that were forked since; those outside of the group follow.
            tracing::debug!(component = %self.component.name, "its control group is killed");
        }
        self.signal(left, &left.all(), Signal::KILL).await
    }

    /// Waits until those of `left` that end first have ended, but no longer than until it is to be looked again.
    pub(super) async fn wait(&self, left: &Left, deadline: Instant) -> Result<(), Refusal> {
        let awaited = if left.matched.is_empty() { &left.rest } else { &left.matched };
        let awaited: Vec<ProcessId> = awaited.iter().take(AWAITED).copied().collect();
        let (seen, component) = (left.clone(), Arc::clone(&self.component));
        let mut held = off_the_runtime(move || {
            let proc = Proc::open().map_err(unreadable)?;
            let freezers = Freezers::default();
            let hold = |id| {
                let is_right = |line: &CommandLine, process: &Attributes<'_>| {
                    seen.is_right(&component, id, line, process)
                };
                Held::new(&proc, id, &freezers, is_right).transpose()
            };
            awaited.into_iter().filter_map(hold).collect::<Result<Vec<Held>, Refusal>>()
        })
        .await?;
        let until = deadline.min(Instant::now() + LOOK);
        loop {
            // Even where nobody can be held: what was seen is not true any more then, and it is looked again.
            tokio::time::sleep(PACE).await;
            held = still_there(held)?;
            if held.is_empty() || Instant::now() >= until {
                return Ok(());
            }
        }
    }

    /// The PIDs of all that were found since it began.
    pub(super) fn met(&self) -> Vec<u32> {
        self.met.iter().map(|id| id.pid).collect()
    }

    /// Those of them that are not among `left`.
    pub(super) fn ended(&self, left: &Left) -> Vec<u32> {
        let left: HashSet<ProcessId> = left.all().into_iter().collect();
        self.met.iter().filter(|id| !left.contains(id)).map(|id| id.pid).collect()
    }
}

/// `pid 7 (java), pid 8 (sleep)`.
pub(super) async fn who(ids: &[ProcessId]) -> String {
    let ids = ids.to_vec();
    let named = off_the_runtime(move || Ok(names(&ids))).await;
    named.unwrap_or_else(|refusal| refusal.reason)
}

fn names(ids: &[ProcessId]) -> String {
    /// More names than this help nobody.
    const SHOWN: usize = 10;
    let shown = ids.get(..SHOWN).unwrap_or(ids);
    let more = ids.len() - shown.len();
    let text = match Proc::open() {
        Ok(proc) => named(&proc, shown),
        Err(_) => shown.iter().map(|id| format!("pid {}", id.pid)).collect::<Vec<_>>().join(", "),
    };
    if more == 0 { text } else { format!("{text} and {more} more") }
}

/// What matches is not to be ended, whatever the configuration says.
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
