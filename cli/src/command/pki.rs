//! The private CA.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Pki {
    #[command(subcommand)]
    pub(crate) what: PkiCommand,
    /// The folder of the CA and of what it signed
    #[arg(long, global = true, value_name = "DIR", default_value = "pki")]
    pub(crate) dir: PathBuf,
    /// Replace what is there
    #[arg(long, global = true)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Make the CA, for ten years
    Init,
    /// Make the certificate of a host's agent, or of the aggregator ("aggregator"), for 397 days
    Host {
        /// The host's name in the configuration
        #[arg(value_name = "NAME")]
        name: String,
        /// An address by which it is asked; may be given more than once
        #[arg(long, value_name = "ADDRESS")]
        ip: Vec<IpAddr>,
        /// Another name by which it is asked; may be given more than once
        #[arg(long, value_name = "NAME")]
        dns: Vec<String>,
        /// Also copy it, its key and the CA's certificate to this folder under the names that the services look for:
        /// agent.pem (aggregator.pem), agent-key.pem, ca.pem
        #[arg(long, value_name = "DIR")]
        install: Option<PathBuf>,
    },
    /// Make a person's or a script's certificate, for 397 days; what it asks for is recorded under its name
    User {
        /// The person's name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List the certificates with their use and the days that are left
    Show,
}
