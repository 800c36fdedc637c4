//! The gRPC service of the aggregator.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use rta_shared::proto::v1;
use rta_shared::proto::v1::aggregator_service_server::AggregatorService;
use rta_shared::report::ActionKind;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::operations::Operations;
use crate::target::{OperationError, Target};

/// [`Operations`] as `proto/rta/v1/aggregator.proto` offers them.
pub(crate) struct Service {
    pub(crate) operations: Operations,
    /// Ends the streams.
    pub(crate) shutdown: CancellationToken,
}

#[tonic::async_trait]
impl AggregatorService for Service {
    async fn get_overview(
        &self,
        _: Request<v1::GetOverviewRequest>,
    ) -> Result<Response<v1::GetOverviewResponse>, Status> {
        let overview = self.operations.overview();
        Ok(Response::new(v1::GetOverviewResponse { overview: Some(overview.as_ref().into()) }))
    }

    type WatchOverviewStream = Pin<Box<dyn Stream<Item = Result<v1::WatchOverviewResponse, Status>> + Send>>;

    async fn watch_overview(
        &self,
        _: Request<v1::WatchOverviewRequest>,
    ) -> Result<Response<Self::WatchOverviewStream>, Status> {
        let overviews = WatchStream::new(self.operations.watch())
            .map(|overview| Ok(v1::WatchOverviewResponse { overview: Some(overview.as_ref().into()) }))
            .take_until(self.shutdown.clone().cancelled_owned());
        Ok(Response::new(Box::pin(overviews)))
    }

    async fn refresh(&self, _: Request<v1::RefreshRequest>) -> Result<Response<v1::RefreshResponse>, Status> {
        let overview = self.operations.refresh().await;
        Ok(Response::new(v1::RefreshResponse { overview: Some(overview.as_ref().into()) }))
    }

    async fn start(
        &self,
        request: Request<v1::AggregatorServiceStartRequest>,
    ) -> Result<Response<v1::AggregatorServiceStartResponse>, Status> {
        let v1::AggregatorServiceStartRequest { component, environment, host } = request.into_inner();
        let target = Target { component, environment, host };
        let (id, done) = self.operations.control(ActionKind::Start, &target).await?;
        Ok(Response::new((&id, done).into()))
    }

    async fn stop(
        &self,
        request: Request<v1::AggregatorServiceStopRequest>,
    ) -> Result<Response<v1::AggregatorServiceStopResponse>, Status> {
        let v1::AggregatorServiceStopRequest { component, environment, host } = request.into_inner();
        let target = Target { component, environment, host };
        let (id, done) = self.operations.control(ActionKind::Stop, &target).await?;
        Ok(Response::new((&id, done).into()))
    }

    async fn reload_config(
        &self,
        _: Request<v1::ReloadConfigRequest>,
    ) -> Result<Response<v1::ReloadConfigResponse>, Status> {
        Ok(Response::new(self.operations.reload().await?.into()))
    }

    async fn explain(
        &self,
        request: Request<v1::AggregatorServiceExplainRequest>,
    ) -> Result<Response<v1::AggregatorServiceExplainResponse>, Status> {
        let v1::AggregatorServiceExplainRequest { component, environment, host } = request.into_inner();
        let (id, parts) = self.operations.explain(&Target { component, environment, host }).await?;
        Ok(Response::new(v1::AggregatorServiceExplainResponse {
            instance: Some((&id).into()),
            parts: parts.into_iter().map(Into::into).collect(),
        }))
    }
}

impl From<OperationError> for Status {
    fn from(error: OperationError) -> Self {
        Self::new(error.code, error.message)
    }
}
