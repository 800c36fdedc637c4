//! Shared subscriptions: all readers of the same page share one view, so that each change is computed once
//! and the same bytes are sent to everybody.

use std::sync::Arc;

use rta_shared::keyed_semaphore::{KeyedSemaphore, Permit};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::renderer::{LiveRenderer, PagePatch, PageSubject, PageVersion};
use super::shared_values::SharedValues;
use crate::api::Operations;
use crate::web::request_context::RequestContext;

/// Maximum number of open pages; more are refused, and continue without live changes.
const MAX_SUBSCRIPTIONS: usize = 1_000;
/// Maximum number of different open pages: each is rendered at every change.
const MAX_VIEWS: usize = 64;
/// Limits for one user: open pages, and different open pages. Behind a proxy without sign-in, all clients
/// count as one.
const MAX_SUBSCRIPTIONS_PER_CLIENT: usize = 900;
const MAX_VIEWS_PER_CLIENT: usize = 56;
/// Maximum number of changes that a slow reader may lag behind; beyond that it receives the whole page again.
const MAX_LAG: usize = 16;

/// Subscriptions of open pages; clones share them.
#[derive(Clone)]
pub(in crate::web) struct Subscriptions {
    pub(super) operations: Operations,
    open: KeyedSemaphore<String>,
    begun: KeyedSemaphore<String>,
    views: SharedValues<ViewKey, SharedView>,
}

/// Page of a shared view, and the rights that it is rendered for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ViewKey {
    subject: PageSubject,
    /// True if the page has buttons for actions.
    may_act: bool,
    /// True if forms carry a token.
    has_token: bool,
}

/// Readers of the same page. Its task ends when the last of them drops it.
pub(super) struct SharedView {
    pub(super) page: watch::Receiver<PageVersion>,
    /// The task owns the only sender, so that this ends for all readers with the task.
    pub(super) changes: broadcast::Receiver<PagePatch>,
    _task: DropGuard,
    _begun: Permit<String>,
}

/// Subscription of one reader.
pub(super) struct Subscription {
    pub(super) view: Arc<SharedView>,
    _open: Permit<String>,
}

/// Reason why a subscription fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubscribeError {
    /// The limit of open pages is reached.
    TooMany,
    /// The subject of the page does not exist.
    NotFound,
}

impl Subscriptions {
    pub(in crate::web) fn new(operations: Operations) -> Self {
        Self {
            operations,
            open: KeyedSemaphore::new(MAX_SUBSCRIPTIONS, MAX_SUBSCRIPTIONS_PER_CLIENT),
            begun: KeyedSemaphore::new(MAX_VIEWS, MAX_VIEWS_PER_CLIENT),
            views: SharedValues::default(),
        }
    }

    /// Subscribes to a page.
    ///
    /// # Errors
    /// Returns an error if a limit is reached, or if the subject of the page does not exist.
    pub(super) async fn subscribe(
        &self,
        subject: &PageSubject,
        context: &RequestContext,
    ) -> Result<Subscription, SubscribeError> {
        let open = self.open.acquire(context.client_name().to_owned()).ok_or(SubscribeError::TooMany)?;
        let (may_act, has_token) = (context.may_act, context.csrf.is_some());
        let key = ViewKey { subject: subject.clone(), may_act, has_token };
        let create = self.create_view(subject, context);
        let view = self.views.get_or_create(key, SharedView::is_alive, create).await?;
        Ok(Subscription { view, _open: open })
    }

    async fn create_view(
        &self,
        subject: &PageSubject,
        context: &RequestContext,
    ) -> Result<SharedView, SubscribeError> {
        let begun = self.begun.acquire(context.client_name().to_owned()).ok_or(SubscribeError::TooMany)?;
        // The changes are sent to all readers: the script inserts the token of its session.
        let context =
            RequestContext { csrf: context.csrf.as_ref().map(|_| String::new()), ..context.clone() };
        let made = LiveRenderer::new(self.operations.clone(), subject.clone(), context).await;
        let (renderer, page) = made.ok_or(SubscribeError::NotFound)?;
        let (page, seen) = watch::channel(PageVersion { number: 0, page });
        let (changes, heard) = broadcast::channel(MAX_LAG);
        let ended = CancellationToken::new();
        tokio::spawn(ended.clone().run_until_cancelled_owned(renderer.render_changes(page, changes)));
        Ok(SharedView { page: seen, changes: heard, _task: ended.drop_guard(), _begun: begun })
    }
}

impl SharedView {
    /// Returns true if the task that renders the page still runs.
    fn is_alive(&self) -> bool {
        self.page.has_changed().is_ok()
    }
}
