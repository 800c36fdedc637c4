//! Who may use the page, and scripts.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum People {
    /// Hash a password, asked for twice or read from a pipe: an entry for the aggregator's --users file
    Hash(Entry),
    /// Make a token for a script, shown once, and its entry for the aggregator's --users file
    Token(Entry),
}

#[derive(Debug, Args)]
pub(crate) struct Entry {
    /// Under which name what they ask for is recorded
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// What they may do: a viewer looks, an operator acts
    #[arg(long, value_enum, default_value = "operator")]
    pub(crate) role: PersonRole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PersonRole {
    Viewer,
    Operator,
}

impl PersonRole {
    /// The word in the file.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}
