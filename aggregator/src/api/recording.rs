//! Waits until what the leader of several aggregators does is recorded: another one that takes over knows what
//! is on disk, and nothing else.
//!
//! What an agent does comes after its record. So a leader whose lease is gone, or whose database hangs, begins
//! nothing that the record will not know. A single aggregator goes on without its record, and writes it later.

use tonic::Code;

use super::Operations;
use crate::operation_error::OperationError;
use crate::plans::run::PlanRun;
use crate::store::no_answer_in_time;

impl Operations {
    /// Records the beginning of a plan. A single aggregator carries it out without that, too, and records it
    /// later.
    ///
    /// # Errors
    /// Returns UNAVAILABLE if this is the leader of several aggregators, and the beginning is not certainly on
    /// disk: another one may take over, and would not know of the plan.
    pub(super) async fn record_begin(&self, plan_run: &PlanRun) -> Result<(), OperationError> {
        let is_leader = self.leadership.held_lease().is_some();
        match self.shutdown.run_until_cancelled(plan_run.publish_begin()).await {
            Some(Ok(())) => Ok(()),
            None if is_leader => {
                let message = "nothing was done: this aggregator is shutting down, or does not lead any more; try \
                               again in some seconds";
                Err(OperationError::new(Code::Unavailable, message))
            }
            None => Ok(()),
            Some(Err(why)) => {
                tracing::error!(plan = plan_run.begun().id, why, "plan not recorded before its first step");
                plan_run.note_unrecorded(why.clone());
                if is_leader { Err(unrecorded_error(&why)) } else { Ok(()) }
            }
        }
    }

    /// Waits until the attempt of a step is on disk, so that a later aggregator knows of it. A single
    /// aggregator waits in vain only once in a plan, and goes on without that.
    ///
    /// # Errors
    /// Returns UNAVAILABLE if this is the leader of several aggregators, and the attempt is not on disk.
    pub(super) async fn record_attempt(&self, plan_run: &PlanRun) -> Result<(), OperationError> {
        if self.leadership.held_lease().is_some() {
            return self.confirm_recorded().await.map_err(|why| unrecorded_error(&why));
        }
        if !plan_run.is_store_slow() && !self.store.flush().await {
            plan_run.note_slow_store();
        }
        Ok(())
    }

    /// Returns an error if this is the leader of several aggregators and what it does is not recorded:
    /// another one that takes over would know nothing of it. A single aggregator records it later.
    pub(crate) fn ensure_recorded(&self) -> Result<(), OperationError> {
        match self.recording_failure() {
            None => Ok(()),
            Some(why) => Err(unrecorded_error(&why)),
        }
    }

    /// Returns the reason why the leader of several aggregators records nothing at the moment.
    fn recording_failure(&self) -> Option<String> {
        self.leadership.held_lease()?;
        self.store.watch_error().borrow().clone()
    }

    /// Waits until all that happened before is on disk. A single aggregator records later what is not.
    ///
    /// # Errors
    /// Returns the reason if this is the leader of several aggregators and it is not certainly on disk.
    async fn confirm_recorded(&self) -> Result<(), String> {
        let is_written = self.store.flush().await;
        match self.recording_failure() {
            Some(why) => Err(why),
            None if !is_written && self.leadership.held_lease().is_some() => Err(no_answer_in_time()),
            None => Ok(()),
        }
    }

    /// Waits until a change that is in effect here is on disk.
    ///
    /// # Errors
    /// Returns UNKNOWN if this is the leader of several aggregators and the change is not certainly on disk:
    /// it is lost if another one takes over.
    pub(crate) async fn confirm_change(&self) -> Result<(), OperationError> {
        self.confirm_recorded().await.map_err(|why| {
            let message = format!(
                "it is in effect, but not recorded yet, and is lost if another aggregator takes over: {why}; check it when \
                 the database answers"
            );
            OperationError::new(Code::Unknown, message)
        })
    }
}

/// Returns the error for what is not done, since it is not recorded.
pub(super) fn unrecorded_error(why: &str) -> OperationError {
    let message = format!("nothing was done, since another aggregator would not know of it: {why}");
    OperationError::new(Code::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use rta_shared::name::Name;
    use rta_shared::plan::{ExecutionOptions, StepState};
    use rta_tests::PostgresServer;
    use tokio::sync::{oneshot, watch};

    use super::*;
    use crate::events::EventBus;
    use crate::leadership::{Leadership, LeaseStatus};
    use crate::plans::run::PlanChanges;
    use crate::plans::run::tests::plan_begin;
    use crate::sample_overview::sample;
    use crate::store::{
        EventStore, HeldLease, LeaseHolder, LeaseSession, PostgresLocation, StoreLocation, StoreOptions,
        WriterScope,
    };

    /// Length of the leases.
    const LENGTH: Duration = Duration::from_secs(3600);

    /// Carries out a plan of one step on an instance that the configuration does not have. Returns whether it was
    /// begun, and the state of its step.
    async fn carry_out(
        operations: &Operations,
        plan: u64,
    ) -> (Result<(), OperationError>, Vec<(StepState, String)>) {
        let begun = plan_begin(plan, &[&[]]);
        let plan_run = Arc::new(PlanRun::new(begun, operations.events.clone(), PlanChanges::default()));
        let (recorded, is_recorded) = oneshot::channel();
        let carrying_out = operations.clone().execute_plan(
            Arc::clone(&plan_run),
            Vec::new(),
            ExecutionOptions::default(),
            recorded,
        );
        carrying_out.await;
        (is_recorded.await.unwrap(), plan_run.snapshot().steps)
    }

    #[test]
    fn leader_whose_lease_is_gone_begins_and_changes_nothing_that_is_not_recorded() {
        let Some(server) = PostgresServer::shared() else { return };
        let url = server.create_database();
        let location = PostgresLocation::parse(&url).unwrap();
        let [first, second] =
            ["a", "b"].map(|address| LeaseHolder::this_process(address.to_owned(), String::new()));
        let mut leases = LeaseSession::connect(&location, &first).unwrap();
        let environment = Name::from("E");
        let epoch = leases.acquire(&first, &environment, 0, LENGTH).unwrap().unwrap();
        let lease = HeldLease { environment: environment.clone(), holder: first.name.clone(), epoch };
        let options = StoreOptions {
            location: StoreLocation::Postgres(location),
            scope: WriterScope::Environment(lease.clone()),
            ..StoreOptions::default()
        };
        let store = EventStore::open(&options);
        let status = watch::Sender::new(LeaseStatus::default());
        let operations = Operations {
            events: EventBus::new(store.handle()),
            store: store.handle(),
            leadership: Leadership::of_lease(lease, status.subscribe()),
            ..Operations::showing(sample())
        };
        let plans = || server.run_sql(&url, "SELECT string_agg(id::text, ' ') FROM plans");
        let runtime = tokio::runtime::Runtime::new().unwrap();

        let (is_begun, steps) = runtime.block_on(carry_out(&operations, 1));
        // The agent would have been asked.
        assert_eq!((is_begun, steps[0].0), (Ok(()), StepState::Failed));
        assert_eq!(runtime.block_on(operations.confirm_change()), Ok(()));
        assert_eq!(plans().trim(), "1");

        // Another one takes the lead, and this one has not noticed yet.
        leases.release(&first, &environment, epoch).unwrap();
        assert_eq!(leases.acquire(&second, &environment, 0, LENGTH), Ok(Some(epoch + 1)));
        let (is_begun, steps) = runtime.block_on(carry_out(&operations, 2));
        let refusal = is_begun.unwrap_err();
        assert_eq!((refusal.code, steps[0].0), (Code::Unavailable, StepState::Skipped));
        assert!(refusal.message.contains("another rta-aggregator leads E"), "{}", refusal.message);
        assert_eq!(plans().trim(), "1");
        let plan_run = PlanRun::new(plan_begin(3, &[&[]]), operations.events.clone(), PlanChanges::default());
        let attempt = runtime.block_on(operations.record_attempt(&plan_run));
        assert_eq!(attempt.unwrap_err().code, Code::Unavailable);
        assert_eq!(runtime.block_on(operations.confirm_change()).unwrap_err().code, Code::Unknown);
        runtime.block_on(store.close());
    }

    #[test]
    fn leader_that_ends_begins_nothing() {
        let lease = HeldLease { environment: Name::from("E"), holder: "a".to_owned(), epoch: 1 };
        let status = watch::Sender::new(LeaseStatus::default());
        let leader = Operations {
            leadership: Leadership::of_lease(lease, status.subscribe()),
            ..Operations::showing(sample())
        };
        leader.shutdown.cancel();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (is_begun, steps) = runtime.block_on(carry_out(&leader, 1));
        let refusal = is_begun.unwrap_err();
        assert_eq!((refusal.code, steps[0].0), (Code::Unavailable, StepState::Skipped));
        assert!(refusal.message.contains("does not lead any more"), "{}", refusal.message);
    }
}
