//! Rendering of a shared page after every change.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::name::Name;
use rta_shared::overview::{InstanceId, InstanceOverview, Overview};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::operations::Operations;
use crate::web::page::{self, LookedUp, Node, Selection};
use crate::web::viewer::Viewer;
use crate::web::{graph, instance};

/// Interval for updates of usage, times, and looked-up details.
const REFRESH: Duration = Duration::from_secs(10);
/// Interval between two renderings while a plan is under way.
const STEPS: Duration = Duration::from_millis(200);
/// Pause after a rendering, so that changes that come together are sent together.
const PAUSE: Duration = Duration::from_millis(40);

/// Subject of a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Overview(Selection),
    Plan(u64),
    Instance(InstanceId),
    /// Graph of the environment with this name.
    Graph(Name),
}

/// Live rendering of a page for one room.
pub(super) struct View {
    operations: Operations,
    subject: Subject,
    viewer: Viewer,
    /// Details of an instance beyond the overview.
    looked_up: Option<LookedUp>,
    overviews: watch::Receiver<Arc<Overview>>,
    /// Overview that is not newer than the one on the page.
    shown: Arc<Overview>,
}

/// Rendered version of a page.
pub(super) struct Version {
    /// Number of versions before it.
    pub(super) number: u64,
    pub(super) page: Node,
}

/// Patch that turns the previous version into the one with this number.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) number: u64,
    pub(super) html: Arc<str>,
}

impl View {
    /// Creates a view and renders its page; `None` if the subject does not exist.
    pub(super) async fn new(
        operations: Operations,
        subject: Subject,
        viewer: Viewer,
    ) -> Option<(Self, Node)> {
        // Subscribed before rendering, so that no later overview is missed.
        let mut overviews = operations.watch();
        let shown = Arc::clone(&overviews.borrow_and_update());
        let looked_up = match &subject {
            Subject::Instance(id) => Some(instance::look_up(&operations, id).await),
            _ => None,
        };
        let (view, made) = Self { operations, subject, viewer, looked_up, overviews, shown }.made().await?;
        Some((view, made?))
    }

    /// Renders the page outside the runtime: one with a thousand hosts takes a while.
    async fn made(self) -> Option<(Self, Option<Node>)> {
        match tokio::task::spawn_blocking(move || (self.make(), self)).await {
            Ok((made, view)) => Some((view, made)),
            Err(error) => {
                tracing::error!(%error, "an open page could not be made anew");
                None
            }
        }
    }

    fn make(&self) -> Option<Node> {
        match &self.subject {
            Subject::Overview(selection) => {
                let plans: Vec<_> =
                    self.operations.accounts().iter().map(|account| account.snapshot()).collect();
                let overview = self.operations.overview();
                Some(page::parts(&overview, &plans, selection, &self.viewer, Timestamp::now()))
            }
            Subject::Instance(id) => {
                let (detail, overview) = (self.operations.detail_of(id), self.operations.overview());
                let looked_up = self.looked_up.as_ref()?;
                Some(page::detail_parts(&detail, looked_up, &overview, &self.viewer, Timestamp::now()))
            }
            Subject::Graph(environment) => graph::parts(&self.operations, environment.as_str()).ok(),
            Subject::Plan(id) => {
                let account = self.operations.account(*id).ok()?;
                Some(page::plan::parts(&self.viewer, &account.snapshot(), &self.operations.overview()))
            }
        }
    }

    /// Returns true if a plan is under way, whose progress is not part of the overview.
    fn is_busy(&self) -> bool {
        self.operations.accounts().iter().any(|account| account.is_under_way())
    }

    /// Renders the page after every change, and sends the differences.
    pub(super) async fn follow(self, page: watch::Sender<Version>, changes: broadcast::Sender<Change>) {
        let mut refresh = tokio::time::interval_at(Instant::now() + REFRESH, REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looking = Looking::of(&self.subject, &self.shown);
        let mut view = self;
        let mut was_busy = false;
        loop {
            let is_busy = view.is_busy();
            tokio::select! {
                changed = view.overviews.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let overview = Arc::clone(&view.overviews.borrow_and_update());
                    // Changes of times alone are sent with the periodic update.
                    if overview.equals_except_times(&view.shown) {
                        continue;
                    }
                    view.shown = overview;
                    if let Some(looking) = &mut looking {
                        looking.note(&view.shown);
                    }
                }
                _ = refresh.tick() => {
                    if let Some(looking) = &mut looking {
                        looking.is_due = true;
                    }
                }
                found = Looking::found(&mut looking) => view.looked_up = found.or(view.looked_up),
                () = tokio::time::sleep(STEPS), if is_busy || was_busy => {}
            }
            was_busy = is_busy;
            if let Some(looking) = &mut looking {
                looking.begin(&view.operations);
            }
            let Some((back, made)) = view.made().await else { return };
            view = back;
            let Some(now) = made else { return };
            let html = now.changes(&page.borrow().page);
            let number = page.borrow().number + 1;
            page.send_replace(Version { number, page: now });
            if !html.is_empty() {
                // There may be no reader at this moment.
                let _ = changes.send(Change { number, html: Arc::from(html) });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Refresh of an instance's details in the background. The page continues with the previous details, so that
/// a hanging agent delays nothing else.
struct Looking {
    id: InstanceId,
    /// Instance at the last refresh.
    seen: Option<InstanceOverview>,
    is_due: bool,
    task: Option<JoinHandle<LookedUp>>,
}

impl Looking {
    fn of(subject: &Subject, overview: &Overview) -> Option<Self> {
        let Subject::Instance(id) = subject else { return None };
        let seen = overview.find(id).map(|located| located.instance.clone());
        Some(Self { id: id.clone(), seen, is_due: false, task: None })
    }

    /// Schedules a refresh if the instance changed.
    fn note(&mut self, overview: &Overview) {
        let now = overview.find(&self.id).map(|located| located.instance);
        if now != self.seen.as_ref() {
            self.seen = now.cloned();
            self.is_due = true;
        }
    }

    fn begin(&mut self, operations: &Operations) {
        if self.is_due && self.task.is_none() {
            self.is_due = false;
            let (operations, id) = (operations.clone(), self.id.clone());
            self.task = Some(tokio::spawn(async move { instance::look_up(&operations, &id).await }));
        }
    }

    /// Waits for the details; `None` if the lookup failed.
    async fn found(looking: &mut Option<Self>) -> Option<LookedUp> {
        let task = looking.as_mut().and_then(|looking| looking.task.as_mut());
        let Some(task) = task else { return std::future::pending().await };
        let found = task.await;
        if let Some(looking) = looking {
            looking.task = None;
        }
        found.inspect_err(|error| tracing::error!(%error, "an instance could not be looked up")).ok()
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
