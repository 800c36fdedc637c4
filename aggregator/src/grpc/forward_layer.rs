//! Passes whole calls on to the leader.

use std::convert::Infallible;
use std::task::{Context, Poll};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Request, Response};
use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _};
use http_body::Frame;
use http_body_util::{BodyStream, StreamBody};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service, ServiceExt as _};

use crate::auth::grpc::AuthenticatedCaller;
use crate::forwarding::{LeaderClient, LeaderRoute, read_requester, write_requester};

/// Methods that only the leader answers: they change something, or are about its notifications.
const LEADERS_METHODS: [&str; 9] = [
    "/rta.v1.AggregatorService/Act",
    "/rta.v1.AggregatorService/CancelPlan",
    "/rta.v1.AggregatorService/SetMaintenance",
    "/rta.v1.AggregatorService/PlanMaintenance",
    "/rta.v1.AggregatorService/CancelPlannedMaintenance",
    "/rta.v1.AggregatorService/ReloadConfig",
    "/rta.v1.AggregatorService/TestNotification",
    "/rta.v1.AggregatorService/GetNotifyStatus",
    "/rta.v1.AggregatorService/DryRunNotifications",
];

/// Passes calls that only the leader answers on to it, after they were authorized, with the name of their
/// caller.
#[derive(Clone, Debug)]
pub(crate) struct ForwardLayer {
    leader: LeaderClient,
    /// Ends the streams.
    shutdown: CancellationToken,
}

impl ForwardLayer {
    pub(crate) fn new(leader: LeaderClient, shutdown: CancellationToken) -> Self {
        Self { leader, shutdown }
    }
}

impl<S> Layer<S> for ForwardLayer {
    type Service = ForwardingService<S>;

    fn layer(&self, inner: S) -> ForwardingService<S> {
        ForwardingService { inner, layer: self.clone() }
    }
}

/// Service that answers the other calls.
#[derive(Clone, Debug)]
pub(crate) struct ForwardingService<S> {
    inner: S,
    layer: ForwardLayer,
}

impl<S> Service<Request<Body>> for ForwardingService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_leaders = LEADERS_METHODS.contains(&request.uri().path());
        let Some(route) = is_leaders.then(|| self.layer.leader.route()).flatten() else {
            return self.inner.call(request).boxed();
        };
        // A call goes from the first aggregator to the leader, and no further.
        if read_requester(request.headers()).is_some() {
            let message =
                "nothing was done: this aggregator does not lead any more; try again in some seconds";
            return futures::future::ok(Status::unavailable(message).into_http()).boxed();
        }
        forward(route, request, self.layer.shutdown.clone()).map(Ok).boxed()
    }
}

async fn forward(
    route: LeaderRoute,
    mut request: Request<Body>,
    shutdown: CancellationToken,
) -> Response<Body> {
    let caller = match AuthenticatedCaller::from_extensions(request.extensions()) {
        Ok(caller) => caller,
        Err(refusal) => return refusal.into_http(),
    };
    // The token proves the caller here, and nowhere else.
    request.headers_mut().remove(AUTHORIZATION);
    let by = match caller.proved_requester() {
        Ok(by) => by,
        Err(refusal) => return Status::from(refusal).into_http(),
    };
    write_requester(request.headers_mut(), &by);
    request.extensions_mut().clear();
    let answered = match route.channel().ready_oneshot().await {
        Ok(mut channel) => channel.call(request).await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(response) => response.map(|body| end_with_status(route, body, shutdown)),
        Err(error) => Status::from(route.no_answer(&error)).into_http(),
    }
}

/// Returns the answer with a status at its end, also if the leader does not come to its end, or this
/// aggregator ends.
fn end_with_status(route: LeaderRoute, body: Body, shutdown: CancellationToken) -> Body {
    let frames = futures::stream::unfold(Some(BodyStream::new(body)), move |body| {
        let (route, shutdown) = (route.clone(), shutdown.clone());
        async move {
            let mut body = body?;
            let cut = tokio::select! {
                frame = body.next() => match frame? {
                    Ok(frame) => return Some((Ok::<_, Status>(frame), Some(body))),
                    Err(failure) => Status::from(route.no_answer(&failure)),
                },
                () = shutdown.cancelled() => {
                    Status::unavailable("the aggregator is shutting down, or another one leads now; ask again")
                }
            };
            let mut trailers = HeaderMap::new();
            // A status without details fits into headers.
            let _ = cut.add_header(&mut trailers);
            Some((Ok(Frame::trailers(trailers)), None))
        }
    });
    Body::new(StreamBody::new(frames))
}
