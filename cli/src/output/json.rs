//! The overview as JSON.

use std::io::Write;

use rta_shared::overview::Overview;

use crate::exit::{CommandFailure, UNAVAILABLE};

/// Writes the overview as indented JSON.
pub(crate) fn write_json(overview: &Overview, out: &mut (dyn Write + Send)) -> Result<(), CommandFailure> {
    let json = serde_json::to_string_pretty(overview).map_err(|error| unwritable_json(&error))?;
    Ok(writeln!(out, "{json}")?)
}

/// Returns the failure of a command whose answer has no JSON form.
pub(crate) fn unwritable_json(error: &serde_json::Error) -> CommandFailure {
    CommandFailure::new(UNAVAILABLE, format!("the overview cannot be written as JSON: {error}"))
}
