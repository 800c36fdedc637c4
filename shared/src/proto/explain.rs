//! Explanations on the wire.

use super::v1;
use crate::explain::{ExplainedCriterion, ExplainedProcess};

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
