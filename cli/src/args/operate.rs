//! Flags of maintenance, events and logs.

use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args, Subcommand};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rta_shared::event::EventKind;
use rta_shared::planned_maintenance::Recurrence;
use rta_shared::selector::Selector;

use super::remote::parse_name;
use super::{PlaceArgs, TargetArgs};
use crate::exit::CommandFailure;

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// Follow the log across rotations until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Number of last lines to print, at most 10000
    #[arg(
        short = 'n',
        long = "lines",
        value_name = "COUNT",
        default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(0..=10_000)
    )]
    pub(crate) lines: u32,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct MaintenanceArgs {
    #[command(subcommand)]
    pub(crate) change: Option<MaintenanceCommand>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Print the list as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaintenanceCommand {
    /// Start maintenance
    On {
        #[command(flatten)]
        target: MaintenanceTarget,
        /// Duration, for example 2h or 90m; maintenance then ends automatically [default: until it is ended]
        #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
        length: Option<SignedDuration>,
        /// Reason, shown to others
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// End maintenance
    Off {
        #[command(flatten)]
        target: MaintenanceTarget,
    },
    /// Plan maintenance that begins by itself, once or repeatedly
    Plan(MaintenancePlanArgs),
    /// List active and planned maintenance, with the next times
    List {
        /// Print the lists as JSON
        #[arg(long)]
        json: bool,
    },
    /// Cancel planned maintenance; a window that has begun goes on (end it with off)
    Cancel {
        /// Number of the plan, from the list
        #[arg(value_name = "ID")]
        id: u64,
    },
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("begins").required(true).args(["every", "at"])))]
pub(crate) struct MaintenancePlanArgs {
    #[command(flatten)]
    pub(crate) target: MaintenanceTarget,
    /// Days and time of a repeated begin: "sat 02:00", "mon-fri 22:30", "day 04:00", "first sun 02:00"
    #[arg(long, value_name = "RULE", value_parser = parse_rule)]
    pub(crate) every: Option<String>,
    /// Time of a single begin: "2026-12-05 02:00"
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    pub(crate) at: Option<String>,
    /// Duration of each window, for example 2h or 90m
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) length: SignedDuration,
    /// Time zone of the begin, for example Europe/Berlin [default: the aggregator's]
    #[arg(long, value_name = "ZONE", default_value = "", hide_default_value = true)]
    pub(crate) time_zone: String,
    /// Reason, shown to others
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

fn parse_rule(text: &str) -> Result<String, String> {
    Recurrence::parse_every(text).map(|_| text.to_owned())
}

fn parse_at(text: &str) -> Result<String, String> {
    Recurrence::parse_at(text).map(|_| text.to_owned())
}

/// Selection of the instances or hosts in maintenance.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["name", "host", "env", "all"])))]
pub(crate) struct MaintenanceTarget {
    /// Component; without it: the whole host, or every host of the environment
    #[arg(value_name = "NAME")]
    pub(crate) name: Vec<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Select every instance or host that matches the other arguments
    #[arg(long)]
    pub(crate) all: bool,
}

impl MaintenanceTarget {
    /// Returns the selector of the named instances or hosts.
    ///
    /// # Errors
    /// Returns an error if the name has a blank part.
    pub(crate) fn selector(&self) -> Result<Selector, CommandFailure> {
        self.place.selector(&self.name)
    }
}

#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only events since a duration ago, such as 2h, or since a time (UTC), such as 2026-11-25T09:30
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub(crate) since: Option<SinceTime>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Only this component
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    pub(crate) component: Option<String>,
    /// Only this kind; may be given more than once
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(EventKind::ALL.map(EventKind::word)))]
    pub(crate) kind: Vec<String>,
    /// Only events of this plan
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) plan: Option<u64>,
    /// Only events that this person requested
    #[arg(long, value_name = "PERSON", value_parser = parse_name)]
    pub(crate) by: Option<String>,
    /// Only events of this incident
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) incident: Option<u64>,
    /// Maximum number of events, the newest ones; with --follow of those before
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) number: u32,
    /// Then print every new event until Ctrl-C, also after a lost connection
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Print the events as JSON; with --follow one on each line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct IncidentsArgs {
    /// Number of an incident: show it with its events
    #[arg(value_name = "NUMBER", conflicts_with_all = ["open", "since", "env", "by", "number"],
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) id: Option<u64>,
    /// Only incidents that are not over
    #[arg(long)]
    pub(crate) open: bool,
    /// Only incidents that were open since a duration ago, such as 2h, or since a time (UTC), such as 2026-11-25T09:30
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub(crate) since: Option<SinceTime>,
    /// Only incidents of this environment
    #[arg(long, alias = "environment", value_name = "NAME", value_parser = parse_name)]
    pub(crate) env: Option<String>,
    /// Only incidents in which this person acted
    #[arg(long, value_name = "PERSON", value_parser = parse_name)]
    pub(crate) by: Option<String>,
    /// Maximum number of incidents, the newest ones
    #[arg(short = 'n', long = "number", value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) number: u32,
    /// Print the incidents as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// Show the channels, what waits for delivery, and what does not work; exits with 3 if something does not
    Status,
    /// Send a test message to a channel, and wait until it is delivered
    Test {
        /// Name of the channel
        #[arg(value_name = "CHANNEL")]
        channel: String,
    },
    /// Show who would have been notified of what in the recorded past, by the present rules; nothing is sent
    DryRun {
        /// Only events since a duration ago, such as 7d, or since a time (UTC), such as 2026-11-25T09:30
        #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_since)]
        since: SinceTime,
    },
}

/// Moment in the past, relative or absolute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SinceTime {
    Ago(SignedDuration),
    At(Timestamp),
}

impl SinceTime {
    /// Returns the moment, given that the current time is `now`.
    pub(crate) fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(time) => now.checked_sub(time).unwrap_or(Timestamp::MIN),
            Self::At(moment) => moment,
        }
    }
}

/// Parses a duration that is longer than zero.
fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let length: SignedDuration = text.parse().map_err(|_| "write for example 2h or 90m".to_owned())?;
    if length > SignedDuration::ZERO { Ok(length) } else { Err("it must be longer than nothing".to_owned()) }
}

fn parse_since(text: &str) -> Result<SinceTime, String> {
    if let Ok(moment) = text.parse() {
        return Ok(SinceTime::At(moment));
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        let moment = TimeZone::UTC.to_timestamp(civil).map_err(|error| error.to_string())?;
        return Ok(SinceTime::At(moment));
    }
    let days = text.trim().strip_suffix('d').and_then(|days| days.parse::<u16>().ok());
    if let Some(days) = days.filter(|days| *days > 0) {
        return Ok(SinceTime::Ago(SignedDuration::from_hours(i64::from(days) * 24)));
    }
    parse_duration(text).map(SinceTime::Ago).map_err(|_| {
        "write how long ago, for example 2h or 7d, or a time in UTC, for example 2026-11-25T09:30".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_ago_or_a_time_in_utc() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2h", "2026-11-25T10:00:00Z"),
            ("1h 30m", "2026-11-25T10:30:00Z"),
            ("2026-11-25T09:30", "2026-11-25T09:30:00Z"),
            ("2026-11-25", "2026-11-25T00:00:00Z"),
            ("2026-11-25T09:30:00+02:00", "2026-11-25T07:30:00Z"),
        ] {
            let moment = parse_since(text).map(|since| since.moment(now));
            assert_eq!(moment, Ok(expected.parse().unwrap()), "{text}");
        }
        for wrong in ["", "yesterday", "-2h", "0s", "25:00"] {
            assert!(parse_since(wrong).is_err(), "{wrong}");
        }
    }
}
