//! Conversions of the reason why a component does not run.

use super::{ProtocolError, from_wire_time, optional, to_wire_time, v1};
use crate::action::Requester;
use crate::down_cause::{DownCause, DownKind};
use v1::down_cause::Kind;

impl From<&DownCause> for v1::DownCause {
    fn from(cause: &DownCause) -> Self {
        let kind = match &cause.kind {
            DownKind::NeverSeen => Kind::NeverSeen(v1::NeverSeen {}),
            DownKind::StartFailed { reason } => Kind::StartFailed(v1::StartFailed { reason: reason.clone() }),
            DownKind::Stopped { by } => Kind::StoppedBy(by.into()),
            DownKind::Exited { status, is_clean } => {
                Kind::Exited(v1::Exited { status: *status, is_clean: *is_clean })
            }
            DownKind::Killed { signal, is_clean, out_of_memory } => Kind::Killed(v1::Killed {
                signal: *signal,
                is_clean: *is_clean,
                out_of_memory: *out_of_memory,
            }),
            DownKind::Rebooted => Kind::Rebooted(v1::Rebooted {}),
            DownKind::Unwatched => Kind::Unwatched(v1::EndedUnwatched {}),
            DownKind::Unknown => Kind::Unknown(v1::EndedUnknown {}),
            DownKind::Unmatched { pid } => Kind::Unmatched(v1::Unmatched { pid: *pid }),
        };
        Self {
            at: Some(to_wire_time(cause.at)),
            kind: Some(kind),
            last_log_line: cause.last_log_line.clone().unwrap_or_default(),
        }
    }
}

/// Converts a cause; `None` for a kind of a later version, which must not make the rest of a report
/// unreadable.
///
/// # Errors
/// Returns an error if the time is missing or invalid.
pub(super) fn from_wire(cause: Option<v1::DownCause>) -> Result<Option<DownCause>, ProtocolError> {
    let Some(v1::DownCause { at, kind: Some(kind), last_log_line }) = cause else { return Ok(None) };
    let kind = match kind {
        Kind::NeverSeen(v1::NeverSeen {}) => DownKind::NeverSeen,
        Kind::StartFailed(v1::StartFailed { reason }) => DownKind::StartFailed { reason },
        Kind::StoppedBy(by) => DownKind::Stopped { by: Requester::from(by) },
        Kind::Exited(v1::Exited { status, is_clean }) => DownKind::Exited { status, is_clean },
        Kind::Killed(v1::Killed { signal, is_clean, out_of_memory }) => {
            DownKind::Killed { signal, is_clean, out_of_memory }
        }
        Kind::Rebooted(v1::Rebooted {}) => DownKind::Rebooted,
        Kind::Unwatched(v1::EndedUnwatched {}) => DownKind::Unwatched,
        Kind::Unknown(v1::EndedUnknown {}) => DownKind::Unknown,
        Kind::Unmatched(v1::Unmatched { pid }) => DownKind::Unmatched { pid },
    };
    let at = from_wire_time(at.ok_or(ProtocolError::Missing("down_cause.at"))?)?;
    Ok(Some(DownCause { at, kind, last_log_line: optional(last_log_line) }))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn each_kind_comes_back_and_one_of_a_later_version_is_left_out() {
        let by = Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() };
        let kinds = [
            DownKind::NeverSeen,
            DownKind::StartFailed { reason: "no".to_owned() },
            DownKind::Stopped { by },
            DownKind::Exited { status: 0, is_clean: true },
            DownKind::Killed { signal: 9, is_clean: false, out_of_memory: true },
            DownKind::Rebooted,
            DownKind::Unwatched,
            DownKind::Unknown,
            DownKind::Unmatched { pid: 7 },
        ];
        for kind in kinds {
            let last_log_line = Some("bye".to_owned());
            let cause = DownCause { at: Timestamp::UNIX_EPOCH, kind, last_log_line };
            assert_eq!(from_wire(Some((&cause).into())), Ok(Some(cause)));
        }
        let later = v1::DownCause { kind: None, ..v1::DownCause::default() };
        assert_eq!((from_wire(Some(later)), from_wire(None)), (Ok(None), Ok(None)));
    }
}
