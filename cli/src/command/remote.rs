//! What is asked of the aggregator, from the command line and at the prompt alike.

use clap::{Args, Subcommand};
use rta_shared::text::printable;

use super::{Control, Events, Logs, Maintenance};
use crate::exit::{Failure, USAGE};

/// What is asked of the aggregator, from the command line and at the prompt alike.
#[derive(Debug, Subcommand)]
pub(crate) enum Remote {
    /// A verdict, the root causes, and every component
    Status {
        /// Only this component
        #[arg(value_name = "NAME", value_parser = given)]
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
        #[arg(value_name = "NAME", value_parser = given)]
        name: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Every component with its state
    List {
        #[command(flatten)]
        place: Place,
        /// Also the users that the processes act for
        #[arg(short, long, conflicts_with = "json")]
        verbose: bool,
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
    #[arg(long, value_name = "NAME", value_parser = given)]
    pub(crate) env: Option<String>,
    /// Only this host
    #[arg(long, value_name = "NAME", value_parser = given)]
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
    ///
    /// # Errors
    /// The name has an empty part.
    pub(crate) fn parts(&self) -> Result<(String, String, String), Failure> {
        parts(&self.name, &self.place)
    }
}

/// A name that is not empty, without the spaces around it: a script's variable that is not set must not widen
/// what is asked for to everything.
pub(super) fn given(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is empty; leave the flag out, or write a name".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// Environment, host and component of a name that is typed in one word or in several; empty where not said. A
/// full name says them before the flags do.
///
/// # Errors
/// The name has an empty part, which would mean any.
pub(super) fn parts(name: &[String], place: &Place) -> Result<(String, String, String), Failure> {
    let flag = |flag: &Option<String>| flag.clone().unwrap_or_default();
    if name.is_empty() {
        return Ok((flag(&place.env), flag(&place.host), String::new()));
    }
    let name = name.join(" ");
    let parts: Vec<&str> = name.rsplitn(3, '/').map(str::trim).collect();
    if parts.contains(&"") {
        let shown = printable(&name);
        let what = match parts.first() {
            Some(&"") => "no component",
            _ => "an empty part",
        };
        return Err(Failure::new(
            USAGE,
            format!(
                "the name \"{shown}\" has {what}; write COMPONENT, HOST/COMPONENT or ENVIRONMENT/HOST/COMPONENT, \
                 and for all of a host or environment no name, but --host or --env"
            ),
        ));
    }
    let part = |at: usize, otherwise: String| parts.get(at).map_or(otherwise, |part| (*part).to_owned());
    Ok((part(2, flag(&place.env)), part(1, flag(&place.host)), part(0, String::new())))
}
