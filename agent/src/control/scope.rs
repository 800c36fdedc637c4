//! What belongs to a component that is being stopped. Pure: tables of processes come in, those to be ended go out.

use std::collections::{HashMap, HashSet};

use rta_shared::config::StopScope;
use rta_shared::process::ProcessId;

use super::table::Table;

/// What belongs to a component. What once did goes on belonging to it: a child whose parent ended has another
/// parent then.
#[derive(Debug)]
pub(super) struct Scope {
    reach: StopScope,
    /// The agent itself, which is never part of it.
    agent: Agent,
    known: HashSet<ProcessId>,
    /// Those of other components, and all below them.
    spared: HashSet<ProcessId>,
    groups: HashSet<u32>,
    /// Sessions by their number, with the least start time of their members: a session that began earlier and
    /// had the same number is another one.
    sessions: HashMap<u32, u64>,
}

/// Who must never be signalled, nor those of its group for being of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agent {
    pub(super) pid: u32,
    pub(super) group: u32,
    pub(super) session: u32,
}

/// What a moment shows beside the table.
#[derive(Debug)]
pub(super) struct Moment<'m> {
    pub(super) matched: &'m [ProcessId],
    /// What matches other components.
    pub(super) others: &'m HashSet<ProcessId>,
    /// The PIDs in its control group, read after the table: of a PID that was reused in between, the table has
    /// the old process, and that is not signalled.
    pub(super) control_group: &'m [u32],
}

impl Scope {
    pub(super) fn new(reach: StopScope, agent: Agent) -> Self {
        Self {
            reach,
            agent,
            known: HashSet::new(),
            spared: HashSet::new(),
            groups: HashSet::new(),
            sessions: HashMap::new(),
        }
    }

    /// A session that the agent began for it, with the start time of its leader.
    pub(super) fn add_session(&mut self, session: u32, start_ticks: u64) {
        if self.reach == StopScope::Tree && session != self.agent.session {
            self.sessions.insert(session, start_ticks);
        }
    }

    /// Takes in what a moment shows. Gives those that belong to it, live and do not match, sorted.
    pub(super) fn take(&mut self, table: &Table, moment: &Moment<'_>) -> Vec<ProcessId> {
        let matched: HashSet<ProcessId> = moment.matched.iter().copied().collect();
        let children = children(table);
        let others = moment.others.iter().copied().filter(|id| !matched.contains(id));
        let barred = |id: ProcessId| id.pid == self.agent.pid || matched.contains(&id);
        let spared = spread(self.spared.iter().copied().chain(others).collect(), &children, barred);
        self.spared = spared;
        for id in &matched {
            let Some(kin) = table.get(id.pid).filter(|kin| kin.start_ticks == id.start_ticks) else {
                continue;
            };
            if self.reach == StopScope::Group && kin.group != self.agent.group {
                self.groups.insert(kin.group);
            }
            // It leads a session: it was begun for it.
            if kin.session == id.pid {
                self.add_session(kin.session, kin.start_ticks);
            }
        }
        self.known.extend(&matched);
        match self.reach {
            StopScope::Process => {}
            StopScope::Group => {
                let members = table.all().filter(|(_, kin)| self.groups.contains(&kin.group));
                self.known.extend(members.map(|(id, _)| id));
            }
            StopScope::Tree => {
                let in_session = table.all().filter(|(_, kin)| {
                    self.sessions.get(&kin.session).is_some_and(|since| kin.start_ticks >= *since)
                });
                self.known.extend(in_session.map(|(id, _)| id));
                self.known.extend(moment.control_group.iter().filter_map(|pid| table.id(*pid)));
                let barred = |id: ProcessId| {
                    id.pid == self.agent.pid || (self.spared.contains(&id) && !matched.contains(&id))
                };
                let roots =
                    self.known.iter().copied().filter(|id| table.lives(*id) && !barred(*id)).collect();
                let reached = spread(roots, &children, barred);
                self.known.extend(reached);
            }
        }
        let is_left = |id: &&ProcessId| {
            id.pid != self.agent.pid
                && table.lives(**id)
                && !matched.contains(id)
                && !self.spared.contains(id)
        };
        let mut left: Vec<ProcessId> = self.known.iter().filter(is_left).copied().collect();
        left.sort_unstable();
        left
    }

    /// Whether its control group counts.
    pub(super) fn holds_groups(&self) -> bool {
        self.reach == StopScope::Tree
    }

    /// Whether any of `pids` is not to be ended with it.
    pub(super) fn spares_any(&self, table: &Table, pids: &[u32]) -> bool {
        pids.iter()
            .any(|pid| *pid == self.agent.pid || table.id(*pid).is_none_or(|id| self.spared.contains(&id)))
    }
}

/// Every process's children.
type Children = HashMap<u32, Vec<ProcessId>>;

fn children(table: &Table) -> Children {
    let mut children = Children::new();
    for (id, kin) in table.all() {
        children.entry(kin.parent).or_default().push(id);
    }
    children
}

/// `roots` and all below them; those that are barred are left out, and what is below only them.
fn spread(
    roots: HashSet<ProcessId>,
    children: &Children,
    barred: impl Fn(ProcessId) -> bool,
) -> HashSet<ProcessId> {
    let mut pending: Vec<ProcessId> = roots.iter().copied().collect();
    let mut reached = roots;
    while let Some(parent) = pending.pop() {
        for child in children.get(&parent.pid).into_iter().flatten() {
            // A child is no older than its parent: else the PID is another's by now.
            if child.start_ticks >= parent.start_ticks && !barred(*child) && reached.insert(*child) {
                pending.push(*child);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::table::Kin;
    use super::*;

    const AGENT: Agent = Agent { pid: 100, group: 100, session: 50 };

    /// A process that is a child of `parent`, in this group and session; its start time is ten times its PID.
    fn process(pid: u32, parent: u32, group: u32, session: u32) -> (u32, Kin) {
        (pid, Kin { start_ticks: u64::from(pid) * 10, parent, group, session })
    }

    fn id(pid: u32) -> ProcessId {
        ProcessId { pid, start_ticks: u64::from(pid) * 10 }
    }

    fn taken(scope: &mut Scope, table: &Table, matched: &[u32], others: &[u32], group: &[u32]) -> Vec<u32> {
        let matched: Vec<ProcessId> = matched.iter().copied().map(id).collect();
        let others = others.iter().copied().map(id).collect();
        let moment = Moment { matched: &matched, others: &others, control_group: group };
        scope.take(table, &moment).into_iter().map(|id| id.pid).collect()
    }

    fn host() -> Table {
        Table::of([
            process(1, 0, 1, 1),
            process(100, 1, 100, 50),
            // The component, with a child and a grandchild in sessions of their own.
            process(200, 100, 200, 200),
            process(201, 200, 201, 201),
            process(202, 201, 202, 202),
            // An orphan of its session, and one of its group.
            process(203, 1, 203, 200),
            process(204, 1, 200, 200),
            // Another component that it began, with a child.
            process(210, 200, 210, 200),
            process(211, 210, 210, 200),
            // What the agent started beside it.
            process(300, 100, 300, 300),
        ])
    }

    #[test]
    fn a_tree_holds_descendants_and_the_session_but_nothing_of_others() {
        let mut scope = Scope::new(StopScope::Tree, AGENT);
        assert_eq!(taken(&mut scope, &host(), &[200], &[210], &[]), [201, 202, 203, 204]);
    }

    #[test]
    fn the_narrower_scopes_hold_less() {
        let mut process = Scope::new(StopScope::Process, AGENT);
        assert!(taken(&mut process, &host(), &[200], &[], &[201]).is_empty());
        let mut group = Scope::new(StopScope::Group, AGENT);
        assert_eq!(taken(&mut group, &host(), &[200], &[210], &[201]), [204]);
    }

    #[test]
    fn the_agents_own_group_and_session_are_left_alone() {
        let table = Table::of([process(100, 1, 100, 50), process(200, 1, 100, 50), process(201, 1, 100, 50)]);
        for reach in StopScope::ALL {
            let mut scope = Scope::new(reach, AGENT);
            scope.add_session(50, 0);
            assert!(taken(&mut scope, &table, &[200], &[], &[]).is_empty(), "{reach:?}");
        }
    }

    #[test]
    fn what_once_belonged_to_it_still_does_when_its_parent_has_ended() {
        let mut scope = Scope::new(StopScope::Tree, AGENT);
        taken(&mut scope, &host(), &[200], &[210], &[]);
        let orphaned = Table::of([
            process(100, 1, 100, 50),
            process(202, 1, 202, 202),
            // The orphan's new child, and that of the other component, which ended.
            process(220, 202, 202, 202),
            process(211, 1, 210, 200),
        ]);
        assert_eq!(taken(&mut scope, &orphaned, &[], &[], &[]), [202, 220]);
    }

    #[test]
    fn a_reused_pid_does_not_belong_to_it() {
        let mut scope = Scope::new(StopScope::Tree, AGENT);
        taken(&mut scope, &host(), &[200], &[], &[]);
        let another = Kin { start_ticks: 9_999, parent: 1, group: 201, session: 201 };
        assert!(taken(&mut scope, &Table::of([(201, another)]), &[], &[], &[]).is_empty());
        // Nor does a session that began earlier under the same number.
        let earlier = Kin { start_ticks: 5, parent: 1, group: 900, session: 200 };
        assert!(taken(&mut scope, &Table::of([(900, earlier)]), &[], &[], &[]).is_empty());
    }

    #[test]
    fn a_control_group_holds_what_left_everything_else() {
        let table =
            Table::of([process(400, 1, 400, 400), process(401, 400, 401, 401), process(500, 1, 5, 5)]);
        let mut scope = Scope::new(StopScope::Tree, AGENT);
        assert_eq!(taken(&mut scope, &table, &[], &[], &[400, 999]), [400, 401]);
        assert!(!scope.spares_any(&table, &[400, 401]));
        assert_eq!(taken(&mut scope, &table, &[], &[401], &[400]), [400]);
        assert!(scope.spares_any(&table, &[400, 401]));
    }

    #[test]
    fn what_runs_below_another_component_is_stopped_all_the_same_when_it_matches() {
        let mut scope = Scope::new(StopScope::Tree, AGENT);
        assert_eq!(taken(&mut scope, &host(), &[210], &[200], &[]), [211]);
    }

    #[test]
    fn the_agent_below_a_component_is_no_part_of_it() {
        let table =
            Table::of([process(60, 1, 60, 60), process(100, 60, 100, 50), process(200, 100, 200, 200)]);
        let mut scope = Scope::new(StopScope::Tree, AGENT);
        assert!(taken(&mut scope, &table, &[60], &[], &[]).is_empty());
    }

    /// What a process is in a random host.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Part {
        Matched,
        Others,
        Nothing,
    }

    proptest! {
        /// A process belongs to the tree if the nearest above it that is anything special is a match.
        #[test]
        fn in_any_host_exactly_what_is_below_a_match_and_not_below_another_is_stopped(
            processes in proptest::collection::vec(
                (any::<proptest::sample::Index>(), prop_oneof![
                    1 => Just(Part::Matched), 1 => Just(Part::Others), 4 => Just(Part::Nothing)
                ]),
                1..40,
            ),
            agent in any::<proptest::sample::Index>(),
        ) {
            // Process 1 is everybody's ancestor; each further one is the child of an earlier one.
            let parents: HashMap<u32, u32> =
                (2..).zip(&processes).map(|(pid, (parent, _))| (pid, parent.index(pid as usize - 1) as u32 + 1)).collect();
            let agent = agent.index(processes.len()) as u32 + 2;
            let part = |pid: u32| processes.get(pid as usize - 2).map_or(Part::Nothing, |(_, part)| *part);
            let pids: Vec<u32> = (2..).take(processes.len()).filter(|pid| *pid != agent).collect();
            let those = |wanted: Part| pids.iter().copied().filter(|pid| part(*pid) == wanted).collect::<Vec<u32>>();
            let table = Table::of(parents.iter().map(|(pid, parent)| process(*pid, *parent, *pid, 1)));

            let mut scope = Scope::new(StopScope::Tree, Agent { pid: agent, group: agent, session: 0 });
            let stopped = taken(&mut scope, &table, &those(Part::Matched), &those(Part::Others), &[]);

            let belongs = |pid: u32| {
                let line = std::iter::successors(Some(pid), |pid| parents.get(pid).copied());
                let special = |pid: &u32| *pid != 1 && (*pid == agent || part(*pid) != Part::Nothing);
                let nearest = line.skip_while(|pid| !special(pid)).find(|pid| *pid != 1);
                part(pid) == Part::Nothing && pid != agent
                    && nearest.is_some_and(|pid| pid != agent && part(pid) == Part::Matched)
            };
            let expected: Vec<u32> = pids.iter().copied().filter(|pid| belongs(*pid)).collect();
            prop_assert_eq!(stopped, expected);
        }
    }
}
