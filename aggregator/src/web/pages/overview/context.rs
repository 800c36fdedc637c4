//! Input of all parts of the overview page.

use jiff::Timestamp;
use rta_shared::planned_outage::PlannedStopIndex;

use super::selection::Selection;
use crate::web::request_context::RequestContext;

/// Input of all parts of a page.
pub(crate) struct OverviewContext<'a> {
    pub(crate) context: &'a RequestContext,
    pub(crate) selection: &'a Selection,
    /// Digest of the aggregator's configuration.
    pub(crate) digest: &'a str,
    /// Instances that are down on purpose.
    pub(crate) planned: &'a PlannedStopIndex,
    /// True if cards name their environment, because hosts of several are listed together.
    pub(crate) names_environment: bool,
    /// True if the names of environments lead to their own pages.
    pub(crate) links_environments: bool,
    pub(crate) now: Timestamp,
}
