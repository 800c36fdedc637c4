//! Metrics for Prometheus: the overview and the aggregator's own counters, read at the moment of a scrape.
//!
//! | module | holds |
//! |---|---|
//! | `family` | name, type, labels and source of a metric family |
//! | `instances`, `hosts`, `own` | families of instances, of hosts and their agents, and of the aggregator itself |
//! | `format` | the two text formats, and the choice by the client's `Accept` header |
//!
//! Every family is one row of a table, which `docs/metrics.md` has to match. An unknown value has no sample: a
//! stale one would look true.

mod family;
mod format;
mod hosts;
mod instances;
mod own;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;
use rta_shared::event::EventKind;
use rta_shared::overview::Overview;

use self::family::MetricFamily;

pub(crate) use self::format::ExpositionFormat;

/// Everything that metrics are made of, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct PlatformFigures {
    pub(crate) overview: Arc<Overview>,
    /// Number of events of each kind since the aggregator began.
    pub(crate) event_counts: Vec<(EventKind, u64)>,
    /// Number of plans that have not ended.
    pub(crate) running_plans: usize,
    /// Time at which the aggregator began.
    pub(crate) started_at: Timestamp,
}

impl PlatformFigures {
    /// Returns all families with their samples as text.
    ///
    /// # Errors
    /// Returns an error if a value cannot be written in the format.
    pub(crate) fn encode(self, format: ExpositionFormat) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(FigureCollector(self)));
        let mut written = String::new();
        match format {
            ExpositionFormat::Prometheus => prometheus_text::encode(&mut written, &registry)?,
            ExpositionFormat::OpenMetrics => text::encode(&mut written, &registry)?,
        }
        Ok(written)
    }
}

/// Collector of one scrape.
#[derive(Debug)]
struct FigureCollector(PlatformFigures);

impl Collector for FigureCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        families().try_for_each(|family| family.encode(&self.0, &mut encoder))
    }
}

/// Returns all families.
fn families() -> impl Iterator<Item = &'static MetricFamily> {
    instances::FAMILIES.iter().chain(hosts::FAMILIES).chain(own::FAMILIES)
}
