//! Notifications by root cause: one outage is one message, and one when it is over.
//!
//! | module | holds |
//! |---|---|
//! | `cause` | root causes of an overview, with what messages say of them |
//! | `machine` | the rules: messages and their times; pure |
//! | `routes` | the channels for a root cause; pure |
//! | `message`, `compose`, `text` | messages as JSON, their composition, and their texts for people |
//! | `actor` | the notifier, which owns state and queues |
//! | `queue` | the queue of a channel, and its deliveries |
//! | `deliver` | delivery of one message by one channel |
//! | `switch` | the dead man's switch |
//! | `dry_run` | the messages that the recorded past would have made |
//! | `file_stamp` | changes of the file |

mod actor;
mod cause;
mod compose;
mod deliver;
mod dry_run;
mod file_stamp;
mod machine;
mod message;
mod queue;
mod routes;
mod switch;
mod text;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::config::Platform;
use rta_shared::config::notify::NotifyConfig;
use rta_shared::event::Event;
use rta_shared::impairment::ImpairmentList;
use rta_shared::lifecycle::tasks::OwnedTasks;
use rta_shared::overview::Overview;
use rta_shared::root_cause::CauseId;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::Code;

use crate::events::EventBus;
use crate::inventory::Inventory;
use crate::operation_error::OperationError;
use actor::{Notifier, NotifierParts, NotifyRequest};
use cause::CauseNotes;
use queue::NamedQueues;

pub(crate) use actor::NotifyStatus;
pub(crate) use dry_run::{ConfiguredHost, ConfiguredHosts, DryRunMessage, REPLAYED_KINDS};
pub(crate) use queue::ChannelStatus;

/// Returns Ok if rta itself is well.
pub(crate) type SelfCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Capacity of the queue for requests.
const REQUEST_QUEUE: usize = 16;

/// File of notifications with its content.
#[derive(Clone, Debug)]
pub struct NotifyOptions {
    /// Path of the file, which is read again when it changes.
    pub path: PathBuf,
    /// Content of the file.
    pub config: NotifyConfig,
}

/// Handle to the notifier; clones share it. Without a file there is none, and every request fails.
#[derive(Clone, Debug, Default)]
pub(crate) struct NotifyHandle(Option<NotifierLink>);

/// Link to a running notifier.
#[derive(Clone, Debug)]
struct NotifierLink {
    requests: mpsc::Sender<NotifyRequest>,
    queues: watch::Receiver<NamedQueues>,
}

impl NotifyHandle {
    /// Starts the notifier of the file `options`.
    pub(crate) fn start(
        options: NotifyOptions,
        overview: watch::Receiver<Arc<Overview>>,
        inventory: watch::Receiver<Arc<Inventory>>,
        events: &EventBus,
        tasks: &OwnedTasks,
        impairments: &ImpairmentList,
    ) -> Self {
        let (sender, requests) = mpsc::channel(REQUEST_QUEUE);
        let (queue_sender, queues) = watch::channel(NamedQueues::new());
        let store_error = events.store().watch_error();
        let all = tasks.clone();
        let self_check: SelfCheck = Arc::new(move || {
            all.health()?;
            store_error.borrow().clone().map_or(Ok(()), Err)
        });
        let parts = NotifierParts {
            path: options.path,
            config: options.config,
            overview,
            notes: Box::new(move |id| find_notes(&inventory.borrow().platform, id)),
            events: events.clone(),
            impairments: impairments.clone(),
            heartbeat: tasks.heartbeat("the notifier"),
            self_check,
            queues: queue_sender,
        };
        tasks.spawn("the notifier", Notifier::run(parts, requests));
        Self(Some(NotifierLink { requests: sender, queues }))
    }

    /// Returns the channels with their states, in the order of the file; without a file there are none.
    pub(crate) fn channel_statuses(&self) -> Vec<(String, ChannelStatus)> {
        let Some(link) = &self.0 else { return Vec::new() };
        link.queues.borrow().iter().map(|(name, queue)| (name.clone(), queue.status())).collect()
    }

    /// Sends a test to a channel, and returns when it is delivered.
    ///
    /// # Errors
    /// Returns an error if the channel is unknown, or if it does not deliver.
    pub(crate) async fn send_test(&self, channel: String, by: Requester) -> Result<(), OperationError> {
        self.request(|answer| NotifyRequest::Test(channel, by, answer)).await?
    }

    /// Returns the state of all channels.
    ///
    /// # Errors
    /// Returns an error if there is no notifier.
    pub(crate) async fn status(&self) -> Result<NotifyStatus, OperationError> {
        self.request(NotifyRequest::Status).await
    }

    /// Returns the messages that these `events`, the oldest first, would have made until now on `hosts`.
    ///
    /// # Errors
    /// Returns an error if there is no notifier.
    pub(crate) async fn dry_run(
        &self,
        hosts: ConfiguredHosts,
        events: Vec<Event>,
    ) -> Result<Vec<DryRunMessage>, OperationError> {
        let config = self.request(NotifyRequest::Config).await?;
        let now = Timestamp::now();
        let run = tokio::task::spawn_blocking(move || dry_run::replay(&config, &hosts, &events, now));
        run.await
            .map_err(|error| OperationError::new(Code::Internal, format!("the aggregator failed: {error}")))
    }

    async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> NotifyRequest,
    ) -> Result<T, OperationError> {
        let Some(link) = &self.0 else {
            let message = "this aggregator sends no notifications; start it with --notify FILE";
            return Err(OperationError::new(Code::FailedPrecondition, message));
        };
        let ended = || OperationError::new(Code::Unavailable, "the aggregator is shutting down");
        let (answer, answered) = oneshot::channel();
        link.requests.send(request(answer)).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }
}

/// Returns the notes of the configuration about a root cause.
fn find_notes(platform: &Platform, id: &CauseId) -> CauseNotes {
    let environment = platform.environments.iter().find(|one| one.name == id.environment);
    let host = environment.and_then(|one| one.hosts.iter().find(|host| host.name == id.host));
    let Some(host) = host else { return CauseNotes::default() };
    let component = id.component.as_ref().and_then(|name| platform.component(name.as_str()));
    match component.map(|component| component.notes_on(host)) {
        Some(Ok(notes)) => CauseNotes { labels: notes.labels, runbook: notes.runbook },
        // A link with a variable that the aggregator does not know is no reason for silence.
        Some(Err(_)) | None => CauseNotes { labels: host.labels.clone(), runbook: None },
    }
}

/// Returns a random text, for keys that no other program uses.
fn random_text() -> String {
    let mut bytes = [0; 8];
    // Without a source of randomness the time has to do.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = Timestamp::now().as_microsecond().to_le_bytes();
    }
    rta_shared::sanitize::hex(&bytes)
}
