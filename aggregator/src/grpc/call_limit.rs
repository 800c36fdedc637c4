//! Limit of concurrent gRPC calls.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::task::{Context, Poll};

use axum::http::{Request, Response};
use futures::future::{BoxFuture, FutureExt as _, TryFutureExt as _};
use http_body_util::BodyExt as _;
use rta_shared::connection::{ConnectedPeer, ConnectionOrigin};
use rta_shared::keyed_semaphore::KeyedSemaphore;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

/// Maximum number in total.
const MAX_CALLS: usize = 1024;
/// Maximum number from one address, which leaves room for other addresses.
const MAX_CALLS_PER_ADDRESS: usize = 256;

/// Answers a limited number of calls at a time, and further ones with `RESOURCE_EXHAUSTED`. A call lasts
/// until its stream ends.
#[derive(Clone, Debug)]
pub(crate) struct CallLimit {
    places: KeyedSemaphore<ConnectionOrigin>,
}

impl CallLimit {
    pub(crate) fn new() -> Self {
        Self { places: KeyedSemaphore::new(MAX_CALLS, MAX_CALLS_PER_ADDRESS) }
    }
}

impl<S> Layer<S> for CallLimit {
    type Service = LimitedService<S>;

    fn layer(&self, inner: S) -> LimitedService<S> {
        LimitedService { inner, places: self.places.clone() }
    }
}

/// Service that is called only within the limit.
#[derive(Clone, Debug)]
pub(crate) struct LimitedService<S> {
    inner: S,
    places: KeyedSemaphore<ConnectionOrigin>,
}

impl<S, B> Service<Request<B>> for LimitedService<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let from = request.extensions().get::<ConnectedPeer>().map(ConnectedPeer::origin);
        let unknown = ConnectionOrigin::Address(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let Some(place) = self.places.acquire(from.unwrap_or(unknown)) else {
            let said = format!(
                "the aggregator answers as many calls as it does at one time ({MAX_CALLS} in all, {MAX_CALLS_PER_ADDRESS} from \
                 one address); ask again later, or end what follows it"
            );
            return futures::future::ok(Status::resource_exhausted(said).into_http()).boxed();
        };
        let answered = self.inner.call(request).map_ok(|response| {
            // The permit is held until the body is sent completely or dropped.
            let held = move |frame| {
                let _ = &place;
                frame
            };
            response.map(|body| Body::new(body.map_frame(held)))
        });
        answered.boxed()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use http_body_util::Full;
    use rta_shared::tls::PeerInfo;
    use tonic::Code;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    /// Makes a call from this address; it lasts as long as its answer is kept.
    async fn call(limit: &CallLimit, from: [u8; 4]) -> Response<Body> {
        let answered = service_fn(async |_: Request<()>| {
            Ok(Response::new(Body::new(Full::new(Bytes::from_static(b"told")))))
        });
        let mut request = Request::new(());
        let address = (from, 1).into();
        request.extensions_mut().insert(ConnectedPeer::Tcp(PeerInfo {
            address,
            secured: false,
            identity: None,
        }));
        limit.layer(answered).oneshot(request).await.unwrap()
    }

    fn code(response: &Response<Body>) -> Code {
        Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
    }

    #[tokio::test]
    async fn one_address_has_its_share_until_its_streams_end() {
        let limit = CallLimit::new();
        let mut open = Vec::new();
        for _ in 0..MAX_CALLS_PER_ADDRESS {
            open.push(call(&limit, [10, 0, 0, 1]).await);
        }
        assert!(open.iter().all(|response| code(response) == Code::Ok));
        assert_eq!(code(&call(&limit, [10, 0, 0, 1]).await), Code::ResourceExhausted);
        assert_eq!(code(&call(&limit, [10, 0, 0, 2]).await), Code::Ok);
        open.pop();
        assert_eq!(code(&call(&limit, [10, 0, 0, 1]).await), Code::Ok);
    }

    #[tokio::test]
    async fn all_addresses_together_have_so_many() {
        let limit = CallLimit::new();
        let mut open = Vec::new();
        for from in 0..MAX_CALLS / MAX_CALLS_PER_ADDRESS {
            for _ in 0..MAX_CALLS_PER_ADDRESS {
                open.push(call(&limit, [10, 0, 1, u8::try_from(from).unwrap()]).await);
            }
        }
        assert_eq!(code(&call(&limit, [10, 0, 0, 9]).await), Code::ResourceExhausted);
        drop(open);
        assert_eq!(code(&call(&limit, [10, 0, 0, 9]).await), Code::Ok);
    }
}
