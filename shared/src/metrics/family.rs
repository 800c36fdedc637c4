//! Metric families: name, type, labels and source of each, and how their samples are written.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Type of a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Value that rises and falls.
    Gauge,
    /// Value that only grows, until the program that counts restarts.
    Counter,
}

/// Name, type, text and labels of a metric family.
#[derive(Clone, Copy, Debug)]
pub struct MetricDescription {
    /// Name; that of a counter without `_total`, which every format adds.
    pub name: &'static str,
    /// Type.
    pub kind: MetricKind,
    /// One sentence; the formats do not agree on how to escape backslashes and quotes, so it has none.
    pub help: &'static str,
    /// Names of the labels, in the order in which [`SampleWriter::add`] takes their values.
    pub labels: &'static [&'static str],
}

impl MetricDescription {
    /// Returns the description of a gauge.
    pub const fn gauge(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name, kind: MetricKind::Gauge, help, labels }
    }

    /// Returns the description of a counter; `name` is without `_total`.
    pub const fn counter(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name, kind: MetricKind::Counter, help, labels }
    }

    /// Returns the name of the family's series.
    pub fn series_name(&self) -> String {
        match self.kind {
            MetricKind::Gauge => self.name.to_owned(),
            MetricKind::Counter => format!("{}_total", self.name),
        }
    }
}

/// Metric family, whose samples are read from figures of type `F`.
pub struct MetricFamily<F: 'static> {
    /// Description.
    pub description: MetricDescription,
    /// Writes all samples.
    pub collect: fn(&F, &mut SampleWriter<'_>) -> fmt::Result,
}

impl<F> MetricFamily<F> {
    /// Writes the family with all its samples.
    ///
    /// # Errors
    /// Returns an error if a value cannot be written in the format.
    pub fn encode(&'static self, figures: &F, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let MetricDescription { name, kind, help, labels } = self.description;
        let metric_type = match kind {
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Counter => MetricType::Counter,
        };
        let encoder = encoder.encode_descriptor(name, help, None, metric_type)?;
        (self.collect)(figures, &mut SampleWriter { name, kind, labels, encoder })
    }
}

/// Writer of a family's samples.
pub struct SampleWriter<'e> {
    name: &'static str,
    kind: MetricKind,
    labels: &'static [&'static str],
    encoder: MetricEncoder<'e>,
}

impl SampleWriter<'_> {
    /// Writes a sample with these values of the family's labels.
    ///
    /// # Errors
    /// Returns an error if the value cannot be written in the format.
    pub fn add(&mut self, labels: &[&str], value: f64) -> fmt::Result {
        debug_assert_eq!(self.labels.len(), labels.len(), "{}", self.name);
        let names = self.labels.iter().copied();
        let labels: Vec<(&str, &str)> = names.zip(labels.iter().copied()).collect();
        let labels = labels.as_slice();
        let mut encoder = self.encoder.encode_family(&labels)?;
        match self.kind {
            MetricKind::Gauge => encoder.encode_gauge(&value),
            MetricKind::Counter => encoder.encode_counter::<NoLabelSet, f64, f64>(&value, None),
        }
    }

    /// Writes a sample for each value, which is 1 for the `current` one and 0 for the others; `labels` precede
    /// the label of the value.
    ///
    /// # Errors
    /// Returns an error if a value cannot be written in the format.
    pub fn add_states<'s>(
        &mut self,
        labels: &[&str],
        states: impl IntoIterator<Item = &'s str>,
        current: &str,
    ) -> fmt::Result {
        states.into_iter().try_for_each(|state| {
            let labels: Vec<&str> = labels.iter().copied().chain([state]).collect();
            self.add(&labels, truth_value(state == current))
        })
    }
}

/// Returns 1 for true and 0 for false.
pub fn truth_value(is_true: bool) -> f64 {
    if is_true { 1.0 } else { 0.0 }
}

/// Converts a count to the type of all values, which is exact below 2^53.
#[expect(clippy::cast_precision_loss, reason = "every value of these formats is a 64-bit float")]
pub fn count_value(count: u64) -> f64 {
    count as f64
}

/// Returns the seconds since 1970.
#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 are exact until the year 2255")]
pub fn time_value(at: jiff::Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}
