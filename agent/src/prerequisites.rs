//! Readiness of prerequisites on other hosts, as received from the aggregator.

use std::collections::HashMap;
use std::sync::Arc;

use rta_shared::name::Name;
use rta_shared::prerequisite::{Readiness, RemotePrerequisite};
use rta_shared::proto::v1;
use rta_shared::timing::PREREQUISITES_VALIDITY;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

/// Last known readiness of prerequisites on other hosts; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct RemotePrerequisites(Arc<watch::Sender<ReceivedReadiness>>);

/// Last message of the aggregator, with its time.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReceivedReadiness {
    /// `None`: no message was received yet.
    at: Option<Instant>,
    /// Readiness by host and component.
    readiness: HashMap<(Name, Name), Readiness>,
}

impl RemotePrerequisites {
    /// Creates an empty collection, in which every readiness is unknown.
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }

    /// Replaces the readiness of all prerequisites.
    pub(crate) fn replace(&self, received: Vec<RemotePrerequisite>, now: Instant) {
        let readiness = received.into_iter().map(|one| ((one.host, one.component), one.readiness));
        self.0.send_replace(ReceivedReadiness { at: Some(now), readiness: readiness.collect() });
    }

    /// Returns a receiver that is notified on every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<ReceivedReadiness> {
        self.0.subscribe()
    }
}

impl ReceivedReadiness {
    /// Returns the readiness of `component` on `host`; unknown if the last message is too old at `now`.
    pub(crate) fn readiness(&self, host: &Name, component: &Name, now: Instant) -> Readiness {
        let holds = self.at.is_some_and(|at| now.saturating_duration_since(at) < PREREQUISITES_VALIDITY);
        let known = self.readiness.get(&(host.clone(), component.clone())).filter(|_| holds);
        known.copied().unwrap_or(Readiness::Unknown)
    }
}

/// Converts a request of the aggregator.
///
/// # Errors
/// Returns an error if a readiness has an unknown value.
pub(crate) fn prerequisites_from_proto(
    request: v1::AgentServiceSetPrerequisitesRequest,
) -> Result<Vec<RemotePrerequisite>, Status> {
    let received = request.prerequisites.into_iter().map(RemotePrerequisite::try_from);
    received.collect::<Result<_, _>>().map_err(|error| Status::invalid_argument(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn readiness_expires() {
        let known = RemotePrerequisites::new();
        let received = known.subscribe();
        let began = Instant::now();
        let readiness = |host: &str, after: Duration| {
            received.borrow().readiness(&host.into(), &"Kafka".into(), began + after)
        };
        assert_eq!(readiness("k1", Duration::ZERO), Readiness::Unknown);
        let kafka =
            |readiness| RemotePrerequisite { host: "K1".into(), component: "kafka".into(), readiness };
        known.replace(vec![kafka(Readiness::Ready)], began);
        assert_eq!(readiness("k1", Duration::from_secs(59)), Readiness::Ready);
        assert_eq!(readiness("k2", Duration::from_secs(59)), Readiness::Unknown);
        assert_eq!(readiness("k1", PREREQUISITES_VALIDITY), Readiness::Unknown);
        known.replace(vec![kafka(Readiness::NotReady)], began + PREREQUISITES_VALIDITY);
        assert_eq!(readiness("k1", PREREQUISITES_VALIDITY), Readiness::NotReady);
        known.replace(vec![], began + PREREQUISITES_VALIDITY);
        assert_eq!(readiness("k1", PREREQUISITES_VALIDITY), Readiness::Unknown);
    }
}
