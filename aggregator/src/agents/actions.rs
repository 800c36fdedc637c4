//! Actions on an agent's host. A connection that breaks does not end the action, so the agent is then asked how the
//! action goes on; one that has surely not begun is requested again.

use std::time::Duration;

use rta_shared::action::{ActionEvent, ActionKind, ActionProgress, ActionResult, Requester};
use rta_shared::error_source::{error_sources, is_unconnected};
use rta_shared::name::Name;
use rta_shared::proto::v1;
use rta_shared::sanitize::printable;
use tokio::time::Instant;
use tonic::{Code, Response, Status, Streaming};

use crate::agents::client::AgentClient;
use crate::leadership::LeaderEpoch;
use crate::operation_error::OperationError;

/// Time for which an agent is asked how an action goes on after the connection broke. An agent that was only slow,
/// suspended or cut off for some seconds answers within it.
const FOLLOW_UP_LIMIT: Duration = Duration::from_secs(10);
/// Interval between two attempts.
const FOLLOW_UP_INTERVAL: Duration = Duration::from_millis(250);
/// Number of times that an action is requested at most, if the agent has surely not begun it each time.
const MAX_REQUESTS: usize = 3;

/// Action that is requested from an agent.
#[derive(Clone, Debug)]
pub(crate) struct AgentAction<'a> {
    pub(crate) kind: ActionKind,
    pub(crate) component: &'a Name,
    /// Host, boot and configuration that the action was planned for.
    pub(crate) target: v1::RequestTarget,
    pub(crate) by: &'a Requester,
    /// Time limit of the whole action.
    pub(crate) patience: Duration,
}

/// End of the events of an action.
enum EventsEnd {
    /// The agent has said how the action ended.
    Answered(Result<ActionResult, OperationError>),
    /// The connection broke.
    Broken(Status),
}

/// Events of an action, from the first one on.
type ActionEvents = Response<Streaming<v1::AgentServiceActResponse>>;

/// Failure of one request for an action.
enum RequestFailure {
    /// The connection broke, the agent has not begun the action, and this request for it never will.
    NotBegun(Status),
    Failed(OperationError),
}

impl From<OperationError> for RequestFailure {
    fn from(error: OperationError) -> Self {
        Self::Failed(error)
    }
}

impl AgentClient {
    /// Starts, stops or restarts a component of this host, and passes progress to `tell`. If the connection breaks
    /// meanwhile, the agent is asked how the action goes on; if it has surely not begun, it is requested again while
    /// `may_begin` is true.
    ///
    /// # Errors
    /// Returns an error if the agent refuses, does not answer, or belongs to another host.
    pub(crate) async fn perform_action(
        &self,
        action: AgentAction<'_>,
        may_begin: impl Fn() -> bool,
        tell: impl Fn(ActionProgress),
    ) -> Result<ActionResult, OperationError> {
        let mut sent = 1;
        loop {
            // The agent has used none of its time for an action that it has not begun.
            let requested = tokio::time::timeout(action.patience, self.request_once(&action, &tell)).await;
            let broken = match requested {
                Err(_) => return Err(self.patience_error(&action)),
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(RequestFailure::Failed(error))) => return Err(error),
                Ok(Err(RequestFailure::NotBegun(broken))) => broken,
            };
            if sent == MAX_REQUESTS || !may_begin() {
                return Err(self.not_begun_error(&action, &broken));
            }
            sent += 1;
        }
    }

    fn patience_error(&self, action: &AgentAction<'_>) -> OperationError {
        let seconds = action.patience.as_secs();
        let message = format!(
            "the agent on {} has not said within {seconds} s how it ended; look at the status",
            self.host
        );
        OperationError::new(Code::DeadlineExceeded, message)
    }

    /// Requests an action, and passes its progress to `tell`.
    async fn request_once(
        &self,
        action: &AgentAction<'_>,
        tell: &impl Fn(ActionProgress),
    ) -> Result<ActionResult, RequestFailure> {
        // The target at planning time is sent, not the latest known one; but another host's agent gets no
        // request at all.
        self.request_target()?;
        let LeaderEpoch { environment, epoch } = self.leadership.acting_epoch()?;
        let (request_id, agent_run_id) = (random_id(), self.agent_run_id());
        let request = v1::AgentServiceActRequest {
            kind: v1::ActionKind::from(action.kind).into(),
            component: action.component.as_str().to_owned(),
            by: Some(action.by.into()),
            target: Some(v1::RequestTarget { environment, epoch, ..action.target.clone() }),
            request_id: request_id.clone(),
        };
        let opened = self.connection.client().act(request).await;
        if let Err(status) = &opened
            && is_unconnected(status)
        {
            return Err(self.describe_error(status).into());
        }
        // The agent answers as soon as it has begun.
        let (mut is_begun, mut told) = (opened.is_ok(), 0);
        let mut end = self.receive_events(opened, &mut told, tell).await;
        loop {
            let broken = match end {
                EventsEnd::Answered(answer) => return answer.map_err(RequestFailure::Failed),
                EventsEnd::Broken(status) => status,
            };
            tracing::info!(host = %self.host, component = %action.component, "the connection broke during an action");
            let followed = match self.follow_up(&request_id, &agent_run_id).await {
                Ok(Some(events)) => events,
                Ok(None) if !is_begun => return Err(RequestFailure::NotBegun(broken)),
                Ok(None) => return Err(self.broken_error(action, &broken, &cannot_say()).into()),
                Err(failure) => return Err(self.broken_error(action, &broken, &failure).into()),
            };
            is_begun = true;
            end = self.receive_events(Ok(followed), &mut told, tell).await;
        }
    }

    /// Returns the error of an action whose connection broke, of which no more is known than `reason`.
    fn broken_error(
        &self,
        action: &AgentAction<'_>,
        broken: &Status,
        reason: &OperationError,
    ) -> OperationError {
        let (AgentAction { kind, component, .. }, host) = (action, &self.host);
        let message = format!(
            "the connection with the agent at {} broke during the {kind} ({}), and {}; look at the status of \
             {component} on {host}",
            self.address,
            root_message(broken),
            reason.message
        );
        OperationError::new(reason.code, message)
    }

    /// Returns the error of an action that the agent has surely not begun.
    fn not_begun_error(&self, action: &AgentAction<'_>, broken: &Status) -> OperationError {
        let (AgentAction { kind, .. }, host) = (action, &self.host);
        let message = format!(
            "nothing was done: the connection with the agent at {} broke before it had begun the {kind} ({}); look at \
             the network and the load of {host}, then try again",
            self.address,
            root_message(broken)
        );
        OperationError::new(Code::Unavailable, message)
    }

    /// Asks the agent how the action goes on that was requested with an ID from a run of the agent, until it answers.
    /// `None`: it has not begun, and this request for it never will.
    ///
    /// # Errors
    /// Returns the reason why it is not known. The code is UNAVAILABLE only if the agent has not answered.
    async fn follow_up(
        &self,
        request_id: &str,
        agent_run_id: &str,
    ) -> Result<Option<ActionEvents>, OperationError> {
        let until = Instant::now() + FOLLOW_UP_LIMIT;
        let mut last = String::new();
        loop {
            tokio::time::sleep(FOLLOW_UP_INTERVAL).await;
            // The host may have been booted meanwhile, and its agent then answers that it knows nothing of the action.
            let target = v1::RequestTarget { boot_id: String::new(), ..self.request_target()? };
            let request = v1::WatchActionRequest {
                request_id: request_id.to_owned(),
                target: Some(target),
                agent_run_id: agent_run_id.to_owned(),
            };
            let mut client = self.connection.client();
            match tokio::time::timeout_at(until, client.watch_action(request)).await {
                Ok(Ok(events)) => return Ok(Some(events)),
                // The call did not reach the agent, or was cut.
                Ok(Err(status)) if is_of_connection(&status) || status.code() == Code::Unavailable => {
                    last = format!(": {}", root_message(&status));
                }
                Ok(Err(status)) => {
                    return match status.code() {
                        Code::NotFound if !agent_run_id.is_empty() => Ok(None),
                        // An agent without IDs of its runs may have begun it in an earlier one.
                        Code::NotFound | Code::Aborted => Err(cannot_say()),
                        Code::Unimplemented => {
                            let reason = "the agent is of an earlier version, which cannot say";
                            Err(OperationError::new(Code::Aborted, reason))
                        }
                        _ => Err(OperationError::new(Code::Aborted, self.describe_failure(&status))),
                    };
                }
                Err(_) => {}
            }
            if Instant::now() >= until {
                let seconds = FOLLOW_UP_LIMIT.as_secs();
                let message = format!("the agent has not answered again for {seconds} s{last}");
                return Err(OperationError::new(Code::Unavailable, message));
            }
        }
    }

    /// Receives the events of an action until their end. The first `told` ones have been received before; the number
    /// grows with each.
    async fn receive_events(
        &self,
        opened: Result<ActionEvents, Status>,
        told: &mut usize,
        tell: &impl Fn(ActionProgress),
    ) -> EventsEnd {
        let mut events = match opened {
            Ok(response) => response.into_inner(),
            Err(status) => return self.events_end(status),
        };
        let mut received = 0;
        loop {
            let event = match events.message().await {
                Ok(Some(event)) => event,
                Ok(None) => {
                    let message = format!(
                        "the agent on {} ended before it said how it went; look at the status",
                        self.host
                    );
                    return EventsEnd::Answered(Err(OperationError::new(Code::Unavailable, message)));
                }
                Err(status) => return self.events_end(status),
            };
            match ActionEvent::try_from(event) {
                Ok(ActionEvent::Progress(progress)) => {
                    received += 1;
                    if received > *told {
                        *told = received;
                        tell(progress);
                    }
                }
                Ok(ActionEvent::Done(done)) => return EventsEnd::Answered(Ok(done)),
                Err(error) => {
                    let message = format!("the agent on {}: {error}", self.host);
                    return EventsEnd::Answered(Err(OperationError::new(Code::Internal, message)));
                }
            }
        }
    }

    fn events_end(&self, status: Status) -> EventsEnd {
        match is_of_connection(&status) {
            true => EventsEnd::Broken(status),
            false => EventsEnd::Answered(Err(self.describe_error(&status))),
        }
    }

    fn describe_error(&self, status: &Status) -> OperationError {
        let message = match (status.code(), status.message()) {
            (Code::Unimplemented, "") => format!(
                "the agent on {} is of another version, which this aggregator cannot ask to act; upgrade rta-agent \
                 there",
                self.host
            ),
            _ => self.describe_failure(status),
        };
        OperationError::new(status.code(), message)
    }
}

/// Returns the reason why it is not known how an action went, of which the agent knows nothing.
fn cannot_say() -> OperationError {
    let reason = "the agent cannot say how it went, since it may have started again";
    OperationError::new(Code::Aborted, reason)
}

/// Returns true if the status is not the agent's, but that of a connection which could not be made or broke.
fn is_of_connection(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// Returns the first cause of a status; its message if it has none.
fn root_message(status: &Status) -> String {
    let first = error_sources(status).last();
    let text = first.map_or_else(|| status.message().to_owned(), |first| first.to_string());
    printable(&text).into_owned()
}

/// Returns an ID that no other request has; empty, which allows no follow-up, if the system has no randomness.
fn random_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map(|()| format!("{:032x}", u128::from_ne_bytes(bytes))).unwrap_or_default()
}
