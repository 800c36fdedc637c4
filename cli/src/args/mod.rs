//! Command line arguments.

mod action;
mod check;
mod operate;
mod pki;
mod remote;
#[cfg(feature = "standalone")]
mod store;
#[cfg(feature = "standalone")]
mod user;
mod what_if;

#[cfg(feature = "standalone")]
use std::net::SocketAddr;
use std::path::PathBuf;

#[cfg(feature = "standalone")]
use clap::ArgGroup;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::action::{ActionArgs, ActionCommand};
pub(crate) use self::check::CheckArgs;
#[cfg(test)]
pub(crate) use self::operate::SinceTime;
pub(crate) use self::operate::{
    EventsArgs, IncidentsArgs, LogsArgs, MaintenanceArgs, MaintenanceCommand, MaintenancePlanArgs,
    MaintenanceTarget, NotifyCommand,
};
pub(crate) use self::pki::{PkiArgs, PkiCommand};
pub(crate) use self::remote::{ListArgs, PlaceArgs, RemoteCommand, TargetArgs};
#[cfg(feature = "standalone")]
pub(crate) use self::store::StoreCommand;
#[cfg(feature = "standalone")]
pub(crate) use self::user::{TokenArgs, UserCommand, UserEntryArgs};
pub(crate) use self::what_if::WhatIfCommand;

/// Show what runs on the platform, what does not and what that breaks; start and stop components.
#[derive(Debug, Parser)]
#[command(
    name = "rta",
    version,
    after_help = "\
Exit codes:
  0  done; for status: everything is up
  1  a start, stop or restart was refused, or not every step of it was done;
     not every place took a reload; in a shell that reads a pipe: one of the
     commands failed; learn: the process cannot be told from others
  2  wrong usage, or a broken configuration; learn: the text is that of several processes
  3  status and local: something is not up; explain: no process matches
  4  the aggregator does not answer or was lost in the middle, or a name or process is not known
check has the exit codes of Nagios plugins: 0 ok, 1 warning, 2 critical, 3 unknown,
which is also that of wrong usage, --help and --version.

Examples:
  rta demo                          the whole system on this machine, with stand-ins
  rta status --env DEV              what is up in DEV, what is not, and why
  rta list --health bad             everything that is not up
  rta stop kafka server --env DEV   names with spaces need no quotes
  rta restart --env DEV --plan      what a restart of DEV would do, step by step; nothing is done
  rta what-if stop kafka server     what would be down or degraded then, and why; nothing is done
  rta maintenance on --host h1 --for 2h --reason \"new disks\"
  rta events --since 2h             what happened, and who asked for it
  rta incidents --open              what is not over, each cause on one line
  rta learn --match kafka.Kafka     a component for the configuration, from the process that runs
  rta shell                         the prompt"
)]
pub(crate) struct CliArgs {
    /// Aggregator: https://HOST:7600, or unix:PATH [default: the one on this machine, at
    /// /run/rta/aggregator.sock, else at rta/aggregator.sock in $XDG_RUNTIME_DIR]
    #[arg(long, global = true, env = "RTA_AGGREGATOR", value_name = "URL")]
    pub(crate) aggregator: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

/// Client credentials and trusted CA, for an aggregator at an https:// address.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TlsArgs {
    /// CA certificate of an aggregator at an https:// address
    #[arg(long, global = true, env = "RTA_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Your certificate, made with rta pki user; your requests are recorded under its name
    #[arg(long, global = true, env = "RTA_CERT", value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of the certificate
    #[arg(long, global = true, env = "RTA_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// File with your token, made with rta user token; replaces a certificate
    #[arg(long, global = true, env = "RTA_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    #[command(flatten)]
    Remote(RemoteCommand),
    /// Interactive prompt; also reads commands from a pipe, one per line
    Shell,
    /// Print a script that lets a shell complete commands, flags and names; bash: source
    /// <(rta completions bash)
    Completions {
        /// Target shell of the script
        #[arg(value_name = "SHELL", value_enum)]
        shell: CompletionShell,
    },
    /// Print one line and an exit code for cron and Nagios: down is critical (2), else unknown is unknown
    /// (3), else degraded is a warning (1)
    #[command(version)]
    Check(CheckArgs),
    /// Explain why a component is or is not matched: show the processes closest to its criteria
    Explain {
        #[command(flatten)]
        target: TargetArgs,
        /// Inspect this machine, without an agent or aggregator
        #[cfg(feature = "standalone")]
        #[arg(long, requires = "config")]
        local: bool,
        /// With --local: folder of the platform's configuration
        #[cfg(feature = "standalone")]
        #[arg(long, value_name = "DIR", requires = "local")]
        config: Option<PathBuf>,
        /// Print the explanation as JSON
        #[arg(long)]
        json: bool,
    },
    /// Scan only this machine, without an agent or aggregator. Dependencies on other hosts are unknown. Exits
    /// with 0 if everything is up, 3 if something is not, 4 if the state cannot be determined
    #[cfg(feature = "standalone")]
    Local {
        /// Host whose components to look for [default: the machine's host name]
        #[arg(value_name = "HOST")]
        host: Option<String>,
        /// Folder of the platform's configuration
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
    },
    /// Propose a component for a running process: criteria that distinguish it from all
    /// others on this machine
    #[cfg(feature = "standalone")]
    Learn(LearnArgs),
    /// List the processes of this machine that look like services: they listen on a port or are Java programs
    #[cfg(feature = "standalone")]
    Discover(DiscoverArgs),
    /// Check or reload the platform's configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Manage a private CA and the certificates of hosts and people
    Pki(PkiArgs),
    /// Create entries for the aggregator's users file: people who sign in to the page, and scripts
    #[cfg(feature = "standalone")]
    #[command(subcommand)]
    User(UserCommand),
    /// Work on the aggregator's store while no aggregator uses it
    #[cfg(feature = "standalone")]
    #[command(subcommand)]
    Store(StoreCommand),
    /// Run the whole system on this machine, with a stand-in process for every component; Ctrl-C ends it
    #[cfg(feature = "standalone")]
    Demo {
        /// Address to serve the page on
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
        web: SocketAddr,
        /// Socket to serve the rta command on [default: where the command looks, else in a temporary folder]
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },
}

/// Shells with completion support.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CompletionShell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a configuration: report every problem with its location, or a summary
    Check {
        /// Folder of the configuration
        #[arg(value_name = "DIR", default_value = "config/platform")]
        folder: PathBuf,
    },
    #[command(flatten)]
    Remote(RemoteConfigCommand),
}

/// Configuration commands that the aggregator executes, from the command line and at the prompt.
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteConfigCommand {
    /// Make the aggregator and every agent reload their configuration; no process is touched, and an invalid
    /// configuration is reported and changes nothing
    Reload,
}

#[cfg(feature = "standalone")]
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("process").required(true).args(["pid", "text"])))]
pub(crate) struct LearnArgs {
    /// Process ID
    #[arg(value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// Text in the process's command line, with its arguments separated by spaces
    #[arg(long = "match", value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// Name of the component [default: derived from its main class, script or configuration file]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) here: LocalConfigArgs,
}

#[cfg(feature = "standalone")]
#[derive(Debug, Args)]
pub(crate) struct DiscoverArgs {
    #[command(flatten)]
    pub(crate) here: LocalConfigArgs,
    /// Print the list as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Only processes that have run for at least this long
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) min_age: jiff::SignedDuration,
}

/// Optional configuration that describes this machine.
#[cfg(feature = "standalone")]
#[derive(Debug, Args)]
pub(crate) struct LocalConfigArgs {
    /// Folder of the platform's configuration: provides variables and identifies the
    /// processes of known components
    #[arg(long, value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,
    /// With --config: the host that this machine is [default: the machine's host name]
    #[arg(long, value_name = "NAME", requires = "config", value_parser = remote::parse_name)]
    pub(crate) host: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        CliArgs::command().debug_assert();
    }
}
