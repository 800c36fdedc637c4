//! Determines which processes belong to a component that is being stopped. Pure: takes process tables,
//! returns the processes to end.

use std::collections::{HashMap, HashSet};

use rta_shared::config::StopScope;
use rta_shared::process::ProcessId;

use crate::host::process_tree::{ProcessLinks, ProcessTree};

/// Processes that belong to a component. A process that once belonged to it stays in the set, since a child
/// whose parent ended is reparented.
#[derive(Debug)]
pub(super) struct ProcessScope {
    scope_kind: StopScope,
    /// PID of the agent.
    agent: u32,
    known: HashSet<ProcessId>,
    /// Processes that matched once. One that changes its title while it ends does not become another
    /// component's just because it is a descendant of that one.
    once_matched: HashSet<ProcessId>,
    /// Processes of other components and their descendants.
    excluded: HashSet<ProcessId>,
    groups: OldestStarts,
    sessions: OldestStarts,
}

/// Process groups or sessions by number, with the least start time of their members: an older group or
/// session that had the same number is a different one.
type OldestStarts = HashMap<u32, u64>;

/// The host's first process. In a container it may be a component.
const INIT: u32 = 1;

/// Observations of one moment beside the process table.
#[derive(Debug)]
pub(super) struct ScopeInput<'m> {
    pub(super) matched: &'m [ProcessId],
    /// Processes that match other components.
    pub(super) others: &'m HashSet<ProcessId>,
    /// PIDs in the component's control group, read after the table: for a PID that was reused in between the
    /// table holds the old process, which is not signalled.
    pub(super) control_group: &'m [u32],
    /// Leader of the session that the agent created for the component, if that session is known to exist.
    pub(super) session: Option<ProcessId>,
}

impl ProcessScope {
    /// Creates an empty scope; `agent` is the PID of the agent.
    pub(super) fn new(scope_kind: StopScope, agent: u32) -> Self {
        Self {
            scope_kind,
            agent,
            known: HashSet::new(),
            once_matched: HashSet::new(),
            excluded: HashSet::new(),
            groups: OldestStarts::new(),
            sessions: OldestStarts::new(),
        }
    }

    /// Updates the scope. Returns the live processes that belong to the component and do not match, sorted.
    pub(super) fn update(&mut self, tree: &ProcessTree, input: &ScopeInput<'_>) -> Vec<ProcessId> {
        let matched: HashSet<ProcessId> = input.matched.iter().copied().collect();
        let children = children_by_parent(tree);
        let protected = protected_pids(self.agent, tree);
        self.remove_ended(tree);
        let others =
            input.others.iter().copied().filter(|id| !matched.contains(id) && !protected.contains(&id.pid));
        self.once_matched.extend(&matched);
        let is_excluded = |id: ProcessId| {
            let is_own = self.once_matched.contains(&id) && !input.others.contains(&id);
            protected.contains(&id.pid) || matched.contains(&id) || is_own
        };
        self.excluded =
            with_descendants(self.excluded.iter().copied().chain(others).collect(), &children, is_excluded);
        self.add_groups_and_sessions(tree, &matched, input.session);
        self.known.extend(&matched);
        let is_in = |numbers: &OldestStarts, number: u32, links: &ProcessLinks| {
            numbers.get(&number).is_some_and(|since| links.start_ticks >= *since)
        };
        let members = tree.all().filter(|(_, links)| {
            is_in(&self.groups, links.group, links) || is_in(&self.sessions, links.session, links)
        });
        self.known.extend(members.map(|(id, _)| id));
        self.known.extend(input.control_group.iter().filter_map(|pid| tree.id(*pid)));
        if self.scope_kind == StopScope::Tree {
            let is_excluded = |id: ProcessId| {
                protected.contains(&id.pid) || (self.excluded.contains(&id) && !matched.contains(&id))
            };
            let roots =
                self.known.iter().copied().filter(|id| tree.is_alive(*id) && !is_excluded(*id)).collect();
            let reached = with_descendants(roots, &children, is_excluded);
            self.known.extend(reached);
        }
        let is_left = |id: &&ProcessId| {
            !protected.contains(&id.pid)
                && tree.is_alive(**id)
                && !matched.contains(id)
                && !self.excluded.contains(id)
        };
        let mut left: Vec<ProcessId> = self.known.iter().filter(is_left).copied().collect();
        left.sort_unstable();
        left
    }

    /// Drops ended processes. A number is not reused as long as it has members, so groups and sessions
    /// without a known live member are dropped too.
    fn remove_ended(&mut self, tree: &ProcessTree) {
        self.excluded.retain(|id| tree.is_alive(*id));
        let living: Vec<ProcessLinks> = self
            .known
            .iter()
            .filter(|id| tree.is_alive(**id))
            .filter_map(|id| tree.get(id.pid).copied())
            .collect();
        self.groups.retain(|group, _| living.iter().any(|links| links.group == *group));
        self.sessions.retain(|session, _| living.iter().any(|links| links.session == *session));
    }

    /// Adds the groups and sessions that belong to the component. Number 0 stands for all that are of another
    /// PID namespace.
    fn add_groups_and_sessions(
        &mut self,
        tree: &ProcessTree,
        matched: &HashSet<ProcessId>,
        session: Option<ProcessId>,
    ) {
        let agent = tree.get(self.agent).copied();
        let is_strange = |number: u32, own: Option<u32>| number != 0 && own != Some(number);
        let mut sessions: Vec<ProcessId> = session.into_iter().collect();
        for id in matched {
            let Some(links) = tree.get(id.pid).filter(|links| links.start_ticks == id.start_ticks) else {
                continue;
            };
            if self.scope_kind == StopScope::Group && is_strange(links.group, agent.map(|agent| agent.group))
            {
                // The leader, if it lives, is the oldest member.
                let since = tree.id(links.group).map_or(0, |leader| leader.start_ticks);
                self.groups.entry(links.group).or_insert(since.min(links.start_ticks));
            }
            // A match that leads its session: the session was created for it.
            if self.scope_kind == StopScope::Tree && links.session == id.pid {
                sessions.push(*id);
            }
        }
        for leader in sessions {
            if is_strange(leader.pid, agent.map(|agent| agent.session)) {
                self.sessions.insert(leader.pid, leader.start_ticks);
            }
        }
    }

    /// Returns true if any of `pids` must not be ended with the component.
    pub(super) fn spares_any(&self, tree: &ProcessTree, pids: &[u32]) -> bool {
        let protected = protected_pids(self.agent, tree);
        pids.iter()
            .any(|pid| protected.contains(pid) || tree.id(*pid).is_none_or(|id| self.excluded.contains(&id)))
    }
}

/// Returns the agent, its ancestors and the host's first process: no stop ends these.
pub(super) fn protected_pids(agent: u32, tree: &ProcessTree) -> HashSet<u32> {
    let mut lineage = HashSet::from([INIT]);
    let mut next = Some(agent);
    while let Some(pid) = next.filter(|pid| lineage.insert(*pid)) {
        next = tree.get(pid).map(|links| links.parent).filter(|parent| *parent != 0);
    }
    lineage
}

/// Children of each process.
type ChildrenByParent = HashMap<u32, Vec<ProcessId>>;

fn children_by_parent(tree: &ProcessTree) -> ChildrenByParent {
    let mut children = ChildrenByParent::new();
    for (id, links) in tree.all() {
        children.entry(links.parent).or_default().push(id);
    }
    children
}

/// Returns `roots` and their descendants, without the excluded ones and those that are only below them.
fn with_descendants(
    roots: HashSet<ProcessId>,
    children: &ChildrenByParent,
    is_excluded: impl Fn(ProcessId) -> bool,
) -> HashSet<ProcessId> {
    let mut pending: Vec<ProcessId> = roots.iter().copied().collect();
    let mut reached = roots;
    while let Some(parent) = pending.pop() {
        for child in children.get(&parent.pid).into_iter().flatten() {
            // A child is no older than its parent; otherwise the PID has been reused.
            if child.start_ticks >= parent.start_ticks && !is_excluded(*child) && reached.insert(*child) {
                pending.push(*child);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGENT: u32 = 100;

    /// Returns a process with this parent, group and session; its start time is ten times its PID.
    fn process(pid: u32, parent: u32, group: u32, session: u32) -> (u32, ProcessLinks) {
        (pid, ProcessLinks { start_ticks: u64::from(pid) * 10, parent, group, session })
    }

    fn id(pid: u32) -> ProcessId {
        ProcessId { pid, start_ticks: u64::from(pid) * 10 }
    }

    fn taken(
        scope: &mut ProcessScope,
        tree: &ProcessTree,
        matched: &[u32],
        others: &[u32],
        group: &[u32],
    ) -> Vec<u32> {
        let matched: Vec<ProcessId> = matched.iter().copied().map(id).collect();
        let others = others.iter().copied().map(id).collect();
        let input = ScopeInput { matched: &matched, others: &others, control_group: group, session: None };
        scope.update(tree, &input).into_iter().map(|id| id.pid).collect()
    }

    fn host() -> ProcessTree {
        ProcessTree::from_links([
            process(1, 0, 1, 1),
            process(100, 1, 100, 50),
            // The component, with a child and a grandchild in their own sessions.
            process(200, 100, 200, 200),
            process(201, 200, 201, 201),
            process(202, 201, 202, 202),
            // An orphan of its session, and one of its group.
            process(203, 1, 203, 200),
            process(204, 1, 200, 200),
            // Another component that it started, with a child.
            process(210, 200, 210, 200),
            process(211, 210, 210, 200),
            // A sibling that the agent started.
            process(300, 100, 300, 300),
        ])
    }

    #[test]
    fn tree_includes_descendants_and_session_and_nothing_of_others() {
        let mut scope = ProcessScope::new(StopScope::Tree, AGENT);
        assert_eq!(taken(&mut scope, &host(), &[200], &[210], &[]), [201, 202, 203, 204]);
    }

    #[test]
    fn narrower_scopes_include_less() {
        let mut process = ProcessScope::new(StopScope::Process, AGENT);
        assert!(taken(&mut process, &host(), &[200], &[], &[]).is_empty());
        let mut group = ProcessScope::new(StopScope::Group, AGENT);
        assert_eq!(taken(&mut group, &host(), &[200], &[210], &[]), [204]);
    }

    #[test]
    fn agents_group_and_session_are_excluded() {
        let tree = ProcessTree::from_links([
            process(100, 1, 100, 50),
            process(200, 1, 100, 50),
            process(201, 1, 100, 50),
        ]);
        for scope_kind in StopScope::ALL {
            let mut scope = ProcessScope::new(scope_kind, AGENT);
            let input = ScopeInput {
                matched: &[id(200)],
                others: &HashSet::new(),
                control_group: &[],
                session: Some(ProcessId { pid: 50, start_ticks: 0 }),
            };
            assert!(scope.update(&tree, &input).is_empty(), "{scope_kind:?}");
        }
    }

    #[test]
    fn child_stays_included_after_its_parent_ended() {
        let mut scope = ProcessScope::new(StopScope::Tree, AGENT);
        taken(&mut scope, &host(), &[200], &[210], &[]);
        let orphaned = ProcessTree::from_links([
            process(100, 1, 100, 50),
            process(202, 1, 202, 202),
            // A new child of the orphan, and one of the other component, which ended.
            process(220, 202, 202, 202),
            process(211, 1, 210, 200),
        ]);
        assert_eq!(taken(&mut scope, &orphaned, &[], &[], &[]), [202, 220]);
    }

    #[test]
    fn reused_pid_is_not_included() {
        let mut scope = ProcessScope::new(StopScope::Tree, AGENT);
        taken(&mut scope, &host(), &[200], &[], &[]);
        let another = ProcessLinks { start_ticks: 9_999, parent: 1, group: 201, session: 201 };
        assert!(taken(&mut scope, &ProcessTree::from_links([(201, another)]), &[], &[], &[]).is_empty());
        // A session that began earlier under the same number does not belong to it.
        let earlier = ProcessLinks { start_ticks: 5, parent: 1, group: 900, session: 200 };
        assert!(taken(&mut scope, &ProcessTree::from_links([(900, earlier)]), &[], &[], &[]).is_empty());
        // One that began later under the same number, after all of the first had ended, does not either.
        let later = ProcessLinks { start_ticks: 9_999, parent: 1, group: 901, session: 200 };
        assert!(taken(&mut scope, &ProcessTree::from_links([(901, later)]), &[], &[], &[]).is_empty());
    }

    #[test]
    fn group_counts_while_a_known_member_lives() {
        let mut scope = ProcessScope::new(StopScope::Group, AGENT);
        let (leader, member) = (process(200, 1, 200, 9), process(201, 200, 200, 9));
        assert_eq!(taken(&mut scope, &ProcessTree::from_links([leader, member]), &[200], &[], &[]), [201]);
        let forked = process(202, 201, 200, 9);
        assert_eq!(taken(&mut scope, &ProcessTree::from_links([member, forked]), &[], &[], &[]), [201, 202]);
        assert!(taken(&mut scope, &ProcessTree::from_links([]), &[], &[], &[]).is_empty());
        let stranger = process(203, 1, 200, 9);
        assert!(taken(&mut scope, &ProcessTree::from_links([stranger]), &[], &[], &[]).is_empty());
    }

    #[test]
    fn number_zero_is_no_group_or_session() {
        let tree =
            ProcessTree::from_links([process(100, 0, 0, 0), process(200, 1, 0, 0), process(201, 1, 0, 0)]);
        for scope_kind in StopScope::ALL {
            assert!(
                taken(&mut ProcessScope::new(scope_kind, AGENT), &tree, &[200], &[], &[]).is_empty(),
                "{scope_kind:?}"
            );
        }
    }

    #[test]
    fn launched_session_is_included_in_every_scope() {
        let tree = ProcessTree::from_links([
            process(200, 1, 200, 200),
            process(201, 1, 201, 200),
            process(202, 201, 202, 202),
        ]);
        for (scope_kind, expected) in [
            (StopScope::Process, vec![id(200), id(201)]),
            (StopScope::Group, vec![id(200), id(201)]),
            (StopScope::Tree, vec![id(200), id(201), id(202)]),
        ] {
            let others = HashSet::new();
            let input =
                ScopeInput { matched: &[], others: &others, control_group: &[], session: Some(id(200)) };
            assert_eq!(
                ProcessScope::new(scope_kind, AGENT).update(&tree, &input),
                expected,
                "{scope_kind:?}"
            );
        }
    }

    #[test]
    fn agents_ancestors_and_first_process_are_excluded() {
        // The criterion is so lax that it matches them.
        for matched in [1, 60, 100] {
            let tree = ProcessTree::from_links([
                process(1, 0, 1, 1),
                process(60, 1, 60, 60),
                process(100, 60, 100, 50),
                process(101, 100, 100, 50),
            ]);
            assert_eq!(protected_pids(AGENT, &tree), HashSet::from([1, 60, 100]));
            let left =
                taken(&mut ProcessScope::new(StopScope::Tree, AGENT), &tree, &[matched], &[], &[1, 60, 100]);
            assert!(left.iter().all(|pid| *pid == 101), "{left:?}");
        }
    }

    #[test]
    fn cgroup_member_outside_the_tree_is_included() {
        let tree = ProcessTree::from_links([
            process(400, 1, 400, 400),
            process(401, 400, 401, 401),
            process(500, 1, 5, 5),
        ]);
        let mut scope = ProcessScope::new(StopScope::Tree, AGENT);
        assert_eq!(taken(&mut scope, &tree, &[], &[], &[400, 999]), [400, 401]);
        assert!(!scope.spares_any(&tree, &[400, 401]));
        assert_eq!(taken(&mut scope, &tree, &[], &[401], &[400]), [400]);
        assert!(scope.spares_any(&tree, &[400, 401]));
    }

    #[test]
    fn match_below_another_component_is_included() {
        let mut scope = ProcessScope::new(StopScope::Tree, AGENT);
        assert_eq!(taken(&mut scope, &host(), &[210], &[200], &[]), [211]);
    }

    #[test]
    fn once_matched_process_stays_after_a_title_change() {
        let mut scope = ProcessScope::new(StopScope::Tree, AGENT);
        assert_eq!(taken(&mut scope, &host(), &[210], &[200], &[]), [211]);
        // The process no longer matches, and is a descendant of another component.
        assert_eq!(taken(&mut scope, &host(), &[], &[200], &[]), [210, 211]);
        // Unless it has become that component.
        assert_eq!(taken(&mut scope, &host(), &[], &[200, 210], &[]), [] as [u32; 0]);
    }

    #[test]
    fn agent_below_a_component_is_excluded() {
        let tree = ProcessTree::from_links([
            process(60, 1, 60, 60),
            process(100, 60, 100, 50),
            process(200, 100, 200, 200),
        ]);
        let mut scope = ProcessScope::new(StopScope::Tree, AGENT);
        assert!(taken(&mut scope, &tree, &[60], &[], &[]).is_empty());
    }

    /// Role of a process in a random host.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Part {
        Matched,
        Others,
        Nothing,
    }

    proptest! {
        /// A process belongs to the tree if its nearest ancestor with a special role is a match.
        #[test]
        fn scope_is_exactly_the_descendants_of_own_matches_on_any_host(
            processes in proptest::collection::vec(
                (any::<proptest::sample::Index>(), prop_oneof![
                    1 => Just(Part::Matched), 1 => Just(Part::Others), 4 => Just(Part::Nothing)
                ]),
                1..40,
            ),
            agent in any::<proptest::sample::Index>(),
        ) {
            // Process 1 is everybody's ancestor; each further process is the child of an earlier one.
            let parents: HashMap<u32, u32> =
                (2..).zip(&processes).map(|(pid, (parent, _))| (pid, parent.index(pid as usize - 1) as u32 + 1)).collect();
            let agent = agent.index(processes.len()) as u32 + 2;
            let part = |pid: u32| processes.get(pid as usize - 2).map_or(Part::Nothing, |(_, part)| *part);
            let pids: Vec<u32> = (2..).take(processes.len()).filter(|pid| *pid != agent).collect();
            let those = |wanted: Part| pids.iter().copied().filter(|pid| part(*pid) == wanted).collect::<Vec<u32>>();
            let tree = ProcessTree::from_links(parents.iter().map(|(pid, parent)| process(*pid, *parent, *pid, 1)));

            let mut scope = ProcessScope::new(StopScope::Tree, agent);
            let protected = protected_pids(agent, &tree);
            let stopped = taken(&mut scope, &tree, &those(Part::Matched), &those(Part::Others), &[]);

            let belongs = |pid: u32| {
                let line = std::iter::successors(Some(pid), |pid| parents.get(pid).copied());
                let special = |pid: &u32| *pid != 1 && (*pid == agent || part(*pid) != Part::Nothing);
                let nearest = line.skip_while(|pid| !special(pid)).find(|pid| *pid != 1);
                part(pid) == Part::Nothing && !protected.contains(&pid)
                    && nearest.is_some_and(|pid| !protected.contains(&pid) && part(pid) == Part::Matched)
            };
            let expected: Vec<u32> = pids.iter().copied().filter(|pid| belongs(*pid)).collect();
            prop_assert_eq!(stopped, expected);
        }
    }
}
