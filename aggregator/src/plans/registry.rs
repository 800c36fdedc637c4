//! Registry of the plans that are under way or ended recently.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::plans::run::{PlanChanges, PlanRun};

/// Maximum number of plans kept, and of plans under way at once.
const MAX_PLANS: usize = 50;

/// Bounded registry, the newest plan first.
#[derive(Debug, Default)]
pub(crate) struct PlanRegistry {
    plan_runs: Mutex<VecDeque<Arc<PlanRun>>>,
    changes: PlanChanges,
}

impl PlanRegistry {
    /// Creates a registry whose changes are those of another one, too.
    pub(crate) fn with_changes(changes: PlanChanges) -> Self {
        Self { changes, ..Self::default() }
    }

    /// Returns the notifier for changes of the plans in this registry.
    pub(crate) fn changes(&self) -> &PlanChanges {
        &self.changes
    }

    /// Adds a plan; drops the oldest ended one if the registry is full. Returns false, without adding it, if
    /// too many plans are under way.
    pub(crate) fn add(&self, plan_run: Arc<PlanRun>) -> bool {
        let is_added = self.with_plans(|plan_runs| {
            while plan_runs.len() >= MAX_PLANS {
                let oldest = plan_runs.iter().rposition(|plan_run| !plan_run.is_under_way());
                let Some(oldest) = oldest else { return false };
                plan_runs.remove(oldest);
            }
            plan_runs.push_front(plan_run);
            true
        });
        self.changes.notify();
        is_added
    }

    /// Returns the plan with this ID.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<PlanRun>> {
        self.with_plans(|plan_runs| plan_runs.iter().find(|plan_run| plan_run.begun().id == id).cloned())
    }

    /// Returns all plans, the newest first.
    pub(crate) fn all(&self) -> Vec<Arc<PlanRun>> {
        self.with_plans(|plan_runs| plan_runs.iter().cloned().collect())
    }

    fn with_plans<T>(&self, look: impl FnOnce(&mut VecDeque<Arc<PlanRun>>) -> T) -> T {
        // A panic while the lock is held cannot leave a change half-written.
        look(&mut self.plan_runs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::plans::run::tests::{plan_begin, plan_run as new_plan_run};

    fn plan_run(id: u64) -> Arc<PlanRun> {
        Arc::new(new_plan_run(plan_begin(id, &[])))
    }

    #[test]
    fn the_newest_are_kept_and_what_is_under_way_is_not_forgotten() {
        let registry = PlanRegistry::default();
        let first = plan_run(1);
        assert!(registry.add(Arc::clone(&first)));
        for id in 2..=60 {
            let plan_run = plan_run(id);
            plan_run.end_plan(Timestamp::UNIX_EPOCH);
            assert!(registry.add(plan_run));
        }
        let ids: Vec<u64> = registry.all().iter().map(|plan_run| plan_run.begun().id).collect();
        assert_eq!((ids.len(), ids[0], ids[48], ids[49]), (50, 60, 12, 1));
        assert!(registry.find(1).is_some() && registry.find(2).is_none());
    }

    #[test]
    fn too_many_at_once_are_refused() {
        let registry = PlanRegistry::default();
        for id in 0..50 {
            assert!(registry.add(plan_run(id)));
        }
        assert!(!registry.add(plan_run(50)));
        registry.find(7).unwrap().end_plan(Timestamp::UNIX_EPOCH);
        assert!(registry.add(plan_run(51)));
        assert!(registry.find(7).is_none());
    }
}
