//! Conversions of impairments.

use super::{ProtocolError, from_wire_time, to_wire_time, v1};
use crate::impairment::{ImpairedPart, Impairment};

impl From<&Impairment> for v1::Impairment {
    fn from(impairment: &Impairment) -> Self {
        Self {
            part: impairment.part.word().to_owned(),
            message: impairment.message.clone(),
            since: impairment.since.map(to_wire_time),
        }
    }
}

impl TryFrom<v1::Impairment> for Impairment {
    type Error = ProtocolError;

    fn try_from(impairment: v1::Impairment) -> Result<Self, ProtocolError> {
        Ok(Self {
            part: ImpairedPart::known_or_other(&impairment.part),
            message: impairment.message,
            since: impairment.since.map(from_wire_time).transpose()?,
        })
    }
}

/// Converts a list of impairments from the wire.
///
/// # Errors
/// Returns an error if one of the times is out of range.
pub(super) fn impairments_from_wire(
    impairments: Vec<v1::Impairment>,
) -> Result<Vec<Impairment>, ProtocolError> {
    impairments.into_iter().map(Impairment::try_from).collect()
}
