//! Client of systemd in a build without systemd: every call fails with that reason.

use std::convert::Infallible;

use super::error::SystemdError;
use super::unit_operation::UnitOperation;
use super::unit_state::UnitState;

/// Client that reaches no systemd.
#[derive(Clone, Default)]
pub(crate) struct SystemdClient;

/// Running job of systemd, of which there is none.
pub(crate) struct UnitJob(Infallible);

impl UnitJob {
    /// Waits for the result.
    pub(crate) async fn wait_for_result(self) -> Result<String, SystemdError> {
        match self.0 {}
    }
}

impl SystemdClient {
    /// Starts no job.
    ///
    /// # Errors
    /// Returns an error always.
    pub(crate) async fn start_job(&self, _: UnitOperation, _: &str) -> Result<UnitJob, SystemdError> {
        Err(absent())
    }

    /// Returns no state.
    ///
    /// # Errors
    /// Returns an error always.
    pub(crate) async fn unit_state(&self, _: &str) -> Result<UnitState, SystemdError> {
        Err(absent())
    }
}

fn absent() -> SystemdError {
    SystemdError::NoBus(
        "this build of rta leaves out systemd; build it with the feature systemd, which is one of the default features"
            .to_owned(),
    )
}
