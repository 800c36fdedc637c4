//! What one of several aggregators shows of the record of all: plans, maintenance and planned stops.

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::Operations;
use crate::plans::run::PlanRun;
use crate::state::actor::StateMessage;
use crate::store::{RecordedReload, SharedRecord};

impl Operations {
    /// Shows the record of the leaders and each change of it, and reloads the own configuration folder after
    /// another aggregator has reloaded its own.
    pub(super) async fn follow_record(self, mut record: watch::Receiver<Arc<SharedRecord>>) -> Infallible {
        let mut followed = None;
        loop {
            let shared = Arc::clone(&record.borrow_and_update());
            self.follow_plans(&shared);
            if let Some(reload) = shared.last_reload.as_ref().filter(|reload| followed != Some(reload.event))
            {
                followed = Some(reload.event);
                self.follow_reload(reload).await;
            }
            // The state actor ends only at shutdown.
            let _ = self.inbox.send(StateMessage::FollowRecord(shared)).await;
            if record.changed().await.is_err() {
                // The thread that reads it has ended, which the overview shows.
                return std::future::pending().await;
            }
        }
    }

    async fn follow_reload(&self, reload: &RecordedReload) {
        let is_other = reload.outcome != self.inventory().platform.digest;
        if let (true, Some(reloads)) = (is_other, &self.reloads) {
            // The configuration manager ends only at shutdown.
            let _ = reloads.send(None).await;
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
