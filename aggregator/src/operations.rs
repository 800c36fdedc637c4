//! What the page and the gRPC service can ask of the aggregator.

mod strips;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use rta_shared::action::{ActionKind, ActionOutcome, ActionProgress, ActionResult, Requester};
use rta_shared::explain::ExplainedPart;
use rta_shared::impairment::ImpairmentList;
use rta_shared::lifecycle::tasks::OwnedTasks;
use rta_shared::overview::{InstanceId, Overview};
use rta_shared::plan::{ActionRequest, ExecutionOptions, Plan, PlanStart, Step};
use rta_shared::planned_stop::PlannedStop;
use rta_shared::proto::v1::RequestTarget;
use rta_shared::reload::PlatformReload;
use rta_shared::sanitize::{printable, printable_lines};
use rta_shared::selector::{Purpose, Selector};
use rta_shared::timing::ActionTimes;
use rta_shared::tls::ClientTls;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;

use crate::agent::{Agent, Notices};
use crate::fleet::{Fleet, Found};
use crate::followers::Followers;
use crate::hub::{Inbox, Message, Published, flush, hub};
use crate::keeper::{Configuration, Keeper, REQUESTS, Request, Source};
use crate::knowledge::News;
use crate::maintenance::AllMaintenance;
use crate::operation_error::OperationError;
use crate::plan::account::Account;
use crate::plan::agree;
use crate::plan::book::Book;
use crate::plan::make::make;
use crate::plan::reach::{Situation, standings};
use crate::plan::run::{Failure, run_to_the_end};
use crate::plan::select::{keep_stopped_by, select};
use crate::plan::targets::targets;
use crate::plan::unfinished;
use crate::record::Recorder;
use crate::strip::remembered::Remembered;
use crate::usage_history::{Sample, UsageHistory};

/// How long a plan waits for hosts of which nothing was heard yet; longer than it takes to give them up.
const FIRST_NEWS: Duration = Duration::from_secs(6);

/// A handle on the running aggregator; clones share it.
#[derive(Clone)]
pub struct Operations {
    fleet: watch::Receiver<Arc<Fleet>>,
    pub(crate) inbox: Inbox,
    overview: watch::Receiver<Arc<Overview>>,
    pub(crate) maintenance: watch::Receiver<AllMaintenance>,
    /// `None` where the configuration stands in no folder.
    reloads: Option<mpsc::Sender<Request>>,
    pub(crate) recorder: Recorder,
    pub(crate) strips: Arc<Remembered>,
    pub(crate) usage: UsageHistory,
    book: Arc<Book>,
    /// The tasks of the plans under way.
    plans: TaskTracker,
    /// The tasks of the aggregator itself.
    tasks: OwnedTasks,
    ending: CancellationToken,
}

/// A plan, and what each of its steps is for.
struct Planned {
    plan: Plan,
    targets: Vec<RequestTarget>,
}

/// Why a plan was not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// It cannot be.
    Refused(OperationError),
    /// It touches more than was named and agreed.
    Unagreed {
        /// What would be done.
        plan: Plan,
        /// What it touches beside, as a sentence.
        sentence: String,
    },
}

impl From<OperationError> for NotBegun {
    fn from(error: OperationError) -> Self {
        Self::Refused(error)
    }
}

impl From<NotBegun> for OperationError {
    fn from(not_begun: NotBegun) -> Self {
        match not_begun {
            NotBegun::Refused(error) => error,
            NotBegun::Unagreed { sentence, .. } => Self::new(Code::FailedPrecondition, sentence),
        }
    }
}

impl Operations {
    /// Operations on the platform of `configuration`, and the task that follows its agents and carries out plans
    /// until `shutdown`. What happens goes to `recorder`; the state actor has a heartbeat in `tasks`, and shows what is
    /// in `impairments`.
    ///
    /// # Errors
    /// An agent's address that is none; a checked configuration has no such.
    pub fn start(
        configuration: Configuration,
        recorder: Recorder,
        asking: Option<&ClientTls>,
        tasks: &OwnedTasks,
        impairments: &ImpairmentList,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let (platform, source, reloads) = match configuration {
            Configuration::Fixed(platform) => (platform, None, None),
            Configuration::Folder { platform, folder, asked } => {
                let (reloads, requests) = mpsc::channel(REQUESTS);
                (platform, Some(Source { folder, asked, requests }), Some(reloads))
            }
        };
        let fleet = Arc::new(Fleet::new(platform, &[], asking)?);
        let (inbox, published, hub) = hub(
            Arc::clone(&fleet),
            recorder.clone(),
            impairments.clone(),
            tasks.heartbeat("the owner of the platform's state"),
        );
        let Published { overview, maintenance, prerequisites, usage } = published;
        let notices = Notices { maintenance: maintenance.clone(), prerequisites };
        let (publisher, fleet) = watch::channel(fleet);
        let keeper = Keeper {
            fleet: publisher,
            followers: Followers::new(inbox.clone(), notices),
            inbox: inbox.clone(),
            recorder: recorder.clone(),
        };
        let hub = shutdown.clone().run_until_cancelled_owned(hub);
        let keeper = keeper.run(source, shutdown.clone());
        let operations = Self {
            fleet,
            inbox,
            overview,
            maintenance,
            reloads,
            recorder,
            strips: Arc::default(),
            usage,
            book: Arc::default(),
            plans: TaskTracker::new(),
            tasks: tasks.clone(),
            ending: shutdown.clone(),
        };
        let unfinished = operations.reopen_unfinished();
        let plans = operations.clone().end_plans(unfinished);
        let task = async move {
            tokio::join!(hub, keeper, plans);
        };
        Ok((operations, task))
    }

    /// Puts the plans into the book that an earlier aggregator did not end.
    fn reopen_unfinished(&self) -> Vec<Arc<Account>> {
        let now = Timestamp::now();
        let reopened = self.recorder.unfinished().into_iter().map(|plan| {
            let account = Arc::new(unfinished::reopen(plan, self.recorder.clone(), now));
            self.book.add(Arc::clone(&account));
            account
        });
        reopened.collect()
    }

    /// Ends the plans that an earlier aggregator did not, as soon as every host was heard of; then waits for
    /// those that are under way when everything ends.
    async fn end_plans(self, unfinished: Vec<Arc<Account>>) {
        if !unfinished.is_empty() && self.ending.run_until_cancelled(self.ready()).await.is_some() {
            for account in unfinished {
                for (id, stop) in unfinished::close(&account, &self.overview(), Timestamp::now()) {
                    // The hub ends only at shutdown.
                    let _ = self.inbox.send(Message::Stopped(id, stop, None)).await;
                }
            }
        }
        self.ending.cancelled().await;
        self.plans.close();
        self.plans.wait().await;
    }

    /// Cancelled when the aggregator ends.
    pub(crate) fn ending(&self) -> CancellationToken {
        self.ending.clone()
    }

    /// The platform and its agents as they are now, for one operation from its beginning to its end.
    pub(crate) fn fleet(&self) -> Arc<Fleet> {
        Arc::clone(&self.fleet.borrow())
    }

    /// The overview as it stands.
    pub fn overview(&self) -> Arc<Overview> {
        Arc::clone(&self.overview.borrow())
    }

    /// The overview as it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Overview>> {
        self.overview.clone()
    }

    /// Returns Ok if every task of the aggregator works, and every host has been heard of or is known not to answer.
    ///
    /// # Errors
    /// Returns why it is not ready, as a sentence.
    pub fn readiness(&self) -> Result<(), String> {
        self.tasks.health()?;
        match is_ready(&self.overview()) {
            true => Ok(()),
            false => Err("some hosts have not been heard of yet".to_owned()),
        }
    }

    /// Returns when every host has been heard of, or is known not to answer.
    async fn ready(&self) {
        // The hub ends only at shutdown.
        let _ = self.overview.clone().wait_for(|overview| is_ready(overview)).await;
    }

    /// Makes every agent scan now; returns within 5 seconds.
    pub async fn refresh(&self) -> Arc<Overview> {
        let fleet = self.fleet();
        join_all(fleet.agents.iter().map(|agent| self.refresh_host(agent))).await;
        self.flushed().await
    }

    async fn refresh_host(&self, agent: &Agent) {
        if let Some(news) = scan(agent).await {
            // The hub ends only at shutdown.
            let _ = self.inbox.send(Message::News(agent.id(), news)).await;
        }
    }

    /// The overview in which everything told so far is contained.
    async fn flushed(&self) -> Arc<Overview> {
        flush(&self.inbox).await;
        self.overview()
    }

    /// What an instance used in the last hour, the oldest first.
    pub(crate) fn usage_of(&self, id: &InstanceId) -> Vec<Sample> {
        self.usage.of(id, Timestamp::now())
    }

    /// The plan that does `kind` for a wish, by the overview as it stands.
    ///
    /// # Errors
    /// The wish names nothing, or several where one is meant; or there is no such plan.
    pub async fn plan(&self, kind: ActionKind, wish: &ActionRequest) -> Result<Plan, OperationError> {
        Ok(self.planned(kind, wish).await?.plan)
    }

    /// [`Operations::plan`], with what each step is for.
    async fn planned(&self, kind: ActionKind, wish: &ActionRequest) -> Result<Planned, OperationError> {
        // A host that has just been added, or all of them after a start, are soon heard of or given up.
        let _ = tokio::time::timeout(FIRST_NEWS, self.ready()).await;
        let (fleet, overview, wish) = (self.fleet(), self.overview(), wish.clone());
        // Of a large platform it takes a while.
        let made = tokio::task::spawn_blocking(move || {
            let plan = make_plan(kind, &fleet, &overview, &wish)?;
            Ok(Planned { targets: targets(&plan, &overview), plan })
        });
        made.await.unwrap_or_else(|error| {
            Err(OperationError::new(Code::Internal, format!("the aggregator failed: {error}")))
        })
    }

    /// Begins the plan for a wish. It goes on if the caller goes away.
    ///
    /// # Errors
    /// Those of [`Operations::plan`]; a plan that touches more than was named and agreed; too many under way.
    pub(crate) async fn begin(
        &self,
        kind: ActionKind,
        wish: &ActionRequest,
        conduct: ExecutionOptions,
        by: Requester,
    ) -> Result<Arc<Account>, NotBegun> {
        let Planned { plan, targets } = self.planned(kind, wish).await?;
        let unagreed = agree::unagreed(&plan, &conduct);
        if !unagreed.is_empty() {
            let sentence = agree::sentence(&plan, wish, &unagreed);
            return Err(NotBegun::Unagreed { plan, sentence });
        }
        if self.ending.is_cancelled() {
            let message = "the aggregator is shutting down";
            return Err(OperationError::new(Code::Unavailable, message).into());
        }
        let id = self.recorder.next_plan_id();
        let begun = PlanStart { id, plan, at: Timestamp::now(), by, unrecorded: None };
        let account = Arc::new(Account::new(begun, self.recorder.clone()));
        if !self.book.add(Arc::clone(&account)) {
            let message = "too many plans are under way; wait for one to end, or cancel it";
            return Err(OperationError::new(Code::ResourceExhausted, message).into());
        }
        let (recorded, is_recorded) = oneshot::channel();
        let guard = self.tasks.guard("a plan").may_end();
        let carrying_out = self.clone().carry_out(Arc::clone(&account), targets, conduct, recorded);
        self.plans.spawn(async move {
            let _guard = guard;
            carrying_out.await;
        });
        // The task ends without a word only where it panics, which ends the aggregator.
        let _ = is_recorded.await;
        Ok(account)
    }

    /// Records a plan, tells `recorded` that this was done or cannot be, and carries the plan out.
    async fn carry_out(
        self,
        account: Arc<Account>,
        targets: Vec<RequestTarget>,
        conduct: ExecutionOptions,
        recorded: oneshot::Sender<()>,
    ) {
        let begun = account.begun();
        let (plan, action, steps, by) = (begun.id, begun.plan.kind, begun.plan.steps.len(), &begun.by);
        tracing::info!(plan, %action, steps, %by, "plan begins");
        let is_written = async { self.recorder.plan_begun(begun).await };
        if let Some(Err(why)) = self.ending.run_until_cancelled(is_written).await {
            tracing::error!(plan, why, "plan not recorded before its first step");
            account.note_unrecorded(why);
        }
        // Whoever asked may have gone.
        let _ = recorded.send(());
        let perform = {
            let (operations, account) = (self.clone(), Arc::clone(&account));
            move |at, step| {
                let target = targets.get(at).cloned().unwrap_or_default();
                operations.clone().perform_step(Arc::clone(&account), at, step, target)
            }
        };
        run_to_the_end(account, conduct, perform, self.ending.clone()).await;
    }

    /// Does one step of a plan.
    async fn perform_step(
        self,
        account: Arc<Account>,
        at: usize,
        step: Step,
        target: RequestTarget,
    ) -> Result<String, Failure> {
        // That it is attempted is known to a later aggregator, too.
        if !account.is_record_slow() && !self.recorder.flush().await {
            account.note_slow_record();
        }
        let tell = |progress: ActionProgress| {
            let progress = ActionProgress { text: printable_lines(&progress.text), ..progress };
            account.progress(at, Timestamp::now(), progress);
        };
        let outcome = self.perform(step.action, &step.instance, target, account.begun(), tell).await;
        outcome
            .map(|done| done.to_string())
            .map_err(|error| Failure { unreachable: error.code == Code::Unavailable, reason: error.message })
    }

    /// Does `kind` with one instance and waits until it is done; the overview then shows the result.
    async fn perform(
        &self,
        kind: ActionKind,
        id: &InstanceId,
        target: RequestTarget,
        plan: &PlanStart,
        tell: impl Fn(ActionProgress),
    ) -> Result<ActionResult, OperationError> {
        let fleet = self.fleet();
        let found = fleet.find(id)?;
        let agent = agent(&fleet, &found)?;
        tracing::info!(instance = %id, ?kind, "asking the agent");
        let patience = ActionTimes::from(found.component).patience(kind);
        let outcome = agent.control(kind, &found.component.name, target, &plan.by, patience, tell).await;
        match &outcome {
            Ok(done) => tracing::info!(instance = %id, ?kind, %done, "the agent answered"),
            Err(error) => tracing::warn!(instance = %id, ?kind, %error, "the agent did not do it"),
        }
        // What a restart stops is to run again, and what had ended by itself nobody stopped.
        let is_stopped = plan.plan.kind == ActionKind::Stop
            && outcome
                .as_ref()
                .is_ok_and(|done| matches!(done.outcome, ActionOutcome::Stopped | ActionOutcome::Killed));
        match is_stopped {
            true => {
                let stop = PlannedStop { plan: plan.id, by: plan.by.clone(), at: Timestamp::now() };
                let news = scan(agent).await.map(|news| (agent.id(), news));
                // In one message: one overview shows both.
                let _ = self.inbox.send(Message::Stopped(id.clone(), stop, news)).await;
            }
            false => self.refresh_host(agent).await,
        }
        self.flushed().await;
        outcome
    }

    /// The account of a plan that is under way, or that ended lately.
    ///
    /// # Errors
    /// There is no such.
    pub(crate) fn account(&self, plan: u64) -> Result<Arc<Account>, OperationError> {
        self.book.find(plan).ok_or_else(|| {
            let message = format!("plan {plan} is not known; it may have ended long ago: rta events tells");
            OperationError::new(Code::NotFound, message)
        })
    }

    /// The accounts of the plans under way and of late, the newest first.
    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        self.book.all()
    }

    /// Keeps a plan from beginning what it has not begun, but for what brings back what it has stopped; how many
    /// steps that are.
    ///
    /// # Errors
    /// There is no such plan, or it has ended.
    pub(crate) fn cancel(&self, plan: u64) -> Result<usize, OperationError> {
        let skipped = self.account(plan)?.cancel().ok_or_else(|| {
            OperationError::new(
                Code::FailedPrecondition,
                format!("plan {plan} has ended; nothing is cancelled"),
            )
        })?;
        tracing::info!(plan, skipped, "plan cancelled");
        Ok(skipped)
    }

    /// Why an instance is or is not matched: the processes that come nearest, the nearest first.
    ///
    /// # Errors
    /// Returns an error if the selector does not select one instance, or the agent does not answer, or refuses.
    pub async fn explain(
        &self,
        selector: &Selector,
    ) -> Result<(InstanceId, Vec<ExplainedPart>), OperationError> {
        let fleet = self.fleet();
        let found = fleet.resolve(selector, Purpose::Reading)?;
        let agent = agent(&fleet, &found)?;
        Ok((found.id(), agent.explain(&found.component.name).await?))
    }

    /// Reads the configuration anew, here and then on every host, and waits until that is done. It goes on if
    /// the caller goes away.
    ///
    /// # Errors
    /// A configuration that stands in no folder.
    pub async fn reload(&self) -> Result<PlatformReload, OperationError> {
        let Some(reloads) = &self.reloads else {
            return Err(OperationError::new(
                Code::Unimplemented,
                "this aggregator has no configuration folder that it could read anew; it plays the demo",
            ));
        };
        let ended = || OperationError::new(Code::Unavailable, "the aggregator is shutting down");
        let (request, done) = oneshot::channel();
        reloads.send(request).await.map_err(|_| ended())?;
        done.await.map_err(|_| ended())
    }
}

/// How much of the name that somebody gives is kept.
const LONGEST_USER: usize = 64;

/// Who asks, by their own account, and from which address.
pub(crate) fn requester(user: &str, address: String) -> Requester {
    let user = printable(user.trim()).chars().take(LONGEST_USER).collect();
    Requester { user, address }
}

/// The agent of an instance's host.
pub(crate) fn agent<'f>(fleet: &'f Fleet, found: &Found<'_>) -> Result<&'f Agent, OperationError> {
    fleet
        .agents
        .get(found.host_at)
        .ok_or_else(|| OperationError::new(Code::Internal, format!("host {} has no agent", found.host.name)))
}

/// The plan that does `kind` for a wish, where the fleet stands as `overview` shows it.
/// Has `agent` scan its host now; `None` where it does not answer.
async fn scan(agent: &Agent) -> Option<News> {
    match agent.report().await {
        Ok((report, receipt)) => Some(News::Scanned(Box::new(report), receipt)),
        // Whoever follows the agent tells when it is lost; one that is only busy is not.
        Err(reason) => {
            tracing::debug!(host = %agent.host(), reason, "no fresh scan");
            None
        }
    }
}

fn make_plan(
    kind: ActionKind,
    fleet: &Fleet,
    overview: &Overview,
    wish: &ActionRequest,
) -> Result<Plan, OperationError> {
    if wish.stopped_by != 0 && kind != ActionKind::Start {
        let message = "what a plan has stopped can only be started again";
        return Err(OperationError::new(Code::InvalidArgument, message));
    }
    let mut named = select(&fleet.platform, wish)?;
    if wish.stopped_by != 0 {
        keep_stopped_by(wish.stopped_by, &mut named, fleet.graph(), overview)?;
    }
    let components = &fleet.platform.components;
    let startable: HashSet<&str> = components
        .iter()
        .filter(|component| component.start.is_some())
        .map(|component| component.name.folded())
        .collect();
    let graph = fleet.graph();
    let standings = standings(graph, overview, |name| startable.contains(name.folded()));
    let situation = Situation { graph, standings: &standings };
    make(kind, situation, &named, wish.no_dependencies)
}

fn is_ready(overview: &Overview) -> bool {
    let mut hosts = overview.environments.iter().flat_map(|environment| &environment.hosts);
    hosts.all(|host| host.reachable || host.error.is_some())
}

#[cfg(test)]
impl Operations {
    /// The tasks of the aggregator itself.
    pub(crate) fn tasks(&self) -> &OwnedTasks {
        &self.tasks
    }

    /// Operations that show `overview` for ever, with no agent behind them.
    pub(crate) fn showing(overview: Overview) -> Self {
        let (inbox, _) = mpsc::channel(1);
        let (_, overview) = watch::channel(Arc::new(overview));
        let (_, fleet) = watch::channel(Arc::default());
        Self {
            fleet,
            inbox,
            overview,
            maintenance: watch::Sender::default().subscribe(),
            reloads: None,
            recorder: Recorder::default(),
            strips: Arc::default(),
            usage: UsageHistory::default(),
            book: Arc::default(),
            plans: TaskTracker::new(),
            tasks: OwnedTasks::new(CancellationToken::new()),
            ending: CancellationToken::new(),
        }
    }
}
