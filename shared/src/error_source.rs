//! Causes of errors.

use std::error::Error;

use tonic::{ConnectError, Status};

/// Returns the causes of `error`, without itself: the nearest first, the first cause last.
pub fn error_sources<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> + use<'e> {
    std::iter::successors(error.source(), |source| (**source).source())
}

/// Returns the first cause of `error`, which says most: the last in the chain of its sources, or itself.
pub fn deepest_source<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    error_sources(error).last().unwrap_or(error)
}

/// Returns true if a call failed because there was no connection, so that nothing of it was sent.
pub fn is_unconnected(status: &Status) -> bool {
    error_sources(status).any(|error| error.is::<ConnectError>())
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::time::Duration;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;
    use tonic::transport::Endpoint;

    use super::*;
    use crate::proto::v1;
    use crate::proto::v1::agent_service_client::AgentServiceClient;

    /// Error with a number of causes, of which each says how many there are below it.
    #[derive(Debug)]
    struct Nested(u32, Option<Box<Nested>>);

    impl fmt::Display for Nested {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{} below", self.0)
        }
    }

    impl Error for Nested {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|below| below as &(dyn Error + 'static))
        }
    }

    #[test]
    fn last_cause_is_returned_and_an_error_without_one_itself() {
        let nested =
            |causes| (1..=causes).fold(Nested(0, None), |below, at| Nested(at, Some(Box::new(below))));
        for causes in 0..4 {
            assert_eq!(deepest_source(&nested(causes)).to_string(), "0 below");
        }
    }

    async fn call_failure(endpoint: Endpoint) -> Status {
        AgentServiceClient::new(endpoint.connect_lazy())
            .get_report(v1::GetReportRequest {})
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn call_is_unconnected_only_if_nothing_of_it_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ending = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            // The connection breaks after some of the call has come.
            assert_ne!(connection.read(&mut [0; 10_000]).await.unwrap(), 0);
        });
        let cut = call_failure(Endpoint::from_shared(url.clone()).unwrap()).await;
        assert!(!is_unconnected(&cut) && cut.source().is_some(), "{cut:?}");
        ending.await.unwrap();
        // Nobody listens any more.
        let refused = call_failure(Endpoint::from_shared(url).unwrap()).await;
        let missing = call_failure(Endpoint::from_static("unix:///no/such/socket")).await;
        // A connection takes longer than this.
        let late = Endpoint::from_static("http://127.0.0.1:9").connect_timeout(Duration::from_nanos(1));
        for status in [refused, missing, call_failure(late).await] {
            assert!(is_unconnected(&status), "{status:?}");
        }
        assert!(!is_unconnected(&Status::unavailable("the agent is shutting down")));
    }
}
