//! Authorization check before every gRPC call.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_util::either::Either;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tower::{Layer, Service};

use super::table::{MethodRule, Right, method_right};
use crate::connection::ConnectedPeer;
use crate::refusal_log::RefusalLog;

/// Middleware that passes a call on only if its method is in the table and `check` admits the caller.
///
/// Refusals are logged at a limited rate. `check` receives the right that the method requires and the call
/// without its body; it may add the caller to the call's extensions. A method that is not in the table is
/// answered as unimplemented.
#[derive(Clone, Debug)]
pub struct AuthorizationLayer<F> {
    rules: &'static [MethodRule],
    check: F,
    refusals: Arc<RefusalLog>,
}

impl<F> AuthorizationLayer<F>
where
    F: Fn(Right, Request<()>) -> Result<Request<()>, Status>,
{
    /// Creates a layer that checks calls against the table `rules`.
    pub fn new(rules: &'static [MethodRule], check: F) -> Self {
        Self { rules, check, refusals: Arc::default() }
    }

    /// Returns the call as `check` admits it.
    fn admit<B>(&self, call: Request<B>) -> Result<Request<B>, Status> {
        let Some(right) = method_right(self.rules, call.uri().path()) else {
            return Err(Status::unimplemented(""));
        };
        let peer = call.extensions().get::<ConnectedPeer>().cloned();
        let path = call.uri().path().to_owned();
        let (head, content) = call.into_parts();
        let admitted = (self.check)(right, Request::from_parts(head, ()));
        let admitted = admitted.inspect_err(|refusal| {
            let from = peer.map(|peer| peer.to_string()).unwrap_or_default();
            self.refusals.log_refusal(
                "a call was refused",
                &format_args!("{from} to {path}"),
                refusal.message(),
            );
        });
        Ok(admitted?.map(|()| content))
    }
}

impl<S, F: Clone> Layer<S> for AuthorizationLayer<F> {
    type Service = AuthorizedService<S, F>;

    fn layer(&self, inner: S) -> AuthorizedService<S, F> {
        AuthorizedService { inner, layer: self.clone() }
    }
}

/// Service behind the authorization check.
#[derive(Clone, Debug)]
pub struct AuthorizedService<S, F> {
    inner: S,
    layer: AuthorizationLayer<F>,
}

impl<S, F, B> Service<Request<B>> for AuthorizedService<S, F>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
    F: Fn(Right, Request<()>) -> Result<Request<()>, Status>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Ready<Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Request<B>) -> Self::Future {
        match self.layer.admit(call) {
            Ok(call) => Either::Left(self.inner.call(call)),
            Err(refusal) => Either::Right(ready(Ok(refusal.into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::authorization::AGENT_METHODS;

    #[test]
    fn method_that_is_in_no_row_is_refused_whoever_calls() {
        let everybody = AuthorizationLayer::new(AGENT_METHODS, |_, call| Ok(call));
        let call = |path: &str| Request::builder().uri(path).body(()).unwrap();
        assert!(everybody.admit(call("/rta.v1.AgentService/Act")).is_ok());
        for path in ["/rta.v1.AgentService/Destroy", "/rta.v1.AgentService/Act/", "/", "/other.Service/Act"] {
            assert_eq!(everybody.admit(call(path)).unwrap_err().code(), Code::Unimplemented, "{path}");
        }
    }
}
