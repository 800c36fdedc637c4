//! What an aggregator that follows shows of the leader's record: plans, maintenance and planned stops.

use std::convert::Infallible;
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::event::EventKind;
use tokio::sync::watch;

use super::Operations;
use crate::plans::run::PlanRun;
use crate::state::actor::StateMessage;
use crate::store::{LiveEvent, SharedRecord};

impl Operations {
    /// Shows the leader's record and each change of it, and reloads the own configuration folder after the leader has
    /// reloaded its own.
    pub(super) async fn follow_record(self, mut record: watch::Receiver<Arc<SharedRecord>>) -> Infallible {
        let mut events = self.events.subscribe();
        loop {
            let shared = Arc::clone(&record.borrow_and_update());
            self.follow_plans(&shared);
            // The state actor ends only at shutdown.
            let _ = self.inbox.send(StateMessage::FollowRecord(shared)).await;
            let changed = loop {
                tokio::select! {
                    changed = record.changed() => break changed,
                    Some(event) = events.next() => self.follow_reload(&event).await,
                }
            };
            if changed.is_err() {
                // The thread that reads it has ended, which the overview shows.
                return std::future::pending().await;
            }
        }
    }

    async fn follow_reload(&self, event: &LiveEvent) {
        let LiveEvent::Event(event) = event else { return };
        let is_other = event.to.as_ref() != Some(&self.inventory().platform.digest);
        if let (EventKind::Config, true, Some(reloads)) = (event.kind, is_other, &self.reloads) {
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
