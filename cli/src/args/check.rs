//! Flags of `rta check`, which follow the guidelines for Nagios plugins
//! (<https://nagios-plugins.org/doc/guidelines.html#PLUGOPTIONS>).

use clap::Args;

use super::PlaceArgs;
use crate::thresholds::{AlertThresholds, HealthThreshold};

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Warn if the number of down instances is outside this range (2: more than 2, 1:5, ~:5, @1:5), or with a
    /// label another number: degraded=2, unknown=0, up=10:. May be given more than once
    #[arg(short, long, value_name = "[LABEL=]RANGE")]
    warning: Vec<HealthThreshold>,
    /// Like --warning, for critical. A number that has a threshold is judged by its threshold alone
    #[arg(short, long, value_name = "[LABEL=]RANGE")]
    critical: Vec<HealthThreshold>,
    /// Report unknown after this many seconds without an answer
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    /// Print a line for each root cause below the first line
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl CheckArgs {
    pub(crate) fn thresholds(&self) -> AlertThresholds {
        AlertThresholds { warning: self.warning.clone(), critical: self.critical.clone() }
    }
}
