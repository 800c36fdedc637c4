//! Metrics for Prometheus: the overview and the aggregator's own counters, read at the moment of a scrape.
//!
//! | module | holds |
//! |---|---|
//! | `instances`, `hosts`, `own` | families of instances, of hosts and their agents, and of the aggregator itself |
//!
//! Every family is one row of a table, which `docs/metrics.md` has to match. An unknown value has no sample:
//! a stale one would look true.

mod hosts;
mod instances;
mod own;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use rta_shared::event::EventKind;
use rta_shared::metrics::{ExpositionFormat, encode_families};
use rta_shared::overview::Overview;

use crate::notify::ChannelStatus;
use crate::store::StoreErrorCounts;

/// Metric family of the aggregator.
type MetricFamily = rta_shared::metrics::MetricFamily<PlatformFigures>;

/// All families.
const TABLES: &[&[MetricFamily]] = &[instances::FAMILIES, hosts::FAMILIES, own::FAMILIES];

/// Everything that metrics are made of, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct PlatformFigures {
    pub(crate) overview: Arc<Overview>,
    /// Number of events of each kind since the aggregator began.
    pub(crate) event_counts: Vec<(EventKind, u64)>,
    /// Number of plans that have not ended.
    pub(crate) running_plans: usize,
    /// Failures of the store since the aggregator began.
    pub(crate) store_errors: StoreErrorCounts,
    /// Channels of notifications with their states.
    pub(crate) channels: Vec<(String, ChannelStatus)>,
    /// Time at which the aggregator began.
    pub(crate) started_at: Timestamp,
}

impl PlatformFigures {
    /// Returns all families with their samples as text.
    ///
    /// # Errors
    /// Returns an error if a value cannot be written in the format.
    pub(crate) fn encode(self, format: ExpositionFormat) -> Result<String, fmt::Error> {
        encode_families(self, TABLES, format)
    }
}
