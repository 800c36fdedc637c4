//! What is asked of the aggregator, from the command line and at the prompt alike.

use clap::{Args, Subcommand};

use super::{Control, Events, Logs, Maintenance};

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
    /// The status, live, until q or Ctrl-C; in a pipe a line for each change of health
    Watch {
        /// Only this component
        #[arg(value_name = "NAME")]
        name: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Every component with its state
    List {
        #[command(flatten)]
        place: Place,
        /// The overview as JSON
        #[arg(long)]
        json: bool,
    },
    /// Start components, and before them what they need and that is not up
    Start(Control),
    /// Stop components, and before them what needs them
    Stop(Control),
    /// Restart components; what needs them and runs is stopped before and started again
    Restart(Control),
    /// What is worked on, so that nobody is alerted and nothing is started by itself
    Maintenance(Maintenance),
    /// What happened, the newest last
    Events(Events),
    /// The end of a component's own log, and with --follow what is written to it
    Logs(Logs),
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
    /// Environment, host and component; empty where not said.
    pub(crate) fn parts(&self) -> (String, String, String) {
        parts(&self.name, &self.place)
    }
}

/// Environment, host and component of a name that is typed in one word or in several; empty where not said. A
/// full name says them before the flags do.
pub(super) fn parts(name: &[String], place: &Place) -> (String, String, String) {
    let name = name.join(" ");
    let mut parts = name.rsplitn(3, '/').map(str::trim);
    let component = parts.next().unwrap_or_default().to_owned();
    let or_flag = |part: Option<&str>, flag: &Option<String>| match part {
        Some(part) => part.to_owned(),
        None => flag.clone().unwrap_or_default(),
    };
    let host = or_flag(parts.next(), &place.host);
    let environment = or_flag(parts.next(), &place.env);
    (environment, host, component)
}
