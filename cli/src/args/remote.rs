//! Commands that the aggregator answers, from the command line and at the prompt.

use clap::{Args, Subcommand, ValueEnum};
use rta_shared::overview::Health;
use rta_shared::selector::Selector;

use super::{
    ActionCommand, EventsArgs, IncidentsArgs, LogsArgs, MaintenanceArgs, NotifyCommand, WhatIfCommand,
};
use crate::exit::{CommandFailure, USAGE};

/// Command that the aggregator answers, from the command line or at the prompt.
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteCommand {
    /// Show a verdict, the root causes, and every component; of very many, one screen
    Status {
        /// Only this component: name, alias, part of a name, or ENVIRONMENT/HOST/COMPONENT
        #[arg(value_name = "NAME", value_parser = parse_name)]
        name: Vec<String>,
        #[command(flatten)]
        place: PlaceArgs,
        /// Show every component, each agent, how it watches, and the usage of its host and processes
        #[arg(short, long, conflicts_with = "json")]
        verbose: bool,
        /// Print the overview as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the live status until q or Ctrl-C; in a pipe, print a line for each change of health
    Watch {
        /// Only this component: name, alias, part of a name, or ENVIRONMENT/HOST/COMPONENT
        #[arg(value_name = "NAME", value_parser = parse_name)]
        name: Vec<String>,
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// List components with their state; on a terminal, a page at a time
    List(ListArgs),
    #[command(flatten)]
    Act(ActionCommand),
    /// Show what would be down, degraded or unknown after an action or without a host; nothing is done
    #[command(subcommand)]
    WhatIf(WhatIfCommand),
    /// Show or change maintenance, which suppresses alerts and automatic starts
    Maintenance(MaintenanceArgs),
    /// Show events, newest last, with --follow also new ones
    Events(EventsArgs),
    /// Show incidents, newest last: what had one cause, from its begin to its end; with a number its events
    Incidents(IncidentsArgs),
    /// Show the end of a component's own log, with --follow also new lines
    Logs(LogsArgs),
    /// Show, test and try out notifications
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Make every agent scan now, and show the result
    Refresh,
}

/// Arguments of `rta list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Only components with this health; bad: all that is not up
    #[arg(long, value_name = "HEALTH", value_enum, ignore_case = true)]
    pub(crate) health: Option<HealthFilter>,
    /// Show at most this many components [default: 200 on a terminal, else all]
    #[arg(long, value_name = "COUNT", conflicts_with = "json")]
    pub(crate) limit: Option<usize>,
    /// Leave out this many components at the start
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 0,
        hide_default_value = true,
        conflicts_with = "json"
    )]
    pub(crate) offset: usize,
    /// Also show the users that the processes run as
    #[arg(short, long, conflicts_with_all = ["json", "json_lines"])]
    pub(crate) verbose: bool,
    /// Print the overview as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print one JSON object a line for each component
    #[arg(long, conflicts_with = "json")]
    pub(crate) json_lines: bool,
}

/// Health by which a list is restricted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HealthFilter {
    Up,
    Degraded,
    Unknown,
    Down,
    // Everything that is not up.
    Bad,
}

impl HealthFilter {
    /// Returns true if a component of this health is shown.
    pub(crate) fn shows(self, health: Health) -> bool {
        match self {
            Self::Up => health == Health::Up,
            Self::Degraded => health == Health::Degraded,
            Self::Unknown => health == Health::Unknown,
            Self::Down => health == Health::Down,
            Self::Bad => health != Health::Up,
        }
    }
}

/// Restriction to an environment or a host.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PlaceArgs {
    /// Only this environment
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) env: Option<String>,
    /// Only this host
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) host: Option<String>,
}

impl PlaceArgs {
    /// Returns the selector for a name typed as one word or several; without a name, for all of the place. A
    /// full name takes precedence over the flags.
    ///
    /// # Errors
    /// Returns an error if the name has a blank part, which would match anything.
    pub(crate) fn selector(&self, name: &[String]) -> Result<Selector, CommandFailure> {
        let typed = name.join(" ");
        if !name.is_empty() && typed.trim().is_empty() {
            let message = "the name of the component is blank; for all of a host or environment leave it out";
            return Err(CommandFailure::new(USAGE, message));
        }
        let flag = |flag: &Option<String>| flag.clone().unwrap_or_default();
        let whole = Selector { environment: flag(&self.env), host: flag(&self.host), component: typed };
        Ok(whole.split()?)
    }
}

#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// Component: name, alias, part of a name, or ENVIRONMENT/HOST/COMPONENT
    #[arg(value_name = "NAME", required = true)]
    pub(crate) name: Vec<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

impl TargetArgs {
    /// Returns the selector of the instance.
    ///
    /// # Errors
    /// Returns an error if the name has a blank part.
    pub(crate) fn selector(&self) -> Result<Selector, CommandFailure> {
        self.place.selector(&self.name)
    }
}

/// Returns the name without surrounding spaces, or an error if it is empty: an unset variable in a script
/// must not widen the selection to everything.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is empty; leave the flag out, or write a name".to_owned()),
        name => Ok(name.to_owned()),
    }
}
