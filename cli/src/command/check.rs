//! The flags of check, which are those of Nagios plugins
//! (<https://nagios-plugins.org/doc/guidelines.html#PLUGOPTIONS>).

use clap::Args;

use super::Place;
use crate::thresholds::{Threshold, Thresholds};

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) place: Place,
    /// A warning where the number of instances that are down is outside this range (2: more than 2, 1:5, ~:5, @1:5), or
    /// with a label another one: degraded=2, unknown=0, up=10:. May be given more than once
    #[arg(short, long, value_name = "[LABEL=]RANGE")]
    warning: Vec<Threshold>,
    /// The same for critical. The numbers that have a threshold are judged by it alone
    #[arg(short, long, value_name = "[LABEL=]RANGE")]
    critical: Vec<Threshold>,
    /// After so many seconds without an answer it is unknown
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    /// A line for each root cause, below the first
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Check {
    pub(crate) fn thresholds(&self) -> Thresholds {
        Thresholds { warning: self.warning.clone(), critical: self.critical.clone() }
    }
}
