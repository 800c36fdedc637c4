//! Flags of `rta what-if`.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use rta_shared::action::ActionKind;
use rta_shared::plan::ActionRequest;
use rta_shared::selector::Selector;
use rta_shared::what_if::WhatIfAssumption;

use super::PlaceArgs;
use super::remote::parse_name;
use crate::exit::CommandFailure;

/// Assumption of `rta what-if`.
#[derive(Debug, Subcommand)]
pub(crate) enum WhatIfCommand {
    /// Assume that components were started, with those of their dependencies that are not up
    Start(AssumedActionArgs),
    /// Assume that components were stopped, with those that depend on them
    Stop(AssumedActionArgs),
    /// Assume that a host were down: its agent does not answer
    Host {
        /// Host
        #[arg(value_name = "HOST", value_parser = parse_name)]
        host: String,
        /// Assumed state of the host
        #[arg(value_name = "STATE", value_enum, default_value_t = AssumedHostState::Down)]
        state: AssumedHostState,
        /// Only this environment
        #[arg(long, value_name = "NAME", value_parser = parse_name)]
        env: Option<String>,
        /// Print the differences and the whole overview as JSON
        #[arg(long)]
        json: bool,
    },
}

/// States of a host that can be assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AssumedHostState {
    /// Its agent does not answer.
    Down,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["name", "host", "env", "all"])))]
pub(crate) struct AssumedActionArgs {
    /// Component, or ENVIRONMENT/HOST/COMPONENT; without it: every component of the host or environment
    #[arg(value_name = "NAME")]
    pub(crate) name: Vec<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Select every instance that matches the other arguments; alone: everything
    #[arg(long)]
    pub(crate) all: bool,
    /// Assume the action on the named instances only; leave out their dependencies and dependents
    #[arg(long)]
    pub(crate) no_dependencies: bool,
    /// Print the differences and the whole overview as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl AssumedActionArgs {
    fn assumption(&self, kind: ActionKind) -> Result<WhatIfAssumption, CommandFailure> {
        let Selector { environment, host, component } = self.place.selector(&self.name)?;
        let (all, no_dependencies) = (self.all, self.no_dependencies);
        let request =
            ActionRequest { component, environment, host, all, no_dependencies, ..ActionRequest::default() };
        Ok(WhatIfAssumption::Action(kind, request))
    }
}

impl WhatIfCommand {
    /// Returns the assumption for the aggregator.
    ///
    /// # Errors
    /// Returns an error if the name has an empty part.
    pub(crate) fn assumption(&self) -> Result<WhatIfAssumption, CommandFailure> {
        match self {
            Self::Start(arguments) => arguments.assumption(ActionKind::Start),
            Self::Stop(arguments) => arguments.assumption(ActionKind::Stop),
            Self::Host { host, state: AssumedHostState::Down, env, .. } => Ok(WhatIfAssumption::HostDown {
                environment: env.clone().unwrap_or_default(),
                host: host.clone(),
            }),
        }
    }

    /// Returns true if the answer is printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Start(arguments) | Self::Stop(arguments) => arguments.json,
            Self::Host { json, .. } => *json,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{CliArgs, CliCommand, RemoteCommand};

    fn parse(line: &str) -> Option<WhatIfAssumption> {
        match CliArgs::try_parse_from(line.split(' ')).ok()?.command {
            CliCommand::Remote(RemoteCommand::WhatIf(command)) => Some(command.assumption().unwrap()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn actions_and_hosts_are_assumed_as_they_are_said() {
        let request = ActionRequest {
            component: "kafka server".to_owned(),
            environment: "DEV".to_owned(),
            ..ActionRequest::default()
        };
        for (word, kind) in [("stop", ActionKind::Stop), ("start", ActionKind::Start)] {
            let line = format!("rta what-if {word} kafka server --env DEV");
            assert_eq!(parse(&line), Some(WhatIfAssumption::Action(kind, request.clone())));
        }
        let host = WhatIfAssumption::HostDown { environment: String::new(), host: "c9t17308".to_owned() };
        assert_eq!(parse("rta what-if host c9t17308 down"), Some(host.clone()));
        assert_eq!(parse("rta what-if host c9t17308"), Some(host));
        for wrong in
            ["rta what-if stop", "rta what-if host", "rta what-if host h up", "rta what-if restart x"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
