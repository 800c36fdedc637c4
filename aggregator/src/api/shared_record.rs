//! What an aggregator that follows shows of the leader's record: plans, maintenance and planned stops.

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::Operations;
use crate::plans::run::PlanRun;
use crate::state::actor::StateMessage;
use crate::store::SharedRecord;

impl Operations {
    /// Shows the leader's record and each change of it.
    pub(super) async fn follow_record(self, mut record: watch::Receiver<Arc<SharedRecord>>) -> Infallible {
        loop {
            let shared = Arc::clone(&record.borrow_and_update());
            self.follow_plans(&shared);
            // The state actor ends only at shutdown.
            let _ = self.inbox.send(StateMessage::FollowRecord(shared)).await;
            if record.changed().await.is_err() {
                // The thread that reads it has ended, which the overview shows.
                return std::future::pending().await;
            }
        }
    }

    fn follow_plans(&self, shared: &SharedRecord) {
        let now = Timestamp::now();
        for plan in &shared.plans {
            let plan_run = self.plan_registry.find(plan.begun.id).or_else(|| {
                let changes = self.plan_registry.changes().clone();
                let plan_run = Arc::new(PlanRun::new(plan.begun.clone(), self.events.clone(), changes));
                self.plan_registry.add(Arc::clone(&plan_run)).then_some(plan_run)
            });
            if let Some(plan_run) = plan_run {
                plan_run.follow_record(&plan.states, plan.ended_at, now);
            }
        }
    }
}
