//! `rta logs`: shows an instance's own log, read by its host's agent.

use std::io::Write;

use futures::StreamExt as _;
use rta_shared::proto::v1;
use rta_shared::sanitize::{printable, printable_line};
use rta_shared::selector::Selector;

use crate::args::LogsArgs;
use crate::client::AggregatorClient;
use crate::exit::{CommandResult, OK};

/// Writes the log's lines to `out`, and remarks about them to `notices`.
pub(crate) async fn show_logs(
    logs: &LogsArgs,
    client: &AggregatorClient,
    out: &mut (dyn Write + Send),
    notices: &mut (dyn Write + Send),
) -> CommandResult {
    let Selector { environment, host, component } = logs.target.selector()?;
    let request = v1::AggregatorServiceReadLogRequest {
        component,
        environment,
        host,
        lines: logs.lines,
        follow: logs.follow,
    };
    let mut messages = client.read_log(request).await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        if !message.notice.is_empty() {
            writeln!(notices, "rta: {}", printable(&message.notice))?;
        }
        for line in &message.lines {
            writeln!(out, "{}", printable_line(line))?;
        }
        out.flush()?;
    }
    Ok(OK)
}
