//! Explanations on the wire.

use super::{optional_name, v1};
use crate::explain::{ExplainedCriterion, ExplainedPart, ExplainedProcess};
use crate::inspection::InspectedProcess;

impl From<InspectedProcess> for v1::InspectedProcess {
    fn from(process: InspectedProcess) -> Self {
        let InspectedProcess { pid, arguments, more } = process;
        Self { pid, arguments, more }
    }
}

impl From<v1::InspectedProcess> for InspectedProcess {
    fn from(process: v1::InspectedProcess) -> Self {
        let v1::InspectedProcess { pid, arguments, more } = process;
        Self { pid, arguments, more }
    }
}

impl From<ExplainedPart> for v1::ExplainedPart {
    fn from(part: ExplainedPart) -> Self {
        let ExplainedPart { name, count, processes } = part;
        Self {
            name: name.map(|name| name.to_string()).unwrap_or_default(),
            count: Some(count.into()),
            processes: processes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<v1::ExplainedPart> for ExplainedPart {
    fn from(part: v1::ExplainedPart) -> Self {
        let v1::ExplainedPart { name, count, processes } = part;
        Self {
            name: optional_name(name),
            count: count.unwrap_or_default().into(),
            processes: processes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ExplainedProcess> for v1::ExplainedProcess {
    fn from(process: ExplainedProcess) -> Self {
        let ExplainedProcess { pid, program, arguments, criteria } = process;
        Self { pid, program, arguments, criteria: criteria.into_iter().map(Into::into).collect() }
    }
}

impl From<v1::ExplainedProcess> for ExplainedProcess {
    fn from(process: v1::ExplainedProcess) -> Self {
        let v1::ExplainedProcess { pid, program, arguments, criteria } = process;
        Self { pid, program, arguments, criteria: criteria.into_iter().map(Into::into).collect() }
    }
}

impl From<ExplainedCriterion> for v1::ExplainedCriterion {
    fn from(criterion: ExplainedCriterion) -> Self {
        let ExplainedCriterion { index, regex, holds, found, elsewhere } = criterion;
        Self { index, regex, holds, found, elsewhere }
    }
}

impl From<v1::ExplainedCriterion> for ExplainedCriterion {
    fn from(criterion: v1::ExplainedCriterion) -> Self {
        let v1::ExplainedCriterion { index, regex, holds, found, elsewhere } = criterion;
        Self { index, regex, holds, found, elsewhere }
    }
}
