//! What is asked of the aggregator, from the command line and at the prompt alike.

use clap::{Args, Subcommand};
use rta_shared::selector::Selector;

use super::{Control, Events, Logs, Maintenance};
use crate::exit::{Failure, USAGE};

/// What is asked of the aggregator, from the command line and at the prompt alike.
#[derive(Debug, Subcommand)]
pub(crate) enum Remote {
    /// A verdict, the root causes, and every component
    Status {
        /// Only this component: its name, an alias, ENVIRONMENT/HOST/COMPONENT, or the beginning or a word of a name
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
        /// Only this component: its name, an alias, ENVIRONMENT/HOST/COMPONENT, or the beginning or a word of a name
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

impl Place {
    /// Returns what of the place has a name that is typed in one word or in several; without one, all of the place.
    /// A full name takes precedence over the flags.
    ///
    /// # Errors
    /// Returns an error if the name has a blank part, which would mean any.
    pub(crate) fn selector(&self, name: &[String]) -> Result<Selector, Failure> {
        let typed = name.join(" ");
        if !name.is_empty() && typed.trim().is_empty() {
            let message = "the name of the component is blank; for all of a host or environment leave it out";
            return Err(Failure::new(USAGE, message));
        }
        let flag = |flag: &Option<String>| flag.clone().unwrap_or_default();
        let whole = Selector { environment: flag(&self.env), host: flag(&self.host), component: typed };
        Ok(whole.split()?)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The component: its name, an alias, ENVIRONMENT/HOST/COMPONENT, or the beginning or a word of a name
    #[arg(value_name = "NAME", required = true)]
    pub(crate) name: Vec<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Target {
    /// Returns what is selected.
    ///
    /// # Errors
    /// Returns an error if the name has a blank part.
    pub(crate) fn selector(&self) -> Result<Selector, Failure> {
        self.place.selector(&self.name)
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
