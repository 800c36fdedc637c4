//! Explanations on the wire.

use super::{optional_name, v1};
use crate::explain::{ExplainedCriterion, ExplainedProcess};

impl From<ExplainedProcess> for v1::ExplainedProcess {
    fn from(process: ExplainedProcess) -> Self {
        let ExplainedProcess { pid, program, arguments, criteria, part } = process;
        let criteria = criteria.into_iter().map(Into::into).collect();
        let part = part.map(|part| part.to_string()).unwrap_or_default();
        Self { pid, program, arguments, criteria, part }
    }
}

impl From<v1::ExplainedProcess> for ExplainedProcess {
    fn from(process: v1::ExplainedProcess) -> Self {
        let v1::ExplainedProcess { pid, program, arguments, criteria, part } = process;
        let criteria = criteria.into_iter().map(Into::into).collect();
        Self { pid, program, arguments, criteria, part: optional_name(part) }
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
