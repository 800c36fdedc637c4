//! The command line.

mod check;
mod control;
mod operate;
mod people;
mod pki;
mod remote;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::check::Check;
pub(crate) use self::control::Control;
pub(crate) use self::operate::{Events, Logs, Maintenance, MaintenanceChange, MaintenanceWish};
pub(crate) use self::people::{Entry, People};
pub(crate) use self::pki::{Pki, PkiCommand};
pub(crate) use self::remote::{Place, Remote, Target};

/// What runs on the platform, what does not, what that breaks; and start and stop.
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
  rta stop kafka server --env DEV   names with spaces need no quotes
  rta restart --env DEV --plan      what a restart of DEV would do, step by step; nothing is done
  rta maintenance on --host h1 --for 2h --reason \"new disks\"
  rta events --since 2h             what happened, and who asked for it
  rta learn --match kafka.Kafka     a component for the configuration, from the process that runs
  rta shell                         the prompt"
)]
pub(crate) struct Arguments {
    /// The aggregator: https://HOST:7600, or unix:PATH [default: the one on this machine, at
    /// /run/rta/aggregator.sock, else at rta/aggregator.sock in $XDG_RUNTIME_DIR]
    #[arg(long, global = true, env = "RTA_AGGREGATOR", value_name = "URL")]
    pub(crate) aggregator: Option<String>,
    #[command(flatten)]
    pub(crate) tls: Tls,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Who the command says that it is to an aggregator at an https:// address, and whom it believes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Tls {
    /// The CA of an aggregator at an https:// address
    #[arg(long, global = true, env = "RTA_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Your certificate, made with rta pki user; what you ask for is recorded under its name
    #[arg(long, global = true, env = "RTA_CERT", value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's key
    #[arg(long, global = true, env = "RTA_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// A file with your token, made with rta user token, in place of a certificate
    #[arg(long, global = true, env = "RTA_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Remote(Remote),
    /// The prompt; commands can also come from a pipe, one a line
    Shell,
    /// A script that lets a shell complete commands, flags and names; bash: source <(rta completions bash)
    Completions {
        /// The shell that the script is for
        #[arg(value_name = "SHELL", value_enum)]
        shell: CompletedShell,
    },
    /// One line and an exit code for cron and Nagios: down is critical (2), else unknown is unknown (3), else
    /// degraded is a warning (1)
    #[command(version)]
    Check(Check),
    /// Why a component is or is not matched: the processes that come nearest to its criteria
    Explain {
        #[command(flatten)]
        target: Target,
        /// Look at this machine, without agent and aggregator
        #[arg(long, requires = "config")]
        local: bool,
        /// With --local: the folder of the platform's configuration
        #[arg(long, value_name = "DIR", requires = "local")]
        config: Option<PathBuf>,
        /// The explanation as JSON
        #[arg(long)]
        json: bool,
    },
    /// Scan this machine alone: no agent, no aggregator. What its components need on other hosts is unknown. Ends with 0
    /// if all is up, 3 if something is not, 4 if that cannot be told
    Local {
        /// The host whose components are looked for [default: the machine's host name]
        #[arg(value_name = "HOST")]
        host: Option<String>,
        /// The folder of the platform's configuration
        #[arg(long, value_name = "DIR")]
        config: PathBuf,
    },
    /// Propose a component for a running process: the criteria that tell it from all others of this machine
    Learn(Learn),
    /// List the processes of this machine that look like services: they listen, or are Java programs
    Discover(Discover),
    /// The platform's configuration
    #[command(subcommand)]
    Config(Config),
    /// A private CA, and the certificates of hosts and people
    Pki(Pki),
    /// Make entries for the aggregator's file of users: people who sign in to the page, and scripts
    #[command(subcommand)]
    User(People),
    /// The whole system on this machine, with a stand-in process for every component; Ctrl-C ends it
    Demo {
        /// Where to serve the page
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
        web: SocketAddr,
        /// The socket to serve the rta command at [default: where the command looks, else in a temporary folder]
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },
}

/// The shells that can complete.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CompletedShell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Check a configuration: every problem with its place, or a summary
    Check {
        /// The folder
        #[arg(value_name = "DIR", default_value = "config/platform")]
        folder: PathBuf,
    },
    #[command(flatten)]
    Remote(RemoteConfig),
}

/// What of the configuration is asked of the aggregator, from the command line and at the prompt alike.
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteConfig {
    /// Make the aggregator and every agent read its configuration anew; no process is touched, and what is not
    /// right is told and changes nothing
    Reload,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("process").required(true).args(["pid", "text"])))]
pub(crate) struct Learn {
    /// The process
    #[arg(value_name = "PID")]
    pub(crate) pid: Option<u32>,
    /// The process whose command line, its arguments parted by spaces, contains this
    #[arg(long = "match", value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// What to call the component [default: made of its main class, script or configuration file]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) here: Here,
}

#[derive(Debug, Args)]
pub(crate) struct Discover {
    #[command(flatten)]
    pub(crate) here: Here,
    /// The list as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Only what has run for so long
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) min_age: jiff::SignedDuration,
}

/// What is known of this machine.
#[derive(Debug, Args)]
pub(crate) struct Here {
    /// The folder of the platform's configuration: its variables are used, its components' processes known
    #[arg(long, value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,
    /// With --config: the host that this machine is [default: the machine's host name]
    #[arg(long, value_name = "NAME", requires = "config", value_parser = remote::given)]
    pub(crate) host: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
