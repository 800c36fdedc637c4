//! `rta store`: work on the aggregator's store while no aggregator uses it.

use std::io::Write;

use jiff::Timestamp;
use rta_aggregator::{CopiedTable, StoreLocation, copy_store};

use crate::args::StoreCommand;
use crate::exit::{CommandFailure, CommandResult, FAILED, OK, USAGE};

/// Runs the subcommand.
pub(crate) fn run_store(arguments: &StoreCommand, out: &mut dyn Write) -> CommandResult {
    let StoreCommand::Migrate { from, to } = arguments;
    let parse = |text: &str| StoreLocation::parse(text).map_err(|reason| CommandFailure::new(USAGE, reason));
    let (from, to) = (parse(from)?, parse(to)?);
    let copied =
        copy_store(&from, &to, Timestamp::now()).map_err(|reason| CommandFailure::new(FAILED, reason))?;
    for CopiedTable { table, rows } in &copied {
        writeln!(out, "{table:14} {rows:10}")?;
    }
    let rows: u64 = copied.iter().map(|one| one.rows).sum();
    writeln!(out, "{rows} rows are copied from {from} to {to}; start the aggregator with --store {to}")?;
    Ok(OK)
}
