//! Instances' logs, read through their hosts' agents.

use futures::{Stream, StreamExt as _};
use rta_shared::overview::InstanceId;
use rta_shared::selector::{Purpose, Selector};

use crate::operation_error::OperationError;
use crate::operations::Operations;

/// Some lines of a log, and what is to be known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPiece {
    /// Whole lines, without their ends, as they were written.
    pub lines: Vec<String>,
    /// What the reader should know, as a sentence; empty mostly.
    pub notice: String,
}

impl Operations {
    /// The last `lines` of an instance's log, then with `follow` what is written, until the stream is dropped.
    ///
    /// # Errors
    /// A selector that does not select one instance, an agent that does not answer, and the agent's own refusals; in the
    /// stream: an agent that is lost, a log that cannot be read any more.
    pub async fn read_log(
        &self,
        selector: &Selector,
        lines: u32,
        follow: bool,
    ) -> Result<
        (InstanceId, impl Stream<Item = Result<LogPiece, OperationError>> + Send + use<>),
        OperationError,
    > {
        let fleet = self.fleet();
        let found = fleet.resolve(selector, Purpose::Reading)?;
        let agent = crate::operations::agent(&fleet, &found)?.clone();
        let messages = agent.read_log(&found.component.name, lines, follow).await?;
        let pieces = messages.map(move |message| match message {
            Ok(message) => Ok(LogPiece { lines: message.lines, notice: message.notice }),
            Err(status) => Err(agent.told(&status)),
        });
        Ok((found.id(), pieces))
    }
}
