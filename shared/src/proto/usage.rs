//! Conversions of resource usage.

use super::{ProtocolError, from_wire_time, to_wire_time, v1};
use crate::usage::{ComponentCpuTime, HostUsage, ProbeDuration, ProcessUsage};

impl From<&HostUsage> for v1::Usage {
    fn from(usage: &HostUsage) -> Self {
        let [load_1, load_5, load_15] = usage.load;
        Self {
            measured_at: Some(to_wire_time(usage.measured_at)),
            cpus: usage.cpus,
            load_1,
            load_5,
            load_15,
            memory_total_bytes: usage.memory_total_bytes,
            memory_available_bytes: usage.memory_available_bytes,
            booted_at: usage.booted_at.map(to_wire_time),
            processes: usage.processes.iter().map(Into::into).collect(),
            cpu_times: usage.cpu_times.iter().map(Into::into).collect(),
            probe_durations: usage.probe_durations.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<v1::Usage> for HostUsage {
    type Error = ProtocolError;

    fn try_from(usage: v1::Usage) -> Result<Self, ProtocolError> {
        let mut processes: Vec<ProcessUsage> = usage.processes.into_iter().map(Into::into).collect();
        processes.sort_by_key(|process| process.pid);
        Ok(Self {
            measured_at: from_wire_time(usage.measured_at.ok_or(ProtocolError::Missing("measured_at"))?)?,
            cpus: usage.cpus,
            load: [usage.load_1, usage.load_5, usage.load_15],
            memory_total_bytes: usage.memory_total_bytes,
            memory_available_bytes: usage.memory_available_bytes,
            booted_at: usage.booted_at.map(from_wire_time).transpose()?,
            processes,
            cpu_times: usage.cpu_times.into_iter().map(Into::into).collect(),
            probe_durations: usage.probe_durations.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<&ProcessUsage> for v1::ProcessUsage {
    fn from(process: &ProcessUsage) -> Self {
        let ProcessUsage { pid, cpu_percent, resident_bytes, threads, open_files } = *process;
        Self { pid, cpu_percent, resident_bytes, threads, open_files }
    }
}

impl From<v1::ProcessUsage> for ProcessUsage {
    fn from(process: v1::ProcessUsage) -> Self {
        let v1::ProcessUsage { pid, cpu_percent, resident_bytes, threads, open_files } = process;
        Self { pid, cpu_percent, resident_bytes, threads, open_files }
    }
}

impl From<&ComponentCpuTime> for v1::ComponentCpuTime {
    fn from(time: &ComponentCpuTime) -> Self {
        Self { component: time.component.as_str().to_owned(), cpu_seconds: time.cpu_seconds }
    }
}

impl From<v1::ComponentCpuTime> for ComponentCpuTime {
    fn from(time: v1::ComponentCpuTime) -> Self {
        Self { component: time.component.into(), cpu_seconds: time.cpu_seconds }
    }
}

impl From<&ProbeDuration> for v1::ProbeDuration {
    fn from(duration: &ProbeDuration) -> Self {
        Self { component: duration.component.as_str().to_owned(), seconds: duration.seconds }
    }
}

impl From<v1::ProbeDuration> for ProbeDuration {
    fn from(duration: v1::ProbeDuration) -> Self {
        Self { component: duration.component.into(), seconds: duration.seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_comes_back() {
        let usage = HostUsage {
            measured_at: "2026-11-24T09:30:00Z".parse().unwrap(),
            cpus: 4,
            load: [1.5, 1.0, 0.5],
            memory_total_bytes: 8,
            memory_available_bytes: 4,
            booted_at: Some("2026-11-20T09:30:00Z".parse().unwrap()),
            processes: vec![ProcessUsage {
                pid: 7,
                cpu_percent: 99.5,
                resident_bytes: 1,
                threads: 2,
                open_files: None,
            }],
            cpu_times: vec![ComponentCpuTime { component: "kafka server".into(), cpu_seconds: 12.5 }],
            probe_durations: vec![ProbeDuration { component: "kafka server".into(), seconds: 0.25 }],
        };
        assert_eq!(HostUsage::try_from(v1::Usage::from(&usage)), Ok(usage));
    }
}
