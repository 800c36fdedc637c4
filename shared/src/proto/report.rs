//! Reports on the wire.

use std::time::Duration;

use super::{ProtocolError, from_wire_time, to_wire_time, v1};
use crate::name::Name;
use crate::process::{Process, ProcessId};
use crate::report::{ComponentReport, Report, ScanFigures, State};

impl From<State> for v1::State {
    fn from(state: State) -> Self {
        match state {
            State::Running => Self::Running,
            State::Partial => Self::Partial,
            State::Stopped => Self::Stopped,
            State::Starting => Self::Starting,
            State::Stopping => Self::Stopping,
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
        })
    }
}

impl From<&ComponentReport> for v1::ComponentReport {
    fn from(report: &ComponentReport) -> Self {
        Self {
            component: report.component.as_str().to_owned(),
            state: v1::State::from(report.state).into(),
            processes: report.processes.iter().map(Into::into).collect(),
            doubled: report.doubled,
            action_since: report.action_since.map(to_wire_time),
        }
    }
}

impl TryFrom<v1::ComponentReport> for ComponentReport {
    type Error = ProtocolError;

    fn try_from(report: v1::ComponentReport) -> Result<Self, ProtocolError> {
        Ok(Self {
            component: Name::from(report.component),
            state: state_from_wire(report.state)?,
            processes: report.processes.into_iter().map(Process::try_from).collect::<Result<_, _>>()?,
            doubled: report.doubled,
            action_since: report.action_since.map(from_wire_time).transpose()?,
        })
    }
}

impl From<&ScanFigures> for v1::Heartbeat {
    fn from(scan: &ScanFigures) -> Self {
        Self {
            scanned_at: Some(to_wire_time(scan.scanned_at)),
            scan_duration_micros: micros(scan.duration),
            processes_seen: scan.processes_seen,
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
        }
    }
}

impl TryFrom<v1::Report> for Report {
    type Error = ProtocolError;

    fn try_from(report: v1::Report) -> Result<Self, ProtocolError> {
        let components = if report.error.is_empty() {
            Ok(report.components.into_iter().map(ComponentReport::try_from).collect::<Result<_, _>>()?)
        } else {
            Err(report.error)
        };
        Ok(Self {
            host: Name::from(report.host),
            boot_id: report.boot_id,
            scan: ScanFigures {
                scanned_at: from_wire_time(report.scanned_at.ok_or(ProtocolError::Missing("scanned_at"))?)?,
                duration: Duration::from_micros(report.scan_duration_micros),
                processes_seen: report.processes_seen,
            },
            components,
            agent_version: report.agent_version,
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            host: Name::from("c9t21193"),
            boot_id: "b".to_owned(),
            scan: ScanFigures {
                scanned_at: "2026-11-24T09:30:00Z".parse().unwrap(),
                duration: Duration::from_micros(1234),
                processes_seen: 77,
            },
            components: Ok(vec![ComponentReport {
                component: Name::from("kafka server"),
                state: State::Stopping,
                processes: vec![Process {
                    id: ProcessId { pid: 3, start_ticks: 4 },
                    parent_pid: 1,
                    started_at: Some("2026-11-24T09:29:00Z".parse().unwrap()),
                }],
                doubled: true,
                action_since: Some("2026-11-24T09:29:59Z".parse().unwrap()),
            }]),
            agent_version: "0.1.0".to_owned(),
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
