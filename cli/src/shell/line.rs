//! What can be typed at the prompt.

use clap::{Command, CommandFactory as _, Parser};

use crate::command::{Remote, RemoteConfig, Target};

/// One line.
#[derive(Debug, Parser)]
#[command(name = "rta", no_binary_name = true, disable_version_flag = true, help_template = "{subcommands}")]
pub(super) enum Line {
    #[command(flatten)]
    Remote(Remote),
    /// Why a component is or is not matched: the processes that come nearest to its criteria
    Explain {
        #[command(flatten)]
        target: Target,
        /// The explanation as JSON
        #[arg(long)]
        json: bool,
    },
    /// The platform's configuration
    #[command(subcommand)]
    Config(RemoteConfig),
    /// Narrow everything that follows to an environment; without one: no longer
    Use {
        /// The environment
        #[arg(value_name = "ENVIRONMENT")]
        environment: Option<String>,
    },
    /// Leave; Ctrl-D does too
    #[command(visible_alias = "quit")]
    Exit,
}

/// The definition of every line.
pub(super) fn definition() -> Command {
    // One help is enough: a command below another has its --help, and `help` takes it too.
    let mut command = Line::command().mut_subcommands(|below| below.disable_help_subcommand(true));
    command.build();
    command
}
