//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::logs::Logs;
use clap::{ArgGroup, Args, Parser, Subcommand};

/// What runs on the platform, what does not, what that breaks; and start and stop.
#[derive(Debug, Parser)]
#[command(
    name = "rta",
    version,
    after_help = "\
Exit codes:
  0  done; for status: everything is up
  1  a start or stop was refused or failed, or not every place took a reload; in a shell that reads a pipe:
     one of the commands failed; learn: the process cannot be told from others
  2  wrong usage, or a broken configuration; learn: the text is that of several processes
  3  status and local: something is not up; explain: no process matches
  4  the aggregator does not answer, or a name or process is not known
check has the exit codes of Nagios plugins: 0 ok, 1 warning, 2 critical, 3 unknown.

Examples:
  rta demo                          the whole system on this machine, with stand-ins
  rta status --env DEV              what is up in DEV, what is not, and why
  rta stop kafka server --env DEV   names with spaces need no quotes
  rta learn --match kafka.Kafka     a component for the configuration, from the process that runs
  rta shell                         the prompt"
)]
pub(crate) struct Arguments {
    /// The aggregator
    #[arg(
        long,
        global = true,
        env = "RTA_AGGREGATOR",
        value_name = "URL",
        default_value = "http://127.0.0.1:7600"
    )]
    pub(crate) aggregator: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Remote(Remote),
    /// The end of a component's own log, and what is written to it
    Logs(Logs),
    /// The prompt; commands can also come from a pipe, one a line
    Shell,
    /// One line and an exit code for cron and Nagios: down is critical (2), else unknown is unknown (3), else
    /// degraded is a warning (1)
    Check(Place),
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
    /// Scan this machine alone: no agent, no aggregator
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
    /// The whole system on this machine, with a stand-in process for every component; Ctrl-C ends it
    Demo {
        /// Where to serve the page
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
        web: SocketAddr,
        /// Where to serve the rta command
        #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7600")]
        grpc: SocketAddr,
    },
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
    #[arg(long, value_name = "NAME", requires = "config")]
    pub(crate) host: Option<String>,
}

/// What is asked of the aggregator, from the command line and at the prompt alike.
#[derive(Debug, Subcommand)]
pub(crate) enum Remote {
    /// A verdict, the root causes, and every component
    Status {
        /// Only this component
        #[arg(value_name = "NAME")]
        name: Vec<String>,
        #[command(flatten)]
        place: Place,
        /// Also each agent, how it watches, and what its host and the processes use
        #[arg(short, long, conflicts_with = "json")]
        verbose: bool,
        /// The overview as JSON
        #[arg(long)]
        json: bool,
    },
    /// Every component with its state
    List {
        #[command(flatten)]
        place: Place,
        /// The overview as JSON
        #[arg(long)]
        json: bool,
    },
    /// Start a component
    Start(Target),
    /// Stop a component
    Stop(Target),
    /// Make every agent scan now, and show the result
    Refresh,
}

/// Narrows to an environment or a host.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Place {
    /// Only this environment
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Only this host
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The component; ENVIRONMENT/HOST/COMPONENT is understood too
    #[arg(value_name = "NAME", required = true)]
    pub(crate) name: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Target {
    /// Environment, host and component; empty where not said. A full name says them before the flags do.
    pub(crate) fn parts(&self) -> (String, String, String) {
        let name = self.name.join(" ");
        let mut parts = name.rsplitn(3, '/').map(str::trim);
        let component = parts.next().unwrap_or_default().to_owned();
        let or_flag = |part: Option<&str>, flag: &Option<String>| match part {
            Some(part) => part.to_owned(),
            None => flag.clone().unwrap_or_default(),
        };
        let host = or_flag(parts.next(), &self.place.host);
        let environment = or_flag(parts.next(), &self.place.env);
        (environment, host, component)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn names_need_no_quotes_and_full_names_are_understood() {
        let parts = |line: &str| match Arguments::parse_from(line.split(' ')).command {
            Command::Remote(Remote::Stop(target)) => target.parts(),
            other => panic!("{other:?}"),
        };
        let of = |environment: &str, host: &str| {
            (environment.to_owned(), host.to_owned(), "kafka server".to_owned())
        };
        assert_eq!(parts("rta stop kafka server"), of("", ""));
        assert_eq!(parts("rta stop kafka server --env DEV --host h"), of("DEV", "h"));
        assert_eq!(parts("rta stop h/kafka server --env DEV"), of("DEV", "h"));
        assert_eq!(parts("rta stop DEV/h/kafka server"), of("DEV", "h"));
    }
}
