//! Logs of instances, read through their hosts' agents.

use futures::{Stream, StreamExt as _};
use rta_shared::overview::InstanceId;
use rta_shared::selector::{Purpose, Selector};

use crate::api::Operations;
use crate::operation_error::OperationError;

/// Part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogChunk {
    /// Whole lines, without line ends, as they were written.
    pub lines: Vec<String>,
    /// Note for the reader, as a sentence; usually empty.
    pub notice: String,
}

impl Operations {
    /// Returns the last `lines` of an instance's log, and with `follow` the lines written later, until the
    /// stream is dropped.
    ///
    /// # Errors
    /// Returns an error if the selector does not select one instance, or if the agent refuses or does not answer.
    /// The stream yields an error if the agent is lost or the log cannot be read any more.
    pub async fn read_log(
        &self,
        selector: &Selector,
        lines: u32,
        follow: bool,
    ) -> Result<
        (InstanceId, impl Stream<Item = Result<LogChunk, OperationError>> + Send + use<>),
        OperationError,
    > {
        let inventory = self.inventory();
        let found = inventory.resolve_instance(selector, Purpose::Reading)?;
        let agent = crate::api::agent_of(&inventory, &found)?.clone();
        let messages = agent.read_log(&found.component.name, lines, follow).await?;
        let pieces = messages.map(move |message| match message {
            Ok(message) => Ok(LogChunk { lines: message.lines, notice: message.notice }),
            Err(status) => Err(agent.to_operation_error(&status)),
        });
        Ok((found.id(), pieces))
    }
}
