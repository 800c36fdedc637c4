//! Metrics of this host for Prometheus, beside those of the aggregator: read from the current report at the
//! moment of a scrape.
//!
//! | module | holds |
//! |---|---|
//! | `instances` | families of the components |
//! | `own` | families of the host and the agent itself |
//! | `server` | the HTTP server |
//!
//! The names and labels are those of the aggregator, where both have a family. `docs/metrics.md` names each.

mod instances;
mod own;
pub(crate) mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rta_shared::config::HostConfig;
use rta_shared::report::Report;
use rta_shared::usage::HostUsage;

/// Metric family of the agent.
type MetricFamily = rta_shared::metrics::MetricFamily<HostFigures>;

/// All families.
const TABLES: &[&[MetricFamily]] = &[instances::FAMILIES, own::FAMILIES];

/// Everything that metrics are made of, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct HostFigures {
    pub(crate) config: Arc<HostConfig>,
    /// `None`: the first scan has not ended.
    pub(crate) report: Option<Arc<Report>>,
    pub(crate) usage: Option<Arc<HostUsage>>,
}

impl HostFigures {
    /// Returns the values of the labels of a host.
    fn host_labels(&self) -> [&str; 2] {
        [self.config.environment.as_str(), self.config.host.as_str()]
    }
}
