//! Commands of the prompt.

use clap::{Command, CommandFactory as _, Parser};

use crate::args::{RemoteCommand, RemoteConfigCommand, TargetArgs};

/// Command typed at the prompt.
#[derive(Debug, Parser)]
#[command(name = "rta", no_binary_name = true, disable_version_flag = true, help_template = "{subcommands}")]
pub(super) enum PromptCommand {
    #[command(flatten)]
    Remote(RemoteCommand),
    /// Explain why a component is or is not matched: show the processes closest to its criteria
    Explain {
        #[command(flatten)]
        target: TargetArgs,
        /// Print the explanation as JSON
        #[arg(long)]
        json: bool,
    },
    /// Reload the platform's configuration
    #[command(subcommand)]
    Config(RemoteConfigCommand),
    /// Restrict the following commands to an environment; without one, remove the restriction
    Use {
        /// Environment
        #[arg(value_name = "ENVIRONMENT")]
        environment: Option<String>,
    },
    /// Leave the prompt; Ctrl-D does too
    #[command(visible_alias = "quit")]
    Exit,
}

/// Returns clap's definition of the commands.
pub(super) fn command_definition() -> Command {
    // One kind of help is enough: subcommands have --help, and `help` accepts their names too.
    let mut command = PromptCommand::command().mut_subcommands(|below| below.disable_help_subcommand(true));
    command.build();
    command
}
