//! Arguments of `rta store`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Copy events, plans, maintenance and times past from one store to an empty one. No aggregator may use
    /// either meanwhile
    Migrate {
        /// Store to copy, for example sqlite:/var/lib/rta
        #[arg(long, value_name = "STORE")]
        from: String,
        /// Empty store to fill, for example postgres://rta@db/rta. Put a password into PGPASSFILE or PGPASSWORD
        #[arg(long, value_name = "STORE")]
        to: String,
    },
}
