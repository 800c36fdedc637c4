//! Flags of `rta pki`: the private CA.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct PkiArgs {
    #[command(subcommand)]
    pub(crate) command: PkiCommand,
    /// Folder of the CA and the certificates that it signed
    #[arg(long, global = true, value_name = "DIR", default_value = "pki")]
    pub(crate) dir: PathBuf,
    /// Replace existing files
    #[arg(long, global = true)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PkiCommand {
    /// Create the CA, valid for ten years
    Init,
    /// Create the certificate of a host's agent, or of the aggregator ("aggregator"), valid for 397 days
    Host {
        /// Host's name in the configuration
        #[arg(value_name = "NAME")]
        name: String,
        /// IP address that clients connect to; may be given more than once
        #[arg(long, value_name = "ADDRESS")]
        ip: Vec<IpAddr>,
        /// Additional DNS name that clients connect to; may be given more than once
        #[arg(long, value_name = "NAME")]
        dns: Vec<String>,
        /// Also copy it, its key and the CA's certificate to this folder under the names that the services
        /// expect: agent.pem (aggregator.pem), agent-key.pem, ca.pem
        #[arg(long, value_name = "DIR")]
        install: Option<PathBuf>,
    },
    /// Create a person's or a script's certificate, valid for 397 days; its requests are
    /// recorded under its name
    User {
        /// Person's name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List the certificates with their use and the days until they expire
    Show,
}
