//! Rendering of a shared page after every change.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::name::Name;
use rta_shared::overview::{InstanceId, InstanceOverview, Overview};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::event_list::LiveEventList;
use super::incident_list::LiveIncidentList;
use crate::api::Operations;
use crate::web::pages::events;
use crate::web::pages::events::handler::EventsQuery;
use crate::web::pages::graph;
use crate::web::pages::incidents;
use crate::web::pages::incidents::query::IncidentsQuery;
use crate::web::pages::instance;
use crate::web::pages::instance::details::InstanceDetails;
use crate::web::pages::overview::selection::Selection;
use crate::web::pages::overview::view as overview_view;
use crate::web::pages::plan;
use crate::web::parts::html_patch::HtmlNode;
use crate::web::request_context::RequestContext;

/// Interval for updates of usage, times, and looked-up details.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);
/// Minimum interval between two renderings that show the progress of plans.
const PLAN_INTERVAL: Duration = Duration::from_millis(200);
/// Pause after a rendering, so that changes that come together are sent together.
const MIN_RENDER_INTERVAL: Duration = Duration::from_millis(40);

/// Subject of a page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum PageSubject {
    Overview(Selection),
    Plan(u64),
    Instance(InstanceId),
    /// Graph of the environment with this name.
    Graph(Name),
    Events(EventsQuery),
    Incidents(IncidentsQuery),
}

/// Live rendering of a page for one shared view.
pub(super) struct LiveRenderer {
    operations: Operations,
    subject: PageSubject,
    context: RequestContext,
    /// Details of an instance beyond the overview.
    details: Option<InstanceDetails>,
    /// Events of a page of events.
    event_list: Option<LiveEventList>,
    /// Incidents of a page of incidents.
    incident_list: Option<LiveIncidentList>,
    overviews: watch::Receiver<Arc<Overview>>,
    plan_refresh: PlanRefresh,
    /// Overview that is not newer than the one on the page.
    last_overview: Arc<Overview>,
}

/// Rendered version of a page.
pub(super) struct PageVersion {
    /// Number of versions before it.
    pub(super) number: u64,
    pub(super) page: HtmlNode,
}

/// Patch that turns the previous version into the one with this number.
#[derive(Clone, Debug)]
pub(super) struct PagePatch {
    pub(super) number: u64,
    pub(super) html: Arc<str>,
}

impl LiveRenderer {
    /// Creates a view and renders its page; `None` if the subject does not exist.
    pub(super) async fn new(
        operations: Operations,
        subject: PageSubject,
        context: RequestContext,
    ) -> Option<(Self, HtmlNode)> {
        // Subscribed before rendering, so that no later overview is missed.
        let mut overviews = operations.watch_overview();
        let last_overview = Arc::clone(&overviews.borrow_and_update());
        let plan_refresh = PlanRefresh::of(&subject, &operations);
        let details = match &subject {
            PageSubject::Instance(id) => Some(instance::handler::load_details(&operations, id).await),
            _ => None,
        };
        let event_list = match &subject {
            PageSubject::Events(query) => Some(LiveEventList::load(&operations, query.clone()).await),
            _ => None,
        };
        let incident_list = match &subject {
            PageSubject::Incidents(query) => Some(LiveIncidentList::load(&operations, query.clone()).await),
            _ => None,
        };
        let renderer = Self {
            operations,
            subject,
            context,
            details,
            event_list,
            incident_list,
            overviews,
            plan_refresh,
            last_overview,
        };
        let (renderer, page) = renderer.render_blocking().await?;
        Some((renderer, page?))
    }

    /// Renders the page outside the runtime: one with a thousand hosts takes a while.
    async fn render_blocking(self) -> Option<(Self, Option<HtmlNode>)> {
        match tokio::task::spawn_blocking(move || (self.render_page(), self)).await {
            Ok((page, renderer)) => Some((renderer, page)),
            Err(error) => {
                tracing::error!(%error, "open page not rendered");
                None
            }
        }
    }

    fn render_page(&self) -> Option<HtmlNode> {
        match &self.subject {
            PageSubject::Overview(selection) => {
                let plans: Vec<_> =
                    self.operations.plan_runs().iter().map(|plan_run| plan_run.snapshot()).collect();
                let overview = self.operations.overview();
                Some(overview_view::parts(&overview, &plans, selection, &self.context, Timestamp::now()))
            }
            PageSubject::Instance(id) => {
                let (detail, overview) = (self.operations.definition_of(id), self.operations.overview());
                let details = self.details.as_ref()?;
                Some(instance::view::parts(&detail, details, &overview, &self.context, Timestamp::now()))
            }
            PageSubject::Graph(environment) => {
                graph::handler::graph_parts(&self.operations, environment.as_str()).ok()
            }
            PageSubject::Events(query) => {
                let events = &self.event_list.as_ref()?.events;
                Some(events::view::parts(events, &query.form(), &self.operations.overview()))
            }
            PageSubject::Incidents(query) => {
                let incidents = &self.incident_list.as_ref()?.incidents;
                let overview = self.operations.overview();
                Some(incidents::view::parts(incidents, query, &overview, Timestamp::now()))
            }
            PageSubject::Plan(id) => {
                let plan_run = self.operations.plan_run(*id).ok()?;
                Some(plan::view::parts(&self.context, &plan_run.snapshot(), &self.operations.overview()))
            }
        }
    }

    /// Renders the page after every change, and sends the differences.
    pub(super) async fn render_changes(
        self,
        page: watch::Sender<PageVersion>,
        changes: broadcast::Sender<PagePatch>,
    ) {
        let mut refresh = tokio::time::interval_at(Instant::now() + REFRESH_INTERVAL, REFRESH_INTERVAL);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut detail_refresh = DetailRefresh::of(&self.subject, &self.last_overview);
        let mut view = self;
        loop {
            tokio::select! {
                changed = view.overviews.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let overview = Arc::clone(&view.overviews.borrow_and_update());
                    // Changes of times alone are sent with the periodic update.
                    if overview.equals_except_times(&view.last_overview) {
                        continue;
                    }
                    view.last_overview = overview;
                    if let Some(detail_refresh) = &mut detail_refresh {
                        detail_refresh.check_instance(&view.last_overview);
                    }
                }
                _ = refresh.tick() => {
                    if let Some(detail_refresh) = &mut detail_refresh {
                        detail_refresh.is_due = true;
                    }
                }
                details = DetailRefresh::finish_refresh(&mut detail_refresh) => {
                    view.details = details.or(view.details);
                }
                () = view.plan_refresh.wait_until_due() => {}
                () = wait_for_events(&mut view.event_list, &view.operations) => {}
                () = wait_for_incidents(&mut view.incident_list, &view.operations) => {}
            }
            view.plan_refresh.note_rendering();
            if let Some(detail_refresh) = &mut detail_refresh {
                detail_refresh.start_refresh(&view.operations);
            }
            let Some((back, rendered)) = view.render_blocking().await else { return };
            view = back;
            let Some(now) = rendered else { return };
            let html = now.changes(&page.borrow().page);
            let number = page.borrow().number + 1;
            page.send_replace(PageVersion { number, page: now });
            if !html.is_empty() {
                // There may be no reader at this moment.
                let _ = changes.send(PagePatch { number, html: Arc::from(html) });
            }
            tokio::time::sleep(MIN_RENDER_INTERVAL).await;
        }
    }
}

/// Waits until a page of events has others to show; forever if it is another page.
async fn wait_for_events(event_list: &mut Option<LiveEventList>, operations: &Operations) {
    match event_list {
        Some(event_list) => event_list.wait_for_change(operations).await,
        None => std::future::pending().await,
    }
}

/// Waits until a page of incidents has others to show; forever if it is another page.
async fn wait_for_incidents(incident_list: &mut Option<LiveIncidentList>, operations: &Operations) {
    match incident_list {
        Some(incident_list) => incident_list.wait_for_change(operations).await,
        None => std::future::pending().await,
    }
}

/// Schedule of the renderings for the progress of plans, which is not part of the overview: the first change is
/// shown at once, the next ones [`PLAN_INTERVAL`] after the last rendering.
struct PlanRefresh {
    /// `None`: the page shows no plan.
    changes: Option<watch::Receiver<()>>,
    due_at: Option<Instant>,
    rendered_at: Option<Instant>,
}

impl PlanRefresh {
    fn of(subject: &PageSubject, operations: &Operations) -> Self {
        let changes = match subject {
            PageSubject::Overview(_) | PageSubject::Plan(_) => Some(operations.watch_plans()),
            PageSubject::Instance(_)
            | PageSubject::Graph(_)
            | PageSubject::Events(_)
            | PageSubject::Incidents(_) => None,
        };
        Self { changes, due_at: None, rendered_at: None }
    }

    /// Waits until a change of a plan is to be shown. May be cancelled and called again.
    async fn wait_until_due(&mut self) {
        let Some(changes) = &mut self.changes else { return std::future::pending().await };
        let due_at = match self.due_at {
            Some(due_at) => due_at,
            None => {
                if changes.changed().await.is_err() {
                    return std::future::pending().await;
                }
                let now = Instant::now();
                *self.due_at.insert(self.rendered_at.map_or(now, |at| now.max(at + PLAN_INTERVAL)))
            }
        };
        tokio::time::sleep_until(due_at).await;
    }

    /// Notes that all changes so far are part of the rendering that begins now.
    fn note_rendering(&mut self) {
        if let Some(changes) = &mut self.changes {
            changes.mark_unchanged();
        }
        (self.due_at, self.rendered_at) = (None, Some(Instant::now()));
    }
}

/// Refresh of an instance's details in the background. The page continues with the previous details, so that
/// a hanging agent delays nothing else.
struct DetailRefresh {
    id: InstanceId,
    /// Instance at the last refresh.
    last_instance: Option<InstanceOverview>,
    is_due: bool,
    task: Option<JoinHandle<InstanceDetails>>,
}

impl DetailRefresh {
    fn of(subject: &PageSubject, overview: &Overview) -> Option<Self> {
        let PageSubject::Instance(id) = subject else { return None };
        let last_instance = overview.find(id).map(|located| located.instance.clone());
        Some(Self { id: id.clone(), last_instance, is_due: false, task: None })
    }

    /// Schedules a refresh if the instance changed.
    fn check_instance(&mut self, overview: &Overview) {
        let now = overview.find(&self.id).map(|located| located.instance);
        if now != self.last_instance.as_ref() {
            self.last_instance = now.cloned();
            self.is_due = true;
        }
    }

    fn start_refresh(&mut self, operations: &Operations) {
        if self.is_due && self.task.is_none() {
            self.is_due = false;
            let (operations, id) = (operations.clone(), self.id.clone());
            self.task =
                Some(tokio::spawn(async move { instance::handler::load_details(&operations, &id).await }));
        }
    }

    /// Waits for the details; `None` if the lookup failed.
    async fn finish_refresh(detail_refresh: &mut Option<Self>) -> Option<InstanceDetails> {
        let task = detail_refresh.as_mut().and_then(|detail_refresh| detail_refresh.task.as_mut());
        let Some(task) = task else { return std::future::pending().await };
        let details = task.await;
        if let Some(detail_refresh) = detail_refresh {
            detail_refresh.task = None;
        }
        details.inspect_err(|error| tracing::error!(%error, "an instance could not be looked up")).ok()
    }
}

impl Drop for DetailRefresh {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plans::run::PlanChanges;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn progress_of_plans_is_shown_at_once_then_in_intervals_and_silence_never() {
        let changes = PlanChanges::default();
        let mut refresh = PlanRefresh { changes: Some(changes.subscribe()), due_at: None, rendered_at: None };
        assert!(tokio::time::timeout(HOUR, refresh.wait_until_due()).await.is_err());
        changes.notify();
        let start = Instant::now();
        refresh.wait_until_due().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        refresh.note_rendering();
        tokio::time::advance(PLAN_INTERVAL / 4).await;
        (0..100).for_each(|_| changes.notify());
        // Waiting again after another change was handled in between does not lose it.
        assert!(tokio::time::timeout(PLAN_INTERVAL / 4, refresh.wait_until_due()).await.is_err());
        refresh.wait_until_due().await;
        assert_eq!(start.elapsed(), PLAN_INTERVAL);
        changes.notify();
        refresh.note_rendering();
        assert!(tokio::time::timeout(HOUR, refresh.wait_until_due()).await.is_err());
    }
}
