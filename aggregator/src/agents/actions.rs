//! Actions on an agent's host. A connection that breaks does not end the action, so the agent is then asked how the
//! action goes on; one that has surely not begun is requested again.

use std::time::Duration;

use rta_shared::action::{ActionEvent, ActionKind, ActionProgress, ActionResult, Requester};
use rta_shared::error_source::{deepest_source, is_unconnected};
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
    /// meanwhile, the agent is asked how the action goes on.
    ///
    /// # Errors
    /// Returns an error if the agent refuses, does not answer, or belongs to another host.
    pub(crate) async fn perform_action(
        &self,
        action: AgentAction<'_>,
        tell: impl Fn(ActionProgress),
    ) -> Result<ActionResult, OperationError> {
        let patience = action.patience;
        tokio::time::timeout(patience, self.request_and_follow(action, tell)).await.unwrap_or_else(|_| {
            Err(OperationError::new(
                Code::DeadlineExceeded,
                format!(
                    "the agent on {} has not said within {} s how it ended; look at the status",
                    self.host,
                    patience.as_secs()
                ),
            ))
        })
    }

    async fn request_and_follow(
        &self,
        action: AgentAction<'_>,
        tell: impl Fn(ActionProgress),
    ) -> Result<ActionResult, OperationError> {
        let (mut sent, mut told) = (1, 0);
        loop {
            match self.request_once(&action, &mut told, &tell).await {
                Ok(done) => return Ok(done),
                Err(RequestFailure::Failed(error)) => return Err(error),
                // The connection broke before the agent had read the request.
                Err(RequestFailure::NotBegun(_)) if told == 0 && sent < MAX_REQUESTS => sent += 1,
                Err(RequestFailure::NotBegun(broken)) => {
                    return Err(self.broken_error(
                        &action,
                        &broken,
                        Code::Aborted,
                        "the agent has not begun it",
                    ));
                }
            }
        }
    }

    /// Requests an action, and passes its progress to `tell`, apart from the first `told` messages.
    async fn request_once(
        &self,
        action: &AgentAction<'_>,
        told: &mut usize,
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
        let mut end = self.receive_events(opened, told, tell).await;
        loop {
            let broken = match end {
                EventsEnd::Answered(answer) => return answer.map_err(RequestFailure::Failed),
                EventsEnd::Broken(status) => status,
            };
            tracing::info!(host = %self.host, component = %action.component, "the connection broke during an action");
            let followed = match self.follow_up(&request_id, &agent_run_id).await {
                Ok(Some(events)) => events,
                Ok(None) => return Err(RequestFailure::NotBegun(broken)),
                Err(failure) => {
                    return Err(self.broken_error(action, &broken, failure.code, &failure.message).into());
                }
            };
            end = self.receive_events(Ok(followed), told, tell).await;
        }
    }

    /// Returns the error of an action whose connection broke, of which no more is known than `reason`.
    fn broken_error(
        &self,
        action: &AgentAction<'_>,
        broken: &Status,
        code: Code,
        reason: &str,
    ) -> OperationError {
        let (AgentAction { kind, component, .. }, host) = (action, &self.host);
        let message = format!(
            "the connection with the agent at {} broke during the {kind} ({}), and {reason}; look at the status of \
             {component} on {host}",
            self.address,
            root_message(broken),
        );
        OperationError::new(code, message)
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
            let (request_id, agent_run_id) = (request_id.to_owned(), agent_run_id.to_owned());
            let request = v1::WatchActionRequest { request_id, target: Some(target), agent_run_id };
            let mut client = self.connection.client();
            match tokio::time::timeout_at(until, client.watch_action(request)).await {
                Ok(Ok(events)) => return Ok(Some(events)),
                // The call did not reach the agent, or was cut.
                Ok(Err(status)) if is_of_connection(&status) || status.code() == Code::Unavailable => {
                    last = format!(": {}", root_message(&status));
                }
                Ok(Err(status)) => {
                    let reason = match status.code() {
                        Code::NotFound => return Ok(None),
                        Code::Aborted => {
                            "the agent has started again since, and cannot say whether it had begun it"
                                .to_owned()
                        }
                        Code::Unimplemented => {
                            "the agent is of an earlier version, which cannot say".to_owned()
                        }
                        _ => self.describe_failure(&status),
                    };
                    return Err(OperationError::new(Code::Aborted, reason));
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

/// Returns true if the status is not the agent's, but that of a connection which could not be made or broke.
fn is_of_connection(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// Returns the first cause of a status; its message if it has none.
fn root_message(status: &Status) -> String {
    let source = std::error::Error::source(status);
    let text = source.map_or_else(|| status.message().to_owned(), |first| deepest_source(first).to_string());
    printable(&text).into_owned()
}

/// Returns an ID that no other request has; empty, which allows no follow-up, if the system has no randomness.
fn random_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map(|()| format!("{:032x}", u128::from_ne_bytes(bytes))).unwrap_or_default()
}
