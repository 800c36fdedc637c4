//! Requests to an agent: scans, logs, reloads of its configuration.

use rta_shared::explain::ExplainedPart;
use rta_shared::inspection::InspectedProcess;
use rta_shared::name::Name;
use rta_shared::proto::{ProtocolError, v1};
use rta_shared::reload::ReloadResult;
use rta_shared::report::Report;
use rta_shared::sanitize::printable_lines;
use rta_shared::timing::{AGENT_RELOAD_TIMEOUT, SCAN_TIMEOUT};
use tonic::{Code, Response, Status, Streaming};

use crate::agents::client::AgentClient;
use crate::clock::MessageReceipt;
use crate::operation_error::OperationError;

impl AgentClient {
    /// Requests a fresh scan. Returns its report and receipt, or a sentence that says why there is none.
    pub(crate) async fn request_report(&self) -> Result<(Report, MessageReceipt), String> {
        let mut client = self.connection.client();
        match tokio::time::timeout(SCAN_TIMEOUT, client.get_report(v1::GetReportRequest {})).await {
            Err(_) => Err(format!(
                "the agent at {} took longer than {} s to scan",
                self.address,
                SCAN_TIMEOUT.as_secs()
            )),
            Ok(Err(status)) => Err(self.describe_failure(&status)),
            Ok(Ok(response)) => {
                let report = response.into_inner().report;
                self.decode_report(
                    report
                        .ok_or_else(|| format!("the agent at {} answered without a report", self.address))?,
                )
            }
        }
    }

    /// Returns the processes that come nearest to a component's criteria.
    ///
    /// # Errors
    /// Returns an error if the agent refuses or does not answer.
    pub(crate) async fn explain_component(
        &self,
        component: &Name,
    ) -> Result<Vec<ExplainedPart>, OperationError> {
        let mut client = self.connection.client();
        let (component, target) = (component.as_str().to_owned(), Some(self.request_target()?));
        let request = v1::AgentServiceExplainRequest { component, target };
        let parts = self.with_scan_timeout(client.explain(request)).await?.parts;
        let parts = parts.into_iter().map(TryInto::try_into).collect::<Result<_, ProtocolError>>();
        parts.map_err(|error| {
            OperationError::new(
                Code::Internal,
                format!("the agent on {} is not understood: {error}", self.host),
            )
        })
    }

    /// Awaits a call that reads the host's processes, with the time limit of a scan.
    async fn with_scan_timeout<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, OperationError> {
        match tokio::time::timeout(SCAN_TIMEOUT, call).await {
            Err(_) => Err(OperationError::new(
                Code::DeadlineExceeded,
                format!(
                    "the agent at {} took longer than {} s to look",
                    self.address,
                    SCAN_TIMEOUT.as_secs()
                ),
            )),
            Ok(Err(status)) => Err(OperationError::new(status.code(), self.describe_failure(&status))),
            Ok(Ok(response)) => Ok(response.into_inner()),
        }
    }

    /// Returns the processes that match a component, with their command lines.
    ///
    /// # Errors
    /// Returns an error if the agent refuses or does not answer.
    pub(crate) async fn inspect_component(
        &self,
        component: &Name,
    ) -> Result<Vec<InspectedProcess>, OperationError> {
        let mut client = self.connection.client();
        let (component, target) = (component.as_str().to_owned(), Some(self.request_target()?));
        let request = v1::AgentServiceInspectRequest { component, target };
        let processes = self.with_scan_timeout(client.inspect(request)).await?.processes;
        Ok(processes.into_iter().map(Into::into).collect())
    }

    /// Returns the last `lines` of a component's log, and with `follow` the lines written later.
    ///
    /// # Errors
    /// Returns an error if the agent refuses or does not answer.
    pub(crate) async fn read_log(
        &self,
        component: &Name,
        lines: u32,
        follow: bool,
    ) -> Result<Streaming<v1::AgentServiceReadLogResponse>, OperationError> {
        let mut client = self.connection.client();
        let (component, target) = (component.as_str().to_owned(), Some(self.request_target()?));
        let request = v1::AgentServiceReadLogRequest { component, lines, follow, target };
        match tokio::time::timeout(SCAN_TIMEOUT, client.read_log(request)).await {
            Err(_) => Err(OperationError::new(
                Code::DeadlineExceeded,
                format!(
                    "the agent at {} has not opened the log within {} s",
                    self.address,
                    SCAN_TIMEOUT.as_secs()
                ),
            )),
            Ok(Err(status)) => Err(self.to_operation_error(&status)),
            Ok(Ok(response)) => Ok(response.into_inner()),
        }
    }

    /// Converts a failed call to an error of the operation.
    pub(crate) fn to_operation_error(&self, status: &Status) -> OperationError {
        OperationError::new(status.code(), self.describe_failure(status))
    }

    /// Requests that the agent reloads its own configuration.
    pub(crate) async fn reload_config(&self) -> ReloadResult {
        let mut client = self.connection.client();
        let refused = |error: String| ReloadResult { error: Some(error), ..ReloadResult::default() };
        let target = match self.reload_target() {
            Ok(target) => Some(target),
            Err(error) => return refused(error.message),
        };
        let call = client.reload_config(v1::AgentServiceReloadConfigRequest { target });
        match tokio::time::timeout(AGENT_RELOAD_TIMEOUT, call).await {
            Err(_) => refused(format!(
                "the agent at {} has not said within {} s how its reload ended; look at the status",
                self.address,
                AGENT_RELOAD_TIMEOUT.as_secs()
            )),
            Ok(Ok(response)) => response.into_inner().into(),
            Ok(Err(status)) => refused(match (status.code(), status.message()) {
                (Code::Unimplemented, "") => format!(
                    "the agent at {} is of a version that cannot reload; restart rta-agent on {}",
                    self.address, self.host
                ),
                // The message has a line for each problem.
                (Code::FailedPrecondition, problems) => printable_lines(problems),
                _ => self.describe_failure(&status),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;
    use tonic::service::Routes;
    use tonic::transport::Server;
    use tonic::transport::server::TcpIncoming;

    use std::sync::Arc;

    use rta_shared::config::Host;

    use super::*;

    /// Returns the result of a reload that an agent answers with this status; `None`: it does not implement
    /// the call.
    async fn reload_answered_by(status: Option<Status>) -> ReloadResult {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Host {
            name: "h".into(),
            environment: "E".into(),
            role: None,
            components: vec![],
            agent: format!("http://{}", listener.local_addr().unwrap()),
            ip: vec![],
            variables: std::collections::BTreeMap::new(),
            owner: None,
            labels: std::collections::BTreeMap::new(),
        };
        let routes = match status.map(Arc::new) {
            Some(status) => Routes::from(Router::new().route(
                "/rta.v1.AgentService/ReloadConfig",
                post(async move || Status::clone(&status).into_http::<axum::body::Body>()),
            )),
            None => Routes::default(),
        };
        let ended = CancellationToken::new();
        let server = Server::builder()
            .add_routes(routes)
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), ended.clone().cancelled_owned());
        let server = tokio::spawn(server);
        let reload = AgentClient::new(&host, None).unwrap().reload_config().await;
        ended.cancel();
        server.await.unwrap().unwrap();
        reload
    }

    #[tokio::test]
    async fn a_refused_reload_comes_with_every_problem_however_many() {
        let problem =
            "/etc/rta/platform/dev.toml:12:3: component \"kafka server\": criteria: key is not known";
        let problems = vec![problem; 1_000].join("\n");
        let reload = reload_answered_by(Some(Status::failed_precondition(&problems))).await;
        assert_eq!(reload.error, Some(problems));
        let steering = reload_answered_by(Some(Status::failed_precondition("a\u{1b}[31m\nb"))).await;
        assert_eq!(steering.error.as_deref(), Some("a\\u{1b}[31m\nb"));
    }

    #[tokio::test]
    async fn an_agent_that_cannot_reload_is_told_with_the_reason() {
        let demo = reload_answered_by(Some(Status::unimplemented("this agent has no folder"))).await;
        assert_eq!(demo.error.as_deref(), Some("this agent has no folder"));
        let error = reload_answered_by(None).await.error.unwrap();
        assert!(error.ends_with("is of a version that cannot reload; restart rta-agent on h"), "{error}");
    }
}
