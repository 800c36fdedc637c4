//! The processes of a component that is being stopped: found again and again, signalled, and waited for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rta_shared::config::{HostComponent, HostConfig};
use rta_shared::process::{CommandLine, ProcessId};
use rustix::io::Errno;
use rustix::process::{Signal, getpgrp, getsid};
use tokio::time::Instant;
use tonic::Code;

use super::act::Act;
use super::held::{Held, named, still_there};
use super::refusal::Refusal;
use super::scope::{Agent, Moment, Scope};
use super::table::Table;
use crate::procfs::Proc;

/// How often it is asked whether processes have ended.
const PACE: Duration = Duration::from_millis(20);
/// After so long of waiting, it is looked at what there is.
const LOOK: Duration = Duration::from_millis(200);
/// So many are waited for at once: a process may have 1,024 files open by default (getrlimit(2)).
const AWAITED: usize = 128;

/// The processes of a component that is being stopped.
pub(super) struct Chase<'a> {
    act: &'a Act,
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

impl Left {
    pub(super) fn is_empty(&self) -> bool {
        self.matched.is_empty() && self.rest.is_empty()
    }

    pub(super) fn all(&self) -> Vec<ProcessId> {
        self.matched.iter().chain(&self.rest).copied().collect()
    }

    /// Whether one that was found is what it was taken for: a match still matches, and the rest has not become
    /// another component's.
    fn is_right(&self, component: &HostComponent, id: ProcessId, line: &CommandLine) -> bool {
        match self.matched.contains(&id) {
            true => component.claims(line),
            false => {
                self.config.iter().flat_map(|config| &config.components).all(|other| {
                    other.name == component.name || component.claims(line) || !other.claims(line)
                })
            }
        }
    }
}

impl<'a> Chase<'a> {
    pub(super) fn new(act: &'a Act) -> Self {
        let agent = Agent {
            pid: std::process::id(),
            group: getpgrp().as_raw_nonzero().get().unsigned_abs(),
            session: getsid(None).map_or(0, |session| session.as_raw_nonzero().get().unsigned_abs()),
        };
        Self { act, scope: Some(Scope::new(act.component.stop.scope, agent)), met: Vec::new() }
    }

    /// What is left now; by a full scan, if it is to be thorough.
    pub(super) async fn look(&mut self, thorough: bool) -> Result<Left, Refusal> {
        let surroundings = self.act.eyes.surroundings(thorough).await?;
        let Some(mut scope) = self.scope.take() else {
            return Err(Refusal::new(Code::Internal, "the agent lost sight of its processes"));
        };
        let group = self.act.group.clone();
        let session = self.act.launches.of(&self.act.component.name);
        let read = move || -> Result<(Scope, Left), Errno> {
            // In this order: see `Moment::control_group`.
            let table = Table::read()?;
            let members = group.as_ref().map(super::cgroup::Group::members).unwrap_or_default();
            if let Some(session) = session.filter(|session| session.stands(&table)) {
                scope.add_session(session.leader.pid, session.leader.start_ticks);
            }
            let matched = surroundings.matched;
            let moment = Moment { matched: &matched, others: &surroundings.others, control_group: &members };
            let rest = scope.take(&table, &moment);
            let whole_group =
                scope.holds_groups() && !members.is_empty() && !scope.spares_any(&table, &members);
            Ok((scope, Left { matched, rest, whole_group, config: Some(surroundings.config) }))
        };
        // Off the runtime: a read of /proc may hang.
        let read = tokio::task::spawn_blocking(read).await;
        let read =
            read.map_err(|error| Refusal::new(Code::Internal, format!("the agent failed: {error}")))?;
        let (scope, left) = read.map_err(unreadable)?;
        self.scope = Some(scope);
        let met: HashSet<ProcessId> = self.met.iter().copied().collect();
        self.met.extend(left.all().into_iter().filter(|id| !met.contains(id)));
        Ok(left)
    }

    /// Signals those of `ids` that still are what they were when `left` was seen. Gives them.
    pub(super) fn signal(
        &self,
        left: &Left,
        ids: &[ProcessId],
        signal: Signal,
    ) -> Result<Vec<ProcessId>, Refusal> {
        let proc = Proc::open().map_err(unreadable)?;
        let mut signalled = Vec::new();
        for id in ids {
            if let Some(held) = self.hold(&proc, left, *id)? {
                held.send(signal)?;
                signalled.push(*id);
            }
        }
        Ok(signalled)
    }

    /// Kills all that is left.
    pub(super) fn kill(&self, left: &Left) -> Result<Vec<ProcessId>, Refusal> {
        if left.whole_group && self.act.group.as_ref().is_some_and(super::cgroup::Group::kill) {
            // It reaches even those that were forked since; those outside of the group follow.
            tracing::debug!(component = %self.act.component.name, "its control group is killed");
        }
        let all = left.all();
        self.signal(left, &all, Signal::KILL)?;
        Ok(all)
    }

    /// Waits until those of `left` that end first have ended, but no longer than until it is to be looked again.
    pub(super) async fn wait(&self, left: &Left, deadline: Instant) -> Result<(), Refusal> {
        let proc = Proc::open().map_err(unreadable)?;
        let awaited = if left.matched.is_empty() { &left.rest } else { &left.matched };
        let mut held = Vec::new();
        for id in awaited.iter().take(AWAITED) {
            held.extend(self.hold(&proc, left, *id)?);
        }
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

    fn hold(&self, proc: &Proc, left: &Left, id: ProcessId) -> Result<Option<Held>, Refusal> {
        Held::new(proc, id, |line| left.is_right(&self.act.component, id, line))
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
pub(super) fn who(ids: &[ProcessId]) -> String {
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

fn unreadable(error: Errno) -> Refusal {
    Refusal::new(Code::Unavailable, format!("/proc cannot be read: {error}"))
}
