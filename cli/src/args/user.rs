//! Flags of `rta user`: accounts of people and scripts.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Hash a password (prompted for twice, or read from a pipe) and print its entry for the
    /// aggregator's --users file
    Hash(UserEntryArgs),
    /// Create a token for a script, shown once, and print its entry for the aggregator's --users file
    Token(UserEntryArgs),
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
