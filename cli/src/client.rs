//! The aggregator, asked over gRPC; its errors as sentences.

use std::error::Error as _;
use std::time::Duration;

use rta_shared::control::Done;
use rta_shared::explain::ExplainedPart;
use rta_shared::overview::{InstanceId, Overview};
use rta_shared::proto::v1::aggregator_service_client::AggregatorServiceClient;
use rta_shared::proto::{ProtocolError, v1};
use rta_shared::reload::PlatformReload;
use rta_shared::report::ActionKind;
use rta_shared::text::printable;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use crate::exit::{CANNOT_TELL, FAILED, Failure, USAGE};

const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(10);
/// The aggregator gives every agent 10 s, and those that asked before come first.
const RELOAD: Duration = Duration::from_secs(60);
/// Longer than any configured start or stop should take; the aggregator has the exact deadline.
const ACTION: Duration = Duration::from_secs(24 * 60 * 60);

/// A connection that is made by the first call, and anew after a failure.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    address: String,
    calls: AggregatorServiceClient<Channel>,
}

impl Client {
    /// A client of the aggregator at `address`. It must be made within a tokio runtime.
    pub(crate) fn new(address: &str) -> Result<Self, Failure> {
        let told =
            |reason: &str| Failure::new(USAGE, format!("--aggregator \"{}\" {reason}", printable(address)));
        let url = match address.split_once("://") {
            None => format!("http://{address}"),
            Some(("http", _)) => address.to_owned(),
            Some(("https", _)) => {
                return Err(told("asks for TLS, which this version does not have; write http://"));
            }
            Some(_) => return Err(told("is no address; write for example http://127.0.0.1:7600")),
        };
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|_| told("is no address; write for example http://127.0.0.1:7600"))?;
        let channel = endpoint.connect_timeout(CONNECT).tcp_nodelay(true).connect_lazy();
        Ok(Self { address: url, calls: AggregatorServiceClient::new(channel) })
    }

    pub(crate) async fn overview(&self) -> Result<Overview, Failure> {
        let mut calls = self.calls.clone();
        let response = self.within(ANSWER, calls.get_overview(v1::GetOverviewRequest {})).await?;
        self.understood(response.overview)
    }

    pub(crate) async fn refresh(&self) -> Result<Overview, Failure> {
        let mut calls = self.calls.clone();
        let response = self.within(ANSWER, calls.refresh(v1::RefreshRequest {})).await?;
        self.understood(response.overview)
    }

    pub(crate) async fn control(
        &self,
        kind: ActionKind,
        (environment, host, component): (String, String, String),
    ) -> Result<(InstanceId, Done), Failure> {
        let mut calls = self.calls.clone();
        let done = match kind {
            ActionKind::Start => {
                let request = v1::AggregatorServiceStartRequest { component, environment, host };
                self.within(ACTION, calls.start(request)).await?.try_into()
            }
            ActionKind::Stop => {
                let request = v1::AggregatorServiceStopRequest { component, environment, host };
                self.within(ACTION, calls.stop(request)).await?.try_into()
            }
        };
        done.map_err(|error| self.misunderstood(&error))
    }

    pub(crate) async fn explain(
        &self,
        (environment, host, component): (String, String, String),
    ) -> Result<(InstanceId, Vec<ExplainedPart>), Failure> {
        let mut calls = self.calls.clone();
        let request = v1::AggregatorServiceExplainRequest { component, environment, host };
        let response = self.within(ANSWER, calls.explain(request)).await?;
        let missing = || self.misunderstood(&ProtocolError::Missing("instance"));
        let instance = response.instance.ok_or_else(missing)?.into();
        Ok((instance, response.parts.into_iter().map(Into::into).collect()))
    }

    pub(crate) async fn reload(&self) -> Result<PlatformReload, Failure> {
        let mut calls = self.calls.clone();
        let response = self.within(RELOAD, calls.reload_config(v1::ReloadConfigRequest {})).await?;
        response.try_into().map_err(|error| self.misunderstood(&error))
    }

    fn understood(&self, overview: Option<v1::Overview>) -> Result<Overview, Failure> {
        let overview = overview.ok_or(ProtocolError::Missing("overview"));
        overview.and_then(Overview::try_from).map_err(|error| self.misunderstood(&error))
    }

    fn misunderstood(&self, error: &ProtocolError) -> Failure {
        Failure::new(CANNOT_TELL, format!("the aggregator at {}: {error}", self.address))
    }

    async fn within<T>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(patience, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.sentence(&status)),
            Err(_) => Err(Failure::new(
                CANNOT_TELL,
                format!("the aggregator at {} did not answer within {} s", self.address, patience.as_secs()),
            )),
        }
    }

    fn sentence(&self, status: &Status) -> Failure {
        // A status that has a source did not come from the aggregator: the call never got there, or was cut.
        let Some(mut source) = status.source() else {
            if status.code() == Code::Unimplemented && status.message().is_empty() {
                let address = &self.address;
                return Failure::new(
                    FAILED,
                    format!("the aggregator at {address} is of a version that does not know this command"),
                );
            }
            return Failure::new(FAILED, printable(status.message()));
        };
        while let Some(deeper) = source.source() {
            source = deeper;
        }
        let address = &self.address;
        Failure::new(
            CANNOT_TELL,
            format!(
                "no connection to the aggregator at {address}: {source}; is rta-aggregator running there?"
            ),
        )
    }
}
