//! gRPC client of the aggregator, which turns its errors into sentences.

mod events;
mod local_socket;
mod maintenance;
mod plans;
mod token;

use std::error::Error;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use rta_shared::address::{AddressProblem, server_url};
use rta_shared::config::ComponentNotes;
use rta_shared::error_source::deepest_source;
use rta_shared::explain::ExplainedPart;
use rta_shared::local_socket::default_paths;
use rta_shared::overview::{InstanceId, Overview};
use rta_shared::overview_delta::{OverviewReceiver, OverviewUpdate};
use rta_shared::proto::v1::aggregator_service_client::AggregatorServiceClient;
use rta_shared::proto::{ProtocolError, v1};
use rta_shared::redact::redact_text;
use rta_shared::reload::PlatformReload;
use rta_shared::sanitize::{printable, printable_lines};
use rta_shared::selector::Selector;
use rta_shared::timing::{CLIENT_PING_INTERVAL, RELOAD_TIMEOUT, RESPONSE_TIMEOUT};
use rta_shared::tls::error_text::describe_tls_error;
use rta_shared::tls::{ClientTls, ServerTarget, TlsFiles};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

pub(crate) use self::events::{EventItem, EventItemStream};
pub(crate) use self::plans::{PlanEventStream, START_UNKNOWN};
use self::token::BearerToken;
use crate::args::TlsArgs;
use crate::exit::{CommandFailure, FAILED, UNAVAILABLE, USAGE};

/// Default port of the aggregator, for addresses without one.
const DEFAULT_PORT: u16 = 7600;
/// Time limit for the delivery of a test, whose channel has a time limit of its own.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Size limit for the headers of a response, in bytes. An error status is sent as a header, and the status
/// for an ambiguous name lists every place that has the name.
const MAX_HEADER_BYTES: u32 = 256 * 1024;

/// Host name in the aggregator's certificate, expected of every aggregator that the CA
/// signed, whatever its address.
pub(crate) const AGGREGATOR_NAME: &str = "aggregator";

/// Stream of overviews: the current one, then one after every change.
pub(crate) type OverviewStream = Pin<Box<dyn Stream<Item = Result<Overview, CommandFailure>> + Send>>;

/// Stream of log lines.
pub(crate) type LogLineStream =
    Pin<Box<dyn Stream<Item = Result<v1::AggregatorServiceReadLogResponse, CommandFailure>> + Send>>;

/// Maximum size of a message from the aggregator, in bytes. The plan for a restart of 14,000 instances has
/// millions of dependency pairs between steps.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// Lazy connection to the aggregator: the first call connects, and the call after a failure reconnects.
#[derive(Clone, Debug)]
pub(crate) struct AggregatorClient {
    address: String,
    calls: AggregatorServiceClient<InterceptedService<Channel, BearerToken>>,
}

impl AggregatorClient {
    /// Creates a client of the aggregator at `address`, without certificates. Must be called
    /// within a tokio runtime.
    #[cfg(any(test, feature = "standalone"))]
    pub(crate) fn new(address: &str) -> Result<Self, CommandFailure> {
        Self::with_tls(Some(address), &TlsArgs::default())
    }

    /// Creates a client of the aggregator at `address`: over TLS for `https://`, over a Unix socket for
    /// `unix:`. `None`: connects to the aggregator on this machine.
    pub(crate) fn with_tls(address: Option<&str>, tls: &TlsArgs) -> Result<Self, CommandFailure> {
        let paths = match address {
            None => Some(default_paths("aggregator")),
            Some(address) => address.strip_prefix("unix:").map(|path| vec![PathBuf::from(path)]),
        };
        let address = address.unwrap_or("the local socket");
        let describe_error = |reason: &str| {
            let shown = redact_text(&printable(address));
            CommandFailure::new(USAGE, format!("--aggregator \"{shown}\" {reason}"))
        };
        let hint = |problem: &dyn std::fmt::Display| {
            describe_error(&format!("{problem}; write for example https://HOST:7600"))
        };
        let url = match address.contains("://") {
            _ if paths.is_some() => address.to_owned(),
            false => {
                server_url(&format!("http://{address}"), DEFAULT_PORT).map_err(|problem| hint(&problem))?
            }
            true => server_url(address, DEFAULT_PORT).map_err(|problem| hint(&problem))?,
        };
        // A socket has no host, but tonic needs a URI with one.
        let called = if paths.is_some() { "http://localhost".to_owned() } else { url.clone() };
        let endpoint = Endpoint::from_shared(called).map_err(|_| hint(&AddressProblem::Shape))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(CLIENT_PING_INTERVAL)
            .keep_alive_timeout(CLIENT_PING_INTERVAL)
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(MAX_HEADER_BYTES);
        let channel = if let Some(paths) = paths {
            local_socket::channel(&endpoint, paths)
        } else if url.starts_with("https://") {
            let target = ServerTarget::new(&url, &[AGGREGATOR_NAME]).ok_or_else(|| {
                describe_error("needs a host and a port; write for example https://HOST:7600")
            })?;
            client_tls(tls)?.channel(&endpoint, target)
        } else {
            endpoint.connect_lazy()
        };
        let bearer = match &tls.token_file {
            Some(path) => {
                BearerToken::read(path, &url).map_err(|reason| CommandFailure::new(USAGE, reason))?
            }
            None => BearerToken::default(),
        };
        let calls = AggregatorServiceClient::with_interceptor(channel, bearer)
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { address: url, calls })
    }

    pub(crate) async fn overview(&self) -> Result<Overview, CommandFailure> {
        let mut calls = self.calls.clone();
        let response =
            self.await_response(RESPONSE_TIMEOUT, calls.get_overview(v1::GetOverviewRequest {})).await?;
        self.parse_overview(response.overview)
    }

    /// Streams the current overview, then one after every change, until the connection ends.
    pub(crate) async fn watch_overview(&self) -> Result<OverviewStream, CommandFailure> {
        let mut calls = self.calls.clone();
        let stream = self
            .await_response(
                RESPONSE_TIMEOUT,
                calls.watch_overview(v1::WatchOverviewRequest { deltas: true, host_times: true }),
            )
            .await?;
        let client = self.clone();
        let mut receiver = OverviewReceiver::default();
        Ok(Box::pin(stream.map(move |response| {
            let response = response.map_err(|status| client.failure_from(&status))?;
            let update = <(u64, OverviewUpdate)>::try_from(response);
            let (version, update) = update.map_err(|error| client.invalid_response(&error))?;
            receiver.receive(version, update).map_err(|error| client.invalid_response(&error))
        })))
    }

    /// Makes every agent scan now. Returns the overview and the hosts that were not scanned, as
    /// `ENVIRONMENT/HOST`.
    pub(crate) async fn refresh(&self) -> Result<(Overview, Vec<String>), CommandFailure> {
        let mut calls = self.calls.clone();
        let response =
            self.await_response(RESPONSE_TIMEOUT, calls.refresh(v1::RefreshRequest::default())).await?;
        let missing = response.missing.iter().map(|one| format!("{}/{}", one.environment, one.host));
        Ok((self.parse_overview(response.overview)?, missing.collect()))
    }

    /// Sends a test to a channel of the notifications, and returns when it is delivered.
    pub(crate) async fn test_notification(&self, channel: &str, user: &str) -> Result<(), CommandFailure> {
        let mut calls = self.calls.clone();
        let request = v1::TestNotificationRequest { channel: channel.to_owned(), user: user.to_owned() };
        self.await_response(DELIVERY_TIMEOUT, calls.test_notification(request)).await.map(drop)
    }

    /// Returns the state of the notifications.
    pub(crate) async fn notify_status(&self) -> Result<v1::GetNotifyStatusResponse, CommandFailure> {
        let mut calls = self.calls.clone();
        self.await_response(RESPONSE_TIMEOUT, calls.get_notify_status(v1::GetNotifyStatusRequest {})).await
    }

    /// Returns the notifications that the recorded past would have made.
    pub(crate) async fn dry_run_notifications(
        &self,
        request: v1::DryRunNotificationsRequest,
    ) -> Result<v1::DryRunNotificationsResponse, CommandFailure> {
        let mut calls = self.calls.clone();
        self.await_response(DELIVERY_TIMEOUT, calls.dry_run_notifications(request)).await
    }

    /// Streams the lines of an instance's log.
    pub(crate) async fn read_log(
        &self,
        request: v1::AggregatorServiceReadLogRequest,
    ) -> Result<LogLineStream, CommandFailure> {
        let mut calls = self.calls.clone();
        let stream = self.await_response(RESPONSE_TIMEOUT, calls.read_log(request)).await?;
        let client = self.clone();
        Ok(Box::pin(stream.map(move |lines| lines.map_err(|status| client.failure_from(&status)))))
    }

    pub(crate) async fn explain(
        &self,
        Selector { environment, host, component }: Selector,
    ) -> Result<(InstanceId, Vec<ExplainedPart>), CommandFailure> {
        let mut calls = self.calls.clone();
        let request = v1::AggregatorServiceExplainRequest { component, environment, host };
        let response = self.await_response(RESPONSE_TIMEOUT, calls.explain(request)).await?;
        let missing = || self.invalid_response(&ProtocolError::Missing("instance"));
        let instance = response.instance.ok_or_else(missing)?.into();
        let parts = response.parts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>();
        Ok((instance, parts.map_err(|error| self.invalid_response(&error))?))
    }

    /// Returns the notes of an instance.
    pub(crate) async fn notes(
        &self,
        Selector { environment, host, component }: Selector,
    ) -> Result<(InstanceId, ComponentNotes), CommandFailure> {
        let mut calls = self.calls.clone();
        let request = v1::GetNotesRequest { component, environment, host };
        let response = self.await_response(RESPONSE_TIMEOUT, calls.get_notes(request)).await?;
        let missing = || self.invalid_response(&ProtocolError::Missing("instance"));
        let instance = response.instance.ok_or_else(missing)?.into();
        Ok((instance, response.notes.unwrap_or_default().into()))
    }

    pub(crate) async fn reload(&self) -> Result<PlatformReload, CommandFailure> {
        let mut calls = self.calls.clone();
        let response =
            self.await_response(RELOAD_TIMEOUT, calls.reload_config(v1::ReloadConfigRequest {})).await?;
        response.try_into().map_err(|error| self.invalid_response(&error))
    }

    fn parse_overview(&self, overview: Option<v1::Overview>) -> Result<Overview, CommandFailure> {
        let overview = overview.ok_or(ProtocolError::Missing("overview"));
        overview.and_then(Overview::try_from).map_err(|error| self.invalid_response(&error))
    }

    fn invalid_response(&self, error: &dyn std::fmt::Display) -> CommandFailure {
        CommandFailure::new(UNAVAILABLE, format!("the aggregator at {}: {error}", self.address))
    }

    async fn await_response<T>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, CommandFailure> {
        match tokio::time::timeout(patience, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failure_from(&status)),
            Err(_) => Err(CommandFailure::Unreachable(format!(
                "the aggregator at {} did not answer within {} s",
                self.address,
                patience.as_secs()
            ))),
        }
    }

    fn failure_from(&self, status: &Status) -> CommandFailure {
        // A status with a source did not come from the aggregator: the call failed to
        // reach it, or was cut off.
        let Some(source) = status.source() else {
            if status.code() == Code::Unimplemented && status.message().is_empty() {
                let address = &self.address;
                return CommandFailure::new(
                    FAILED,
                    format!("the aggregator at {address} is of a version that does not know this command"),
                );
            }
            let code = if status.code() == Code::NotFound { UNAVAILABLE } else { FAILED };
            return CommandFailure::new(code, printable_lines(status.message()));
        };
        let address = &self.address;
        if let Some(reason) = describe_tls_error(source) {
            return CommandFailure::Unreachable(format!(
                "no trust between you and the aggregator at {address}: {}; look at --ca, --cert and --key",
                printable(&reason)
            ));
        }
        let innermost = deepest_source(source).to_string();
        CommandFailure::Unreachable(match innermost.starts_with(local_socket::NO_ANSWER) {
            true => innermost,
            false => {
                format!(
                    "no connection to the aggregator at {address}: {innermost}; is rta-aggregator running there?"
                )
            }
        })
    }
}

/// Builds the TLS configuration from the CA to trust and the client's own certificate.
fn client_tls(tls: &TlsArgs) -> Result<ClientTls, CommandFailure> {
    let describe_error = |reason: String| CommandFailure::new(USAGE, reason);
    let Some(ca) = &tls.ca else {
        return Err(describe_error(
            "an https:// address needs --ca FILE, the CA of the aggregator".to_owned(),
        ));
    };
    let own = match (&tls.cert, &tls.key) {
        (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
        (None, None) => None,
        _ => return Err(describe_error("--cert and --key are only good together".to_owned())),
    };
    ClientTls::new(TlsFiles { own, ca: Some(ca.clone()) }).map_err(describe_error)
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use rta_shared::action::ActionKind;
    use rta_shared::plan::{ActionRequest, ExecutionOptions};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;

    use super::*;
    use crate::fake_aggregator::{AggregatorScript, FakeAggregator, plan_ended, plan_started, sample_plan};

    /// Returns a client of `fake` through a proxy. A message to the sender freezes the proxy: the connection
    /// stays open but forwards nothing.
    async fn through_proxy(fake: &AggregatorClient) -> (AggregatorClient, oneshot::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = AggregatorClient::new(&listener.local_addr().unwrap().to_string()).unwrap();
        let address = fake.address.strip_prefix("http://").unwrap().to_owned();
        let (cut, is_cut) = oneshot::channel();
        tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(address).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = is_cut => std::future::pending().await,
            }
        });
        (client, cut)
    }

    async fn start(client: &AggregatorClient) -> Result<PlanEventStream, CommandFailure> {
        client
            .start_plan(ActionKind::Start, &ActionRequest::default(), &ExecutionOptions::default(), "")
            .await
    }

    #[tokio::test]
    async fn silently_cut_connection_is_lost() {
        let script = AggregatorScript {
            plan_events: vec![plan_started()],
            when_cancelled: Some(plan_ended([0, 0, 2, 0], true)),
            ..AggregatorScript::default()
        };
        let (_fake, client) = FakeAggregator::serve(script).await;
        let (client, cut) = through_proxy(&client).await;
        let mut events = start(&client).await.unwrap();
        assert!(events.next().await.unwrap().is_ok());
        cut.send(()).unwrap();
        assert!(matches!(events.next().await, Some(Err(CommandFailure::Unreachable(_)))));
    }

    #[tokio::test]
    async fn start_is_unknown_only_after_the_request_was_sent() {
        let unsent = start(&AggregatorClient::new("127.0.0.1:1").unwrap()).await.err().unwrap();
        assert!(!unsent.message().contains("begun"));

        let (_fake, client) = FakeAggregator::serve(AggregatorScript {
            plan: Some(sample_plan()),
            ..AggregatorScript::default()
        })
        .await;
        let (client, cut) = through_proxy(&client).await;
        client.preview_plan(ActionKind::Start, &ActionRequest::default()).await.unwrap();
        cut.send(()).unwrap();
        let (code, message) = start(&client).await.err().unwrap().into_parts();
        assert_eq!(code, UNAVAILABLE);
        assert!(message.ends_with(START_UNKNOWN), "{message}");
    }

    #[tokio::test]
    async fn long_refusal_is_received_whole() {
        let long = "on several hosts, ".repeat(5000);
        for (status, code) in
            [(Status::invalid_argument(&long), FAILED), (Status::not_found(&long), UNAVAILABLE)]
        {
            let script = AggregatorScript { plan_refused: Some(status), ..AggregatorScript::default() };
            let (_fake, client) = FakeAggregator::serve(script).await;
            let refused = client.preview_plan(ActionKind::Stop, &ActionRequest::default()).await.unwrap_err();
            let (describe_error, message) = refused.into_parts();
            assert!(describe_error == code && message == long, "{describe_error} {:.200}", message);
        }
    }
}
