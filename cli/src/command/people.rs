//! Flags of `rta user`: accounts of people and scripts.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum People {
    /// Hash a password (prompted for twice, or read from a pipe) and print its entry for the
    /// aggregator's --users file
    Hash(Entry),
    /// Create a token for a script, shown once, and print its entry for the aggregator's --users file
    Token(Entry),
}

#[derive(Debug, Args)]
pub(crate) struct Entry {
    /// Name under which requests are recorded
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// Permissions: a viewer looks, an operator acts
    #[arg(long, value_enum, default_value = "operator")]
    pub(crate) role: PersonRole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PersonRole {
    Viewer,
    Operator,
}

impl PersonRole {
    /// Returns the role as it is spelled in the users file.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}
