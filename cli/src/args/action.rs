//! Flags of start, stop and restart.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Subcommand};
use jiff::SignedDuration;
use rta_shared::action::ActionKind;
use rta_shared::plan::{ActionRequest, GateCondition, RollingRestart};
use rta_shared::selector::Selector;

use super::PlaceArgs;
use super::remote::parse_name;
use crate::exit::CommandFailure;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["name", "host", "env", "role", "all", "stopped_by"])))]
pub(crate) struct ActionArgs {
    /// Component, or ENVIRONMENT/HOST/COMPONENT; without it: every component of the host or environment
    #[arg(value_name = "NAME")]
    pub(crate) name: Vec<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Select every instance that matches the other arguments; alone: everything
    #[arg(long)]
    pub(crate) all: bool,
    /// For start: the instances that the plan with this number stopped and that have not run since
    #[arg(long, value_name = "PLAN", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) stopped_by: Option<u64>,
    /// Only the hosts with this role
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) role: Option<String>,
    /// For restart: go batch by batch over the hosts, with this number of hosts in a batch; selects every
    /// instance that matches, and stops at the first failure
    #[arg(long, value_name = "HOSTS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: Option<u32>,
    /// With --batch: time for which the gate must hold between two batches
    #[arg(long, value_name = "TIME", requires = "batch", value_parser = parse_pause)]
    pub(crate) pause: Option<SignedDuration>,
    /// With --batch: condition for the next batch: up, or probe, which needs a configured probe [default: up]
    #[arg(long, value_name = "CONDITION", requires = "batch", value_parser = gate_parser())]
    pub(crate) gate: Option<GateCondition>,
    /// Show the plan, step by step, without executing it
    #[arg(long)]
    pub(crate) plan: bool,
    /// Skip the confirmation, whatever the plan stops and whichever unnamed instances it touches
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Act on the named instances only; ignore their dependencies and dependents
    #[arg(long)]
    pub(crate) no_dependencies: bool,
    /// After a failure, continue with the steps that do not depend on the failed one
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Maximum number of steps in progress at once [default: the aggregator's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) parallel: Option<u32>,
    /// Print the plan as JSON, and its progress as one object per line
    #[arg(long)]
    pub(crate) json: bool,
}

impl ActionArgs {
    /// Returns the request for the aggregator.
    ///
    /// # Errors
    /// Returns an error if the name has an empty part: a typing mistake must not stop a whole host.
    pub(crate) fn action_request(&self) -> Result<ActionRequest, CommandFailure> {
        let Selector { environment, host, component } = self.place.selector(&self.name)?;
        Ok(ActionRequest {
            component,
            environment,
            host,
            role: self.role.clone().unwrap_or_default(),
            all: self.all || self.batch.is_some(),
            no_dependencies: self.no_dependencies,
            stopped_by: self.stopped_by.unwrap_or_default(),
            rolling: self.batch.map(|batch| RollingRestart {
                batch,
                pause: self.pause.unwrap_or_default(),
                condition: self.gate.unwrap_or(GateCondition::Up),
            }),
        })
    }
}

fn parse_pause(text: &str) -> Result<SignedDuration, String> {
    let pause: SignedDuration = text.parse().map_err(|_| "write for example 30s or 5m".to_owned())?;
    if pause.is_negative() { Err("it must not be negative".to_owned()) } else { Ok(pause) }
}

/// Returns the parser of a gate, which also lists the words for completion.
fn gate_parser() -> impl TypedValueParser<Value = GateCondition> {
    PossibleValuesParser::new(GateCondition::ALL.map(GateCondition::word))
        .try_map(|word| GateCondition::from_word(&word).ok_or("write up or probe"))
}

/// Command that begins an action.
#[derive(Debug, Subcommand)]
pub(crate) enum ActionCommand {
    /// Start components, and first those of their dependencies that are not up
    Start(ActionArgs),
    /// Stop components, and first those that depend on them
    Stop(ActionArgs),
    /// Restart components; running dependents are stopped first and started again
    Restart(ActionArgs),
}

impl ActionCommand {
    /// Returns the action and its arguments.
    pub(crate) fn parts(&self) -> (ActionKind, &ActionArgs) {
        match self {
            Self::Start(arguments) => (ActionKind::Start, arguments),
            Self::Stop(arguments) => (ActionKind::Stop, arguments),
            Self::Restart(arguments) => (ActionKind::Restart, arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{CliArgs, CliCommand, RemoteCommand};

    fn parse_stop(line: &str) -> Option<Result<ActionRequest, CommandFailure>> {
        match CliArgs::try_parse_from(line.split(' ')).ok()?.command {
            CliCommand::Remote(RemoteCommand::Act(command)) => Some(command.parts().1.action_request()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_need_no_quotes_and_full_names_are_understood() {
        let of = |environment: &str, host: &str| ActionRequest {
            component: "kafka server".to_owned(),
            environment: environment.to_owned(),
            host: host.to_owned(),
            ..ActionRequest::default()
        };
        for (line, expected) in [
            ("rta stop kafka server", of("", "")),
            ("rta stop kafka server --env DEV --host h", of("DEV", "h")),
            ("rta stop h/kafka server --env DEV", of("DEV", "h")),
            ("rta stop DEV/h/kafka server", of("DEV", "h")),
        ] {
            assert_eq!(parse_stop(line).unwrap().unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn batches_select_every_host_of_the_role() {
        let line = "rta restart kafka server --role main-analytic --batch 1 --pause 30s --gate probe";
        let request = parse_stop(line).unwrap().unwrap();
        let pause = SignedDuration::from_secs(30);
        let rolling = RollingRestart { batch: 1, pause, condition: GateCondition::Probe };
        assert_eq!(
            (request.role.as_str(), request.all, request.rolling),
            ("main-analytic", true, Some(rolling))
        );
        let request = parse_stop("rta restart --role main --batch 2").unwrap().unwrap();
        let rolling = RollingRestart { batch: 2, pause: SignedDuration::ZERO, condition: GateCondition::Up };
        assert_eq!((request.component.as_str(), request.rolling), ("", Some(rolling)));
        for wrong in
            ["--pause 3s", "--gate up", "--batch 0", "--batch 1 --gate perhaps", "--batch 1 --pause=-3s"]
        {
            assert!(parse_stop(&format!("rta restart kafka {wrong}")).is_none(), "{wrong}");
        }
    }

    #[test]
    fn everything_is_meant_only_where_that_is_said() {
        assert!(parse_stop("rta stop").is_none());
        assert!(parse_stop("rta stop --yes").is_none());
        for empty in ["DEV/h/", "/h/kafka", "DEV//kafka", "/kafka", "h/", "/"] {
            assert!(parse_stop(&format!("rta stop {empty} --yes")).unwrap().is_err(), "{empty}");
        }
        // Empty names come from unset variables of scripts.
        let unset = |words: &[&str]| CliArgs::try_parse_from(words).is_err();
        for flag in ["--host", "--env"] {
            let other = if flag == "--host" { "--env" } else { "--host" };
            for empty in ["", " "] {
                assert!(unset(&["rta", "stop", other, "DEV", flag, empty, "--yes"]), "{flag}");
                assert!(unset(&["rta", "maintenance", "on", other, "DEV", flag, empty]), "{flag}");
                assert!(unset(&["rta", "stop", other, "DEV", flag, empty, "--yes"]), "{flag}");
                assert!(unset(&["rta", "maintenance", "on", other, "DEV", flag, empty]), "{flag}");
                assert!(unset(&["rta", "check", flag, empty]) && unset(&["rta", "status", empty]), "{flag}");
                assert!(unset(&["rta", "events", flag, empty]), "{flag}");
            }
            assert!(unset(&["rta", "stop", &format!("{flag}="), "--all"]), "{flag}");
        }
        let no_name = CliArgs::try_parse_from(["rta", "stop", "", "--env", "DEV"]).unwrap();
        assert!(
            matches!(no_name.command, CliCommand::Remote(RemoteCommand::Act(stop)) if stop.parts().1.action_request().is_err())
        );
        assert!(parse_stop("rta stop --all").unwrap().unwrap().all);
        let host = parse_stop("rta stop --host h").unwrap().unwrap();
        assert_eq!((host.host.as_str(), host.component.as_str(), host.all), ("h", "", false));
    }
}
