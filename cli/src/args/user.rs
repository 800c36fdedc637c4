//! Flags of `rta user`: accounts of people and scripts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Hash a password (prompted for twice, or read from a pipe) and print its entry for the
    /// aggregator's --users file
    Hash(UserEntryArgs),
    /// Create a token for a script, shown once, and print its entry for the aggregator's --users file
    Token(TokenArgs),
    /// List the users and tokens of a --users file, with their roles, scopes and ends
    List {
        /// The aggregator's --users file
        #[arg(long, value_name = "FILE")]
        users: PathBuf,
    },
    /// Remove a user or a token from a --users file; the aggregator refuses it within seconds
    Revoke {
        /// Name of the user or the token
        #[arg(value_name = "NAME")]
        name: String,
        /// The aggregator's --users file
        #[arg(long, value_name = "FILE")]
        users: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(crate) entry: UserEntryArgs,
    /// Environment in which the token may act; may be repeated [default: any]
    #[arg(long, value_name = "NAME")]
    pub(crate) environment: Vec<String>,
    /// Role of the hosts on which the token may act; may be repeated [default: any]
    #[arg(long, value_name = "NAME")]
    pub(crate) host_role: Vec<String>,
    /// Last day on which the token is valid (UTC), such as 2027-01-31 [default: it does not expire]
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    pub(crate) expires: Option<String>,
}

fn parse_day(text: &str) -> Result<String, String> {
    let day: Result<jiff::civil::Date, _> = text.parse();
    day.map(|day| day.to_string()).map_err(|_| "write for example 2027-01-31".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct UserEntryArgs {
    /// Name under which requests are recorded
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// Permissions: a viewer looks, an operator acts
    #[arg(long, value_enum, default_value = "operator")]
    pub(crate) role: AccountRole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccountRole {
    Viewer,
    Operator,
}

impl AccountRole {
    /// Returns the role as it is spelled in the users file.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}
