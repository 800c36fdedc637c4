//! Conversions of reports.

use std::time::Duration;

use super::impairment::impairments_from_wire;
use super::{ProtocolError, down_cause, from_wire_time, optional, optional_name, to_wire_time, v1};
use crate::action::ActionLock;
use crate::autostart::Autostart;
use crate::config::ProcessCount;
use crate::limit::{ExceededLimit, LimitKind};
use crate::name::Name;
use crate::probe::{ProbeReport, ProbeState};
use crate::process::{Process, ProcessId, Suspension};
use crate::report::{
    ComponentReport, ConfigStatus, PartReport, Report, ScanFigures, State, WatchMode, WatchStatus,
};

impl From<State> for v1::State {
    fn from(state: State) -> Self {
        match state {
            State::Running => Self::Running,
            State::Partial => Self::Partial,
            State::Stopped => Self::Stopped,
            State::Starting => Self::Starting,
            State::Stopping => Self::Stopping,
            State::Unknown => Self::Unknown,
        }
    }
}

pub(super) fn state_from_wire(state: i32) -> Result<State, ProtocolError> {
    match v1::State::try_from(state) {
        Ok(v1::State::Running) => Ok(State::Running),
        Ok(v1::State::Partial) => Ok(State::Partial),
        Ok(v1::State::Stopped) => Ok(State::Stopped),
        Ok(v1::State::Starting) => Ok(State::Starting),
        Ok(v1::State::Stopping) => Ok(State::Stopping),
        Ok(v1::State::Unknown) => Ok(State::Unknown),
        Ok(v1::State::Unspecified) | Err(_) => Err(ProtocolError::unknown("state", state)),
    }
}

impl From<&Process> for v1::Process {
    fn from(process: &Process) -> Self {
        Self {
            pid: process.id.pid,
            parent_pid: process.parent_pid,
            start_ticks: process.id.start_ticks,
            started_at: process.started_at.map(to_wire_time),
            user: process.user.clone(),
            suspension: process.suspension.map_or(v1::Suspension::Unspecified, Into::into).into(),
        }
    }
}

impl TryFrom<v1::Process> for Process {
    type Error = ProtocolError;

    fn try_from(process: v1::Process) -> Result<Self, ProtocolError> {
        Ok(Self {
            id: ProcessId { pid: process.pid, start_ticks: process.start_ticks },
            parent_pid: process.parent_pid,
            started_at: process.started_at.map(from_wire_time).transpose()?,
            user: process.user,
            suspension: match v1::Suspension::try_from(process.suspension) {
                Ok(v1::Suspension::Unspecified) => None,
                Ok(v1::Suspension::Signal) => Some(Suspension::Signal),
                Ok(v1::Suspension::Debugger) => Some(Suspension::Debugger),
                Ok(v1::Suspension::Freezer) => Some(Suspension::Freezer),
                Err(_) => return Err(ProtocolError::unknown("suspension", process.suspension)),
            },
        })
    }
}

impl From<Suspension> for v1::Suspension {
    fn from(suspension: Suspension) -> Self {
        match suspension {
            Suspension::Signal => Self::Signal,
            Suspension::Debugger => Self::Debugger,
            Suspension::Freezer => Self::Freezer,
        }
    }
}

impl From<ProcessCount> for v1::PartCount {
    fn from(count: ProcessCount) -> Self {
        Self { min: count.min, max: count.max }
    }
}

impl From<v1::PartCount> for ProcessCount {
    fn from(count: v1::PartCount) -> Self {
        Self { min: count.min, max: count.max }
    }
}

impl From<&PartReport> for v1::PartReport {
    fn from(part: &PartReport) -> Self {
        Self {
            name: part.name.as_ref().map(ToString::to_string).unwrap_or_default(),
            count: Some(part.count.into()),
            running: part.running,
            pids: part.pids.clone(),
        }
    }
}

impl From<v1::PartReport> for PartReport {
    fn from(part: v1::PartReport) -> Self {
        let v1::PartReport { name, count, running, pids } = part;
        let pids = without_spare_capacity(pids);
        Self { name: optional_name(name), count: count.unwrap_or_default().into(), running, pids }
    }
}

impl From<&ProbeReport> for v1::ProbeReport {
    fn from(probe: &ProbeReport) -> Self {
        let state = match probe.state {
            ProbeState::Pending => v1::ProbeState::Pending,
            ProbeState::Passing => v1::ProbeState::Passing,
            ProbeState::Failing => v1::ProbeState::Failing,
        };
        Self { state: state.into(), since: Some(to_wire_time(probe.since)), reason: probe.reason.clone() }
    }
}

impl TryFrom<v1::ProbeReport> for ProbeReport {
    type Error = ProtocolError;

    fn try_from(probe: v1::ProbeReport) -> Result<Self, ProtocolError> {
        let state = match v1::ProbeState::try_from(probe.state) {
            Ok(v1::ProbeState::Pending) => ProbeState::Pending,
            Ok(v1::ProbeState::Passing) => ProbeState::Passing,
            Ok(v1::ProbeState::Failing) => ProbeState::Failing,
            Ok(v1::ProbeState::Unspecified) | Err(_) => {
                return Err(ProtocolError::unknown("probe.state", probe.state));
            }
        };
        let since = from_wire_time(probe.since.ok_or(ProtocolError::Missing("probe.since"))?)?;
        Ok(Self { state, since, reason: probe.reason })
    }
}

impl From<&WatchStatus> for v1::Watch {
    fn from(watch: &WatchStatus) -> Self {
        let mode = match watch.mode {
            WatchMode::Events => v1::WatchMode::Events,
            WatchMode::Scans => v1::WatchMode::Scans,
        };
        Self {
            mode: mode.into(),
            fallback: watch.fallback.clone().unwrap_or_default(),
            overruns: watch.overruns,
            differences: watch.differences,
        }
    }
}

impl TryFrom<v1::Watch> for WatchStatus {
    type Error = ProtocolError;

    fn try_from(watch: v1::Watch) -> Result<Self, ProtocolError> {
        let mode = match v1::WatchMode::try_from(watch.mode) {
            Ok(v1::WatchMode::Events) => WatchMode::Events,
            Ok(v1::WatchMode::Scans) => WatchMode::Scans,
            Ok(v1::WatchMode::Unspecified) | Err(_) => {
                return Err(ProtocolError::unknown("watch.mode", watch.mode));
            }
        };
        let v1::Watch { fallback, overruns, differences, .. } = watch;
        Ok(Self { mode, fallback: optional(fallback), overruns, differences })
    }
}

impl From<&ExceededLimit> for v1::ExceededLimit {
    fn from(limit: &ExceededLimit) -> Self {
        let ExceededLimit { kind, reason, since } = limit;
        Self { kind: kind.word().to_owned(), reason: reason.clone(), since: Some(to_wire_time(*since)) }
    }
}

impl TryFrom<v1::ExceededLimit> for ExceededLimit {
    type Error = ProtocolError;

    fn try_from(limit: v1::ExceededLimit) -> Result<Self, ProtocolError> {
        let v1::ExceededLimit { kind, reason, since } = limit;
        let since = from_wire_time(since.ok_or(ProtocolError::Missing("exceeded_limit.since"))?)?;
        // The reason says what it is, also of a kind that only a later version knows.
        Ok(Self { kind: LimitKind::from_word(&kind).unwrap_or(LimitKind::Other), reason, since })
    }
}

impl From<&ComponentReport> for v1::ComponentReport {
    fn from(report: &ComponentReport) -> Self {
        Self {
            component: report.component.as_str().to_owned(),
            state: v1::State::from(report.state).into(),
            processes: report.processes.iter().map(Into::into).collect(),
            doubled: report.doubled,
            action: report.action.as_deref().map(Into::into),
            parts: report.parts.iter().map(Into::into).collect(),
            unseen: report.unseen.clone().unwrap_or_default(),
            probe: report.probe.as_ref().map(Into::into),
            unit: report.unit.as_deref().map(Into::into),
            autostart: report.autostart.as_deref().map(Into::into),
            down_cause: report.down_cause.as_deref().map(Into::into),
            exceeded_limits: report.exceeded_limits.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::ComponentReport> for ComponentReport {
    type Error = ProtocolError;

    fn try_from(report: v1::ComponentReport) -> Result<Self, ProtocolError> {
        Ok(Self {
            component: Name::from(report.component),
            state: state_from_wire(report.state)?,
            processes: convert_all(report.processes)?.into(),
            doubled: report.doubled,
            action: report.action.map(ActionLock::try_from).transpose()?.map(Box::new),
            parts: without_spare_capacity(report.parts.into_iter().map(Into::into).collect()).into(),
            unseen: optional(report.unseen),
            probe: report.probe.map(ProbeReport::try_from).transpose()?,
            unit: report.unit.map(Into::into).map(Box::new),
            autostart: report.autostart.map(Autostart::try_from).transpose()?.map(Box::new),
            down_cause: down_cause::from_wire(report.down_cause)?.map(Box::new),
            exceeded_limits: convert_all(report.exceeded_limits)?,
        })
    }
}

impl From<&ScanFigures> for v1::Heartbeat {
    fn from(scan: &ScanFigures) -> Self {
        Self {
            scanned_at: Some(to_wire_time(scan.scanned_at)),
            scan_duration_micros: micros(scan.duration),
            processes_seen: scan.processes_seen,
            seen_at: Some(to_wire_time(scan.seen_at)),
            // Set by the sender at the time of sending.
            sent_at: None,
        }
    }
}

impl TryFrom<v1::Heartbeat> for ScanFigures {
    type Error = ProtocolError;

    fn try_from(heartbeat: v1::Heartbeat) -> Result<Self, ProtocolError> {
        Ok(Self {
            scanned_at: from_wire_time(heartbeat.scanned_at.ok_or(ProtocolError::Missing("scanned_at"))?)?,
            duration: Duration::from_micros(heartbeat.scan_duration_micros),
            processes_seen: heartbeat.processes_seen,
            seen_at: from_wire_time(heartbeat.seen_at.or(heartbeat.scanned_at).unwrap_or_default())?,
        })
    }
}

impl From<&Report> for v1::Report {
    fn from(report: &Report) -> Self {
        let (components, error) = match &report.components {
            Ok(components) => (components.iter().map(Into::into).collect(), String::new()),
            Err(error) => (Vec::new(), error.clone()),
        };
        Self {
            host: report.host.as_str().to_owned(),
            boot_id: report.boot_id.clone(),
            scanned_at: Some(to_wire_time(report.scan.scanned_at)),
            scan_duration_micros: micros(report.scan.duration),
            processes_seen: report.scan.processes_seen,
            components,
            error,
            agent_version: report.agent_version.clone(),
            agent_run_id: report.agent_run_id.clone(),
            seen_at: Some(to_wire_time(report.scan.seen_at)),
            watch: Some((&report.watch).into()),
            config_digest: report.config.digest.clone(),
            config_error: report.config.error.clone().unwrap_or_default(),
            certificate_ends: report.certificate_ends.map(to_wire_time),
            impairments: report.impairments.iter().map(Into::into).collect(),
            // Set by the sender at the time of sending.
            sent_at: None,
        }
    }
}

impl TryFrom<v1::Report> for Report {
    type Error = ProtocolError;

    fn try_from(report: v1::Report) -> Result<Self, ProtocolError> {
        let components =
            if report.error.is_empty() { Ok(convert_all(report.components)?) } else { Err(report.error) };
        Ok(Self {
            host: Name::from(report.host),
            boot_id: report.boot_id,
            scan: ScanFigures {
                scanned_at: from_wire_time(report.scanned_at.ok_or(ProtocolError::Missing("scanned_at"))?)?,
                duration: Duration::from_micros(report.scan_duration_micros),
                processes_seen: report.processes_seen,
                // An agent of the previous version only scans.
                seen_at: from_wire_time(report.seen_at.or(report.scanned_at).unwrap_or_default())?,
            },
            components,
            watch: report.watch.map_or(Ok(WatchStatus::scans_only()), WatchStatus::try_from)?,
            config: ConfigStatus { digest: report.config_digest, error: optional(report.config_error) },
            agent_version: report.agent_version,
            agent_run_id: report.agent_run_id,
            certificate_ends: report.certificate_ends.map(from_wire_time).transpose()?,
            impairments: impairments_from_wire(report.impairments)?,
        })
    }
}

/// Converts messages to values that are kept until the next report.
fn convert_all<M, V: TryFrom<M>>(messages: Vec<M>) -> Result<Vec<V>, V::Error> {
    messages.into_iter().map(V::try_from).collect::<Result<_, _>>().map(without_spare_capacity)
}

/// Gives back memory that the decoder reserved for more values; a collected vector keeps the room of the messages
/// that it came from.
fn without_spare_capacity<V>(mut values: Vec<V>) -> Vec<V> {
    values.shrink_to_fit();
    values
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{ActionKind, Requester};
    use crate::impairment::{ImpairedPart, Impairment};
    use crate::unit::UnitReport;

    fn report() -> Report {
        Report {
            host: Name::from("c9t21193"),
            boot_id: "b".to_owned(),
            scan: ScanFigures {
                scanned_at: "2026-11-24T09:30:00Z".parse().unwrap(),
                duration: Duration::from_micros(1234),
                processes_seen: 77,
                seen_at: "2026-11-24T09:30:01Z".parse().unwrap(),
            },
            components: Ok(vec![ComponentReport {
                component: Name::from("kafka server"),
                state: State::Stopping,
                processes: vec![Process {
                    id: ProcessId { pid: 3, start_ticks: 4 },
                    parent_pid: 1,
                    started_at: Some("2026-11-24T09:29:00Z".parse().unwrap()),
                    user: "kafka".to_owned(),
                    suspension: Some(Suspension::Freezer),
                }]
                .into(),
                doubled: true,
                action: Some(Box::new(ActionLock {
                    kind: ActionKind::Restart,
                    by: Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() },
                    since: "2026-11-24T09:29:59Z".parse().unwrap(),
                })),
                parts: vec![PartReport {
                    name: Some("driver".into()),
                    count: ProcessCount { min: 0, max: None },
                    running: 1,
                    pids: vec![3],
                }]
                .into(),
                unseen: Some("pid 9 cannot be read".to_owned()),
                probe: Some(ProbeReport {
                    state: ProbeState::Failing,
                    since: "2026-11-24T09:29:00Z".parse().unwrap(),
                    reason: "refused".to_owned(),
                }),
                unit: Some(Box::new(UnitReport {
                    name: "kafka.service".to_owned(),
                    active_state: "failed".to_owned(),
                    sub_state: "failed".to_owned(),
                    result: "exit-code".to_owned(),
                    error: None,
                })),
                autostart: Some(Box::new(Autostart {
                    wanted: true,
                    why: "declared".to_owned(),
                    restarts: 2,
                    next_at: Some("2026-11-24T09:31:00Z".parse().unwrap()),
                    given_up: true,
                    flapping: true,
                    last_end: "exit status 1".to_owned(),
                    restarts_total: 7,
                    waiting_for: "kafka on k1".to_owned(),
                })),
                down_cause: Some(Box::new(crate::down_cause::DownCause {
                    at: "2026-11-24T09:29:59Z".parse().unwrap(),
                    kind: crate::down_cause::DownKind::Unknown,
                    last_log_line: None,
                })),
                exceeded_limits: vec![ExceededLimit {
                    kind: LimitKind::OpenFiles,
                    reason: "pid 3 has 900 open files, above 80 % of 1024".to_owned(),
                    since: "2026-11-24T09:29:59Z".parse().unwrap(),
                }],
            }]),
            watch: WatchStatus {
                mode: WatchMode::Scans,
                fallback: Some("no".to_owned()),
                overruns: 1,
                differences: 2,
            },
            config: ConfigStatus { digest: "abc".to_owned(), error: Some("wrong".to_owned()) },
            certificate_ends: Some("2027-11-24T09:30:00Z".parse().unwrap()),
            agent_version: "0.1.0".to_owned(),
            agent_run_id: "7f".to_owned(),
            impairments: vec![
                Impairment::new(ImpairedPart::State, "agent.json cannot be written"),
                Impairment::starting(ImpairedPart::Log, "lost", "2026-11-24T09:30:00Z".parse().unwrap()),
            ],
        }
    }

    #[test]
    fn a_report_comes_back() {
        let report = report();
        assert_eq!(Report::try_from(v1::Report::from(&report)), Ok(report));
    }

    #[test]
    fn a_report_of_blindness_comes_back() {
        let blind = Report { components: Err("cannot see".to_owned()), ..report() };
        assert_eq!(Report::try_from(v1::Report::from(&blind)), Ok(blind));
    }

    #[test]
    fn a_state_of_a_later_version_is_an_error_not_a_guess() {
        let mut wire = v1::Report::from(&report());
        wire.components[0].state = 99;
        let error = Report::try_from(wire).unwrap_err();
        assert_eq!(error, ProtocolError::unknown("state", 99));
    }

    #[test]
    fn a_report_without_its_time_is_an_error() {
        let wire = v1::Report { scanned_at: None, ..v1::Report::from(&report()) };
        assert_eq!(Report::try_from(wire), Err(ProtocolError::Missing("scanned_at")));
    }
}
