//! Conversions of explanations.

use super::{ProtocolError, optional, optional_name, v1};
use crate::attributes::CriterionKind;
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

impl TryFrom<v1::ExplainedPart> for ExplainedPart {
    type Error = ProtocolError;

    fn try_from(part: v1::ExplainedPart) -> Result<Self, ProtocolError> {
        let v1::ExplainedPart { name, count, processes } = part;
        Ok(Self {
            name: optional_name(name),
            count: count.unwrap_or_default().into(),
            processes: processes.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<ExplainedProcess> for v1::ExplainedProcess {
    fn from(process: ExplainedProcess) -> Self {
        let ExplainedProcess { pid, program, arguments, user, criteria } = process;
        let criteria = criteria.into_iter().map(Into::into).collect();
        Self { pid, program, arguments, user, criteria }
    }
}

impl TryFrom<v1::ExplainedProcess> for ExplainedProcess {
    type Error = ProtocolError;

    fn try_from(process: v1::ExplainedProcess) -> Result<Self, ProtocolError> {
        let v1::ExplainedProcess { pid, program, arguments, user, criteria } = process;
        let criteria = criteria.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self { pid, program, arguments, user, criteria })
    }
}

impl From<CriterionKind> for v1::CriterionKind {
    fn from(kind: CriterionKind) -> Self {
        match kind {
            CriterionKind::Argument => Self::Argument,
            CriterionKind::User => Self::User,
            CriterionKind::Unit => Self::Unit,
            CriterionKind::Directory => Self::Directory,
            CriterionKind::Executable => Self::Executable,
            CriterionKind::Parent => Self::Parent,
            CriterionKind::Container => Self::Container,
        }
    }
}

fn kind_from_wire(kind: i32) -> Result<CriterionKind, ProtocolError> {
    match v1::CriterionKind::try_from(kind) {
        Ok(v1::CriterionKind::Argument) => Ok(CriterionKind::Argument),
        Ok(v1::CriterionKind::User) => Ok(CriterionKind::User),
        Ok(v1::CriterionKind::Unit) => Ok(CriterionKind::Unit),
        Ok(v1::CriterionKind::Directory) => Ok(CriterionKind::Directory),
        Ok(v1::CriterionKind::Executable) => Ok(CriterionKind::Executable),
        Ok(v1::CriterionKind::Parent) => Ok(CriterionKind::Parent),
        Ok(v1::CriterionKind::Container) => Ok(CriterionKind::Container),
        Err(_) => Err(ProtocolError::unknown("criterion.kind", kind)),
    }
}

impl From<ExplainedCriterion> for v1::ExplainedCriterion {
    fn from(criterion: ExplainedCriterion) -> Self {
        let ExplainedCriterion { kind, index, regex, holds, found, elsewhere, unreadable } = criterion;
        let kind = v1::CriterionKind::from(kind).into();
        Self { kind, index, regex, holds, found, elsewhere, unreadable: unreadable.unwrap_or_default() }
    }
}

impl TryFrom<v1::ExplainedCriterion> for ExplainedCriterion {
    type Error = ProtocolError;

    fn try_from(criterion: v1::ExplainedCriterion) -> Result<Self, ProtocolError> {
        let v1::ExplainedCriterion { kind, index, regex, holds, found, elsewhere, unreadable } = criterion;
        let (kind, unreadable) = (kind_from_wire(kind)?, optional(unreadable));
        Ok(Self { kind, index, regex, holds, found, elsewhere, unreadable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProcessCount;

    #[test]
    fn explanation_comes_back() {
        let part = |kind| ExplainedPart {
            name: Some("driver".into()),
            count: ProcessCount::ONE,
            processes: vec![ExplainedProcess {
                pid: 7,
                program: "java".to_owned(),
                arguments: 3,
                user: "kafka".to_owned(),
                criteria: vec![ExplainedCriterion {
                    kind,
                    index: Some(-1),
                    regex: "x".to_owned(),
                    holds: false,
                    found: Some("y".to_owned()),
                    elsewhere: vec![1],
                    unreadable: Some("not permitted".to_owned()),
                }],
            }],
        };
        for kind in [
            CriterionKind::Argument,
            CriterionKind::User,
            CriterionKind::Unit,
            CriterionKind::Directory,
            CriterionKind::Executable,
            CriterionKind::Parent,
            CriterionKind::Container,
        ] {
            assert_eq!(ExplainedPart::try_from(v1::ExplainedPart::from(part(kind))), Ok(part(kind)));
        }
        let mut unknown = v1::ExplainedPart::from(part(CriterionKind::User));
        unknown.processes[0].criteria[0].kind = 99;
        assert!(ExplainedPart::try_from(unknown).is_err());
    }
}
