//! Client of one host's agent.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};

use rta_shared::config::Host;
use rta_shared::error_source::deepest_source;
use rta_shared::name::Name;
use rta_shared::proto::{ProtocolError, from_wire_time, v1};
use rta_shared::report::Report;
use rta_shared::sanitize::{printable, printable_lines};
use rta_shared::tls::ClientTls;
use rta_shared::tls::error_text::describe_tls_error;
use tonic::codegen::http::uri::InvalidUri;
use tonic::{Code, Status};

use crate::agent_id::AgentId;
use crate::agents::connection::AgentConnection;
use crate::clock::MessageReceipt;
use crate::leadership::{LeaderEpoch, Leadership};
use crate::operation_error::OperationError;

/// Client of one host's agent.
#[derive(Clone, Debug)]
pub(crate) struct AgentClient {
    pub(super) id: AgentId,
    pub(super) host: Name,
    environment: Name,
    pub(super) address: String,
    pub(super) connection: AgentConnection,
    last_responder: Arc<Mutex<LastResponder>>,
    /// Role of this aggregator, without which the agent is asked for nothing that changes it.
    pub(super) leadership: Leadership,
}

/// Host whose agent answered last at the address; clones of an [`AgentClient`] share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum LastResponder {
    /// None so far.
    #[default]
    Nobody,
    /// The right host, in this boot and run of its agent.
    Own { boot_id: String, agent_run_id: String },
    /// Another host: nothing is sent to its agent.
    Foreign(Name),
}

impl AgentClient {
    /// Creates the client for the agent of `host`. A call connects with it. An agent at an https://
    /// address is called with `client_tls`, and has to prove that it is the host or what its address says.
    ///
    /// # Errors
    /// Returns an error if the address is invalid, which a checked configuration excludes.
    pub(crate) fn new(host: &Host, client_tls: Option<&ClientTls>) -> Result<Self, InvalidUri> {
        Ok(Self {
            id: AgentId::new_unique(),
            host: host.name.clone(),
            environment: host.environment.clone(),
            address: host.agent.clone(),
            connection: AgentConnection::new(host, client_tls)?,
            last_responder: Arc::default(),
            leadership: Leadership::default(),
        })
    }

    /// Returns the client of an aggregator with this role.
    pub(crate) fn with_leadership(self, leadership: Leadership) -> Self {
        Self { leadership, ..self }
    }

    pub(crate) fn id(&self) -> AgentId {
        self.id
    }

    pub(crate) fn host(&self) -> &Name {
        &self.host
    }

    /// Returns the environment of the host.
    pub(crate) fn environment(&self) -> &Name {
        &self.environment
    }

    /// Returns true if the configuration gives this agent to `host`.
    pub(crate) fn belongs_to(&self, host: &Host) -> bool {
        self.host == host.name && self.environment == host.environment && self.address == host.agent
    }

    /// Decodes a report that is received now, and checks that it is of the right host.
    pub(super) fn decode_report(&self, report: v1::Report) -> Result<(Report, MessageReceipt), String> {
        let describe_error = |error: ProtocolError| format!("the agent at {}: {error}", self.address);
        let receipt =
            MessageReceipt::now(report.sent_at.map(from_wire_time).transpose().map_err(describe_error)?);
        let report = Report::try_from(report).map_err(describe_error)?;
        if report.host != self.host {
            let sentence = self.foreign_agent_message(&report.host);
            self.note_responder(LastResponder::Foreign(report.host));
            return Err(sentence);
        }
        self.note_relayed_report(&report);
        Ok((report, receipt))
    }

    /// Notes a report that another aggregator has received and checked.
    pub(crate) fn note_relayed_report(&self, report: &Report) {
        let (boot_id, agent_run_id) = (report.boot_id.clone(), report.agent_run_id.clone());
        self.note_responder(LastResponder::Own { boot_id, agent_run_id });
    }

    fn note_responder(&self, by: LastResponder) {
        *self.last_responder.lock().unwrap_or_else(PoisonError::into_inner) = by;
    }

    pub(super) fn foreign_agent_message(&self, host: &Name) -> String {
        format!(
            "the agent at {} is that of host {}, not of {}; correct the agent's address in the configuration",
            self.address,
            printable(host.as_str()),
            self.host
        )
    }

    /// Returns the target of a request other than an action: the host and, once the agent has answered, its
    /// boot.
    ///
    /// # Errors
    /// Returns FAILED_PRECONDITION if the agent of another host answers at the address: nothing is sent to
    /// it.
    pub(super) fn request_target(&self) -> Result<v1::RequestTarget, OperationError> {
        let boot_id = match self.last_responder.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            LastResponder::Nobody => String::new(),
            LastResponder::Own { boot_id, .. } => boot_id,
            LastResponder::Foreign(host) => {
                return Err(OperationError::new(Code::FailedPrecondition, self.foreign_agent_message(&host)));
            }
        };
        let host = self.host.as_str().to_owned();
        Ok(v1::RequestTarget { host, boot_id, ..v1::RequestTarget::default() })
    }

    /// Returns the ID of the agent's run that answered last; empty if there is none.
    pub(super) fn agent_run_id(&self) -> String {
        match &*self.last_responder.lock().unwrap_or_else(PoisonError::into_inner) {
            LastResponder::Own { agent_run_id, .. } => agent_run_id.clone(),
            LastResponder::Nobody | LastResponder::Foreign(_) => String::new(),
        }
    }

    /// Returns the target of a request that changes something, with the epoch of this aggregator.
    ///
    /// # Errors
    /// Returns the errors of [`Self::request_target`] and of [`Leadership::acting_epoch`].
    pub(super) fn leader_target(&self) -> Result<v1::RequestTarget, OperationError> {
        let target = self.request_target()?;
        let LeaderEpoch { environment, epoch } = self.leadership.acting_epoch()?;
        Ok(v1::RequestTarget { environment, epoch, ..target })
    }

    /// Returns the target of a request to reload the configuration.
    ///
    /// # Errors
    /// Returns the errors of [`Self::request_target`] and of [`Leadership::reload_epoch`].
    pub(super) fn reload_target(&self) -> Result<v1::RequestTarget, OperationError> {
        let target = self.request_target()?;
        let LeaderEpoch { environment, epoch } = self.leadership.reload_epoch(&self.environment)?;
        Ok(v1::RequestTarget { environment, epoch, ..target })
    }

    /// Describes a failed call for people.
    pub(super) fn describe_failure(&self, status: &Status) -> String {
        // A status with a source did not come from the agent: the call did not reach it, or was cut. The
        // status of a failed action has the last log lines below its sentence.
        let Some(source) = status.source() else { return printable_lines(status.message()) };
        if let Some(reason) = describe_tls_error(source) {
            return format!(
                "no trust between the aggregator and the agent at {}: {}; look at their certificates with rta pki show",
                self.address,
                printable(&reason)
            );
        }
        format!(
            "no connection to the agent at {}: {}; is rta-agent running on {}?",
            self.address,
            deepest_source(source),
            self.host
        )
    }
}
