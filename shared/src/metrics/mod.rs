//! Metrics for Prometheus: families as tables, and the text formats. The aggregator and the agents have
//! families of their own.
//!
//! | module | holds |
//! |---|---|
//! | `common` | descriptions of the families that an agent and the aggregator both export |
//! | `family` | name, type, labels and source of a metric family |
//! | `format` | the two text formats, and the choice by the client's `Accept` header |

pub mod common;
mod family;
mod format;

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;

pub use self::family::{
    MetricDescription, MetricFamily, MetricKind, SampleWriter, count_value, time_value, truth_value,
};
pub use self::format::ExpositionFormat;

/// Returns these families with their samples of `figures` as text.
///
/// # Errors
/// Returns an error if a value cannot be written in the format.
pub fn encode_families<F: Send + Sync + 'static>(
    figures: F,
    tables: &'static [&'static [MetricFamily<F>]],
    format: ExpositionFormat,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(FigureCollector { figures, tables }));
    let mut written = String::new();
    match format {
        ExpositionFormat::Prometheus => prometheus_text::encode(&mut written, &registry)?,
        ExpositionFormat::OpenMetrics => text::encode(&mut written, &registry)?,
    }
    Ok(written)
}

/// Collector of one scrape.
struct FigureCollector<F: 'static> {
    figures: F,
    tables: &'static [&'static [MetricFamily<F>]],
}

impl<F> fmt::Debug for FigureCollector<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FigureCollector").finish_non_exhaustive()
    }
}

impl<F: Send + Sync + 'static> Collector for FigureCollector<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = self.tables.iter().copied().flatten();
        families.try_for_each(|family| family.encode(&self.figures, &mut encoder))
    }
}
