//! `rta what-if`.

use std::io::Write;

use crate::args::WhatIfCommand;
use crate::client::AggregatorClient;
use crate::exit::{CommandFailure, CommandResult, OK, UNAVAILABLE};
use crate::output::OutputStyle;
use crate::output::what_if::what_if_text;

/// Writes what would be different under the assumption of `command`.
pub(crate) async fn show_what_if(
    command: &WhatIfCommand,
    client: &AggregatorClient,
    style: OutputStyle,
    out: &mut (dyn Write + Send),
) -> CommandResult {
    let answer = client.what_if(&command.assumption()?).await?;
    if command.is_json() {
        let json = serde_json::to_string_pretty(&answer).map_err(|error| {
            CommandFailure::new(UNAVAILABLE, format!("the answer cannot be written as JSON: {error}"))
        })?;
        writeln!(out, "{json}")?;
    } else {
        write!(out, "{}", what_if_text(&answer, style))?;
    }
    Ok(OK)
}
