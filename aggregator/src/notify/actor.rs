//! The notifier: the one owner of the notifications. Takes in overviews, stores what follows before anything
//! is sent, and hands messages to the channels.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::action::Requester;
use rta_shared::config::LoadError;
use rta_shared::config::notify::{Channel, NotifyConfig, load_notify_file};
use rta_shared::event::{Event, EventKind};
use rta_shared::format::counted;
use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::lifecycle::tasks::Heartbeat;
use rta_shared::name::Name;
use rta_shared::overview::Overview;
use rta_shared::root_cause::CauseId;
use rta_shared::sanitize::quoted_input;
use rta_shared::suggestion::did_you_mean;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tonic::Code;

use super::cause::{CauseNotes, CauseReader};
use super::compose::compose_test;
use super::deliver::{deliver, kill_leftover_commands};
use super::file_stamp::FileStamp;
use super::machine::NotifyState;
use super::message::{Message, MessageKind, Outgoing};
use super::queue::{ChannelQueue, ChannelStatus, DeliveryOutcome, NamedQueues, QueuedMessage, run_channel};
use super::switch::run_switch;
use super::{SelfCheck, random_text};
use crate::events::EventBus;
use crate::operation_error::OperationError;
use crate::store::{EventStoreHandle, NotificationChange, OutboxRow};

/// Minimum time between two evaluations: large platforms publish many overviews.
const PAUSE: Duration = Duration::from_millis(500);
/// Interval between two checks for a changed file.
const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// Time limit for the file to be read, after which its disk counts as hung.
const FILE_TIMEOUT: Duration = Duration::from_secs(10);
/// Reason why the messages of a removed channel are given up.
const UNCONFIGURED: &str = "the channel is not configured any more";
/// Time for which the first delivery waits until commands of an earlier aggregator are killed.
const LEFTOVERS_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval of the notifier's heartbeat.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Request to the notifier.
#[derive(Debug)]
pub(crate) enum NotifyRequest {
    /// Sends a test to a channel. Answered when it is delivered, or why it is not.
    Test(String, Requester, oneshot::Sender<Result<(), OperationError>>),
    /// Asks for the state.
    Status(oneshot::Sender<NotifyStatus>),
    /// Asks for the configuration.
    Config(oneshot::Sender<Arc<NotifyConfig>>),
}

/// State of the notifications, for people.
#[derive(Clone, Debug, Default)]
pub(crate) struct NotifyStatus {
    /// Channels with their kinds, in the order of the file.
    pub(crate) channels: Vec<(String, &'static str, ChannelStatus)>,
    /// Number of root causes of which some channel was told and that are not over.
    pub(crate) open: usize,
    /// Problem of the file, because of which an older one is in use.
    pub(crate) config_error: Option<String>,
    /// Reason why the dead man's switch cannot be reached.
    pub(crate) switch_error: Option<String>,
}

/// What the notifier works with.
pub(crate) struct NotifierParts {
    pub(crate) path: PathBuf,
    pub(crate) config: NotifyConfig,
    pub(crate) overview: watch::Receiver<Arc<Overview>>,
    /// Returns the notes of a root cause.
    pub(crate) notes: Box<dyn Fn(&CauseId) -> CauseNotes + Send + Sync>,
    pub(crate) events: EventBus,
    pub(crate) impairments: ImpairmentList,
    pub(crate) heartbeat: Heartbeat,
    /// Tells whether rta itself is well, for the dead man's switch.
    pub(crate) self_check: SelfCheck,
    /// Publishes the queues of the present channels.
    pub(crate) queues: watch::Sender<NamedQueues>,
}

/// File that was read: its stamp, and its content if it has changed.
type ReadFile = (Option<FileStamp>, Option<Result<NotifyConfig, LoadError>>);

/// Read of the file, off the runtime, since its disk may hang. One at a time.
#[derive(Default)]
struct FileReading(Option<(Instant, JoinHandle<ReadFile>)>);

impl FileReading {
    /// Begins to read the file, if it is not of this `stamp` any more. Returns the problem if an earlier read
    /// hangs.
    fn begin(&mut self, path: &Path, stamp: Option<FileStamp>) -> Option<String> {
        if let Some((begun, _)) = &self.0 {
            let is_late = begun.elapsed() >= FILE_TIMEOUT;
            return is_late.then(|| format!("{} cannot be read: its disk does not answer", path.display()));
        }
        let path = path.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let now = FileStamp::of(&path);
            (now, (now != stamp).then(|| load_notify_file(&path)))
        });
        self.0 = Some((Instant::now(), read));
        None
    }

    /// Waits for the read to end; for ever if there is none. `None`: it failed, and is begun again. Cancel-safe.
    async fn ended(&mut self) -> Option<ReadFile> {
        let Some((_, read)) = &mut self.0 else { return std::future::pending().await };
        let read = read.await;
        self.0 = None;
        read.inspect_err(|error| tracing::error!(%error, "the file of notifications was not read")).ok()
    }
}

struct ChannelTask {
    channel: Channel,
    queue: Arc<ChannelQueue>,
    open: watch::Sender<Vec<Message>>,
    task: JoinHandle<()>,
}

impl Drop for ChannelTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The notifier.
pub(crate) struct Notifier {
    parts: NotifierParts,
    config: Arc<NotifyConfig>,
    stamp: Option<FileStamp>,
    config_error: Option<String>,
    /// Problem of a read of the file that hangs.
    read_problem: Option<String>,
    store: EventStoreHandle,
    state: NotifyState,
    cause_reader: CauseReader,
    /// Beginning of the keys of this program's messages.
    key_prefix: String,
    /// Number of the last message in the outbox.
    last_number: u64,
    channels: Vec<ChannelTask>,
    switch: Option<JoinHandle<()>>,
    switch_error: watch::Sender<Option<String>>,
    outcome_sender: mpsc::UnboundedSender<DeliveryOutcome>,
}

impl Notifier {
    /// Creates the notifier, and runs it until it is dropped.
    pub(crate) async fn run(parts: NotifierParts, mut requests: mpsc::Receiver<NotifyRequest>) {
        // Off the runtime, and not for long: a read of /proc may hang. The message of a command that is left is
        // delivered again, which must not run beside it.
        let killed = tokio::task::spawn_blocking(kill_leftover_commands);
        if tokio::time::timeout(LEFTOVERS_TIMEOUT, killed).await.is_err() {
            tracing::warn!(
                "commands that an earlier aggregator left may still run: the processes were not listed in time"
            );
        }
        let (outcome_sender, mut outcomes) = mpsc::unbounded_channel();
        let mut notifier = Self::new(parts, outcome_sender);
        let mut overview = notifier.parts.overview.clone();
        overview.mark_changed();
        let mut switch_error = notifier.switch_error.subscribe();
        let mut file_checks = interval(FILE_CHECK_INTERVAL);
        let mut beats = interval(HEARTBEAT_INTERVAL);
        for timer in [&mut file_checks, &mut beats] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let (mut is_pending, mut rest_until) = (false, Instant::now());
        let mut reading = FileReading::default();
        loop {
            tokio::select! {
                Ok(()) = overview.changed(), if !is_pending => is_pending = true,
                () = sleep_until(rest_until), if is_pending => {
                    is_pending = false;
                    let current = Arc::clone(&overview.borrow_and_update());
                    notifier.evaluate(&current).await;
                    rest_until = Instant::now() + PAUSE;
                }
                Some(outcome) = outcomes.recv() => notifier.note_outcome(outcome),
                Some(request) = requests.recv() => notifier.answer(request),
                Ok(()) = switch_error.changed() => notifier.show_impairment(),
                _ = file_checks.tick() => {
                    if let Some(problem) = reading.begin(&notifier.parts.path, notifier.stamp) {
                        notifier.refuse_file(problem);
                    }
                }
                Some(read) = reading.ended() => notifier.follow_file(read),
                _ = beats.tick() => notifier.parts.heartbeat.beat(),
            }
        }
    }

    fn new(parts: NotifierParts, outcome_sender: mpsc::UnboundedSender<DeliveryOutcome>) -> Self {
        let store = parts.events.store().clone();
        let stored = store.notifications();
        let state = stored.state.as_deref().map(serde_json::from_str::<NotifyState>);
        let state = state.unwrap_or_else(|| Ok(NotifyState::default())).unwrap_or_else(|error| {
            tracing::error!(%error, "the state of the notifications cannot be read and is forgotten");
            NotifyState::default()
        });
        let mut notifier = Self {
            config: Arc::new(parts.config.clone()),
            stamp: FileStamp::of(&parts.path),
            config_error: None,
            read_problem: None,
            state,
            cause_reader: CauseReader::default(),
            key_prefix: random_text(),
            last_number: stored.outbox.last().map_or(0, |row| row.number),
            channels: Vec::new(),
            switch: None,
            switch_error: watch::Sender::new(None),
            outcome_sender,
            store,
            parts,
        };
        notifier.apply_config();
        notifier.refill(stored.outbox);
        notifier
    }

    /// Puts the messages that an earlier aggregator did not deliver into the queues, with their keys.
    fn refill(&mut self, rows: Vec<OutboxRow>) {
        let mut removed = Vec::new();
        for row in rows {
            let queue = self.channels.iter().find(|one| one.channel.name == row.channel);
            match (queue, serde_json::from_str::<Message>(&row.message)) {
                (Some(channel), Ok(message)) => {
                    channel.queue.push(QueuedMessage { number: row.number, message });
                }
                (None, Ok(message)) => {
                    self.give_up(&row.channel, &QueuedMessage { number: row.number, message }, UNCONFIGURED);
                }
                (_, Err(error)) => {
                    tracing::error!(%error, "a message that an earlier aggregator left cannot be read");
                    removed.push(row.number);
                }
            }
        }
        if !removed.is_empty() {
            self.store.update_notifications(NotificationChange { removed, ..NotificationChange::default() });
        }
    }

    /// Starts the tasks of new and changed channels, and ends those of removed ones.
    fn apply_config(&mut self) {
        let config = Arc::clone(&self.config);
        let mut before: HashMap<String, ChannelTask> =
            self.channels.drain(..).map(|one| (one.channel.name.clone(), one)).collect();
        for channel in &config.channels {
            let old = before.remove(&channel.name);
            // The task ends with the old settings; a message in delivery is tried again, with the same key.
            let queue = old.as_ref().map(|old| Arc::clone(&old.queue)).unwrap_or_default();
            drop(old);
            let (open, watched) = watch::channel(self.state.open_messages(&config, &channel.name));
            let run = run_channel(
                channel.clone(),
                Arc::clone(&queue),
                config.keep,
                watched,
                self.outcome_sender.clone(),
            );
            let task = tokio::spawn(run);
            self.channels.push(ChannelTask { channel: channel.clone(), queue, open, task });
        }
        for removed in before.into_values() {
            // Kept, they would be delivered when a channel of this name is configured again, long after their time.
            for lost in removed.queue.give_up_all() {
                self.give_up(&removed.channel.name, &lost, UNCONFIGURED);
            }
        }
        let queues = self.channels.iter().map(|one| (one.channel.name.clone(), Arc::clone(&one.queue)));
        self.parts.queues.send_replace(queues.collect());
        if let Some(switch) = self.switch.take() {
            switch.abort();
        }
        self.switch_error.send_replace(None);
        if let Some(rule) = config.dead_mans_switch.clone() {
            let check = Arc::clone(&self.parts.self_check);
            self.switch = Some(tokio::spawn(run_switch(rule, check, self.switch_error.clone())));
        }
    }

    /// Applies the file that was read again. An invalid one is refused and shown.
    fn follow_file(&mut self, (stamp, read): ReadFile) {
        let was_late = self.read_problem.take().is_some();
        let Some(read) = read else {
            if was_late {
                self.show_impairment();
            }
            return;
        };
        self.stamp = stamp;
        match read {
            Ok(config) => {
                tracing::info!(channels = config.channels.len(), "the file of notifications was loaded");
                self.config = Arc::new(config);
                self.config_error = None;
                self.apply_config();
            }
            Err(problems) => {
                let problems = problems.to_string();
                for problem in problems.lines() {
                    tracing::warn!(problem, "the new file of notifications is refused, the old one goes on");
                }
                self.config_error = Some(problems);
            }
        }
        self.show_impairment();
    }

    /// Shows that the file cannot be read at the moment; the one before goes on.
    fn refuse_file(&mut self, problem: String) {
        if self.read_problem.is_none() {
            tracing::warn!(problem, "the file of notifications cannot be read");
            self.read_problem = Some(problem);
            self.show_impairment();
        }
    }

    /// Takes in an overview. What follows is stored before it is sent.
    async fn evaluate(&mut self, overview: &Arc<Overview>) {
        let now = overview.generated_at;
        let snapshot = self.cause_reader.read(overview, self.state.ids(), &*self.parts.notes);
        let before = self.state.clone();
        let outgoing = self.state.advance(&self.config, snapshot, now);
        if self.state == before {
            return;
        }
        let state = serde_json::to_string(&self.state).ok();
        let queued: Vec<(String, QueuedMessage)> = outgoing
            .into_iter()
            .map(|Outgoing { channel, message }| (channel, self.number(message)))
            .collect();
        let rows = queued.iter().filter_map(|(channel, one)| {
            let message = serde_json::to_string(&one.message).ok()?;
            Some(OutboxRow { number: one.number, channel: channel.clone(), message })
        });
        let change = NotificationChange { state, added: rows.collect(), removed: Vec::new() };
        if queued.is_empty() {
            self.store.update_notifications(change);
        } else if let Err(error) = self.store.record_notifications(change).await {
            // Better twice than not at all.
            tracing::error!(error, "notifications are sent without being recorded");
        }
        for channel in &self.channels {
            let open = self.state.open_messages(&self.config, &channel.channel.name);
            channel.open.send_replace(open);
        }
        for (channel, message) in queued {
            self.enqueue(&channel, message);
        }
    }

    /// Assigns the key and the number of a message.
    fn number(&mut self, mut message: Message) -> QueuedMessage {
        self.last_number += 1;
        message.key = format!("rta-{}-{}", self.key_prefix, self.last_number);
        QueuedMessage { number: self.last_number, message }
    }

    fn enqueue(&mut self, channel: &str, message: QueuedMessage) {
        let Some(task) = self.channels.iter().find(|one| one.channel.name == *channel) else { return };
        for lost in task.queue.push(message) {
            self.give_up(channel, &lost, "too many messages wait");
        }
    }

    fn note_outcome(&mut self, outcome: DeliveryOutcome) {
        match outcome {
            DeliveryOutcome::Delivered(channel, one) => {
                self.remove(one.number);
                let text = format!("{channel} was notified: {}", one.message.summary);
                self.publish(&one.message, one.message.kind.word(), text);
            }
            DeliveryOutcome::GivenUp(channel, one, reason) => self.give_up(&channel, &one, &reason),
            DeliveryOutcome::Changed => {}
        }
        self.show_impairment();
    }

    fn give_up(&self, channel: &str, one: &QueuedMessage, reason: &str) {
        self.remove(one.number);
        tracing::error!(channel, reason, "a notification was given up");
        let text = format!("{channel} could not be notified: {} ({reason})", one.message.summary);
        self.publish(&one.message, "failed", text);
    }

    fn remove(&self, number: u64) {
        let change = NotificationChange { removed: vec![number], ..NotificationChange::default() };
        self.store.update_notifications(change);
    }

    fn publish(&self, message: &Message, to: &str, text: String) {
        let event = Event::new(Timestamp::now(), EventKind::Notification, text);
        self.parts.events.publish(Event {
            environment: Some(message.cause.environment.as_str().into()),
            host: Some(message.cause.host.as_str().into()),
            component: message.cause.component.as_deref().map(Name::from),
            to: Some(to.to_owned()),
            ..event
        });
    }

    /// Returns the problem because of which an older file may be in use.
    fn file_problem(&self) -> Option<&String> {
        self.read_problem.as_ref().or(self.config_error.as_ref())
    }

    /// Shows what keeps somebody from being told.
    fn show_impairment(&self) {
        let mut parts = Vec::new();
        if let Some(problems) = self.file_problem() {
            let first = problems.lines().next().unwrap_or_default();
            parts.push(format!("the aggregator refused a new file of notifications: {first}"));
        }
        for (name, _, status) in self.channel_statuses() {
            if let Some((since, reason)) = status.failure {
                let waiting = counted(status.waiting, "message");
                let since = since.strftime("%H:%M UTC");
                let waits = if status.waiting == 1 { "waits" } else { "wait" };
                parts.push(format!(
                    "channel {name} does not deliver since {since}, {waiting} {waits}: {reason}"
                ));
            }
        }
        if let Some(reason) = &*self.switch_error.borrow() {
            parts.push(format!("the dead man's switch cannot be reached: {reason}"));
        }
        let message = (!parts.is_empty()).then(|| format!("notifications: {}", parts.join("; ")));
        self.parts.impairments.set(ImpairedPart::Notifications, message);
    }

    fn channel_statuses(&self) -> Vec<(String, &'static str, ChannelStatus)> {
        let status =
            |one: &ChannelTask| (one.channel.name.clone(), one.channel.kind.word(), one.queue.status());
        self.channels.iter().map(status).collect()
    }

    fn answer(&mut self, request: NotifyRequest) {
        // The receivers may be gone.
        match request {
            NotifyRequest::Config(answer) => drop(answer.send(Arc::clone(&self.config))),
            NotifyRequest::Status(answer) => {
                let status = NotifyStatus {
                    channels: self.channel_statuses(),
                    open: self.state.open_count(),
                    config_error: self.file_problem().cloned(),
                    switch_error: self.switch_error.borrow().clone(),
                };
                drop(answer.send(status));
            }
            NotifyRequest::Test(name, by, answer) => {
                let Some(channel) = self.config.channels.iter().find(|one| one.name == name).cloned() else {
                    let known = self.config.channels.iter().map(|one| one.name.as_str());
                    let hint = did_you_mean(&name, known);
                    let name = quoted_input(&name);
                    let message = format!("there is no channel \"{name}\"{hint}");
                    let _ = answer.send(Err(OperationError::new(Code::NotFound, message)));
                    return;
                };
                let queue = self.channels.iter().find(|one| one.channel.name == name);
                let queue = queue.map(|one| Arc::clone(&one.queue));
                self.send_test(channel, queue, by, answer);
            }
        }
    }

    /// Sends a test beside the queue, so that it is tried at once.
    fn send_test(
        &mut self,
        channel: Channel,
        queue: Option<Arc<ChannelQueue>>,
        by: Requester,
        answer: oneshot::Sender<Result<(), OperationError>>,
    ) {
        let outcomes = self.outcome_sender.clone();
        let QueuedMessage { message, .. } = self.number(compose_test(Timestamp::now(), &by));
        let events = self.parts.events.clone();
        tokio::spawn(async move {
            let outcome = deliver(&channel.kind, &message).await;
            // It is the receiver that works again, whatever became of the message that failed.
            if outcome.is_ok() && queue.is_some_and(|queue| queue.note_reachable()) {
                let _ = outcomes.send(DeliveryOutcome::Changed);
            }
            let name = &channel.name;
            let (to, text) = match &outcome {
                Ok(()) => (MessageKind::Test.word(), format!("{name} was sent a test")),
                Err(error) => ("failed", format!("{name} could not be sent a test: {}", error.reason())),
            };
            let event = Event::new(Timestamp::now(), EventKind::Notification, text.clone());
            events.publish(Event { to: Some(to.to_owned()), by: Some(by), ..event });
            let outcome = outcome.map_err(|_| OperationError::new(Code::FailedPrecondition, text));
            // The receiver may be gone.
            let _ = answer.send(outcome);
        });
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        if let Some(switch) = &self.switch {
            switch.abort();
        }
    }
}
