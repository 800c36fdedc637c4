//! CPU time of components: a sum that never decreases, over processes that come and go. Pure.

use std::collections::HashMap;

use rta_shared::name::Name;
use rta_shared::process::ProcessId;
use rta_shared::usage::ComponentCpuTime;

/// CPU time of each component since it was first measured.
#[derive(Debug, Default)]
pub(crate) struct CpuTimes {
    components: HashMap<Name, ComponentTime>,
}

#[derive(Debug, Default)]
struct ComponentTime {
    total: f64,
    /// CPU time of each process at the last measurement.
    processes: HashMap<ProcessId, f64>,
}

impl CpuTimes {
    /// Adds a measurement: the processes of each component, and the CPU time of a process in seconds, `None` if
    /// it was not measured. Components that are not part of it are forgotten. Returns the time of each
    /// component.
    pub(crate) fn add(
        &mut self,
        components: &[(Name, Vec<ProcessId>)],
        cpu_seconds: impl Fn(u32) -> Option<f64>,
    ) -> Vec<ComponentCpuTime> {
        self.components.retain(|name, _| components.iter().any(|(component, _)| component == name));
        let times = components.iter().map(|(component, processes)| {
            let is_known = self.components.contains_key(component);
            let time = self.components.entry(component.clone()).or_default();
            time.add(processes, is_known, &cpu_seconds);
            ComponentCpuTime { component: component.clone(), cpu_seconds: time.total }
        });
        times.collect()
    }
}

impl ComponentTime {
    /// Adds what each process has used since the last measurement. A process that was not there before has
    /// begun since then (`is_known`), or began before the first measurement, and its past does not count.
    fn add(&mut self, processes: &[ProcessId], is_known: bool, cpu_seconds: impl Fn(u32) -> Option<f64>) {
        let measured = processes.iter().filter_map(|id| Some((*id, cpu_seconds(id.pid)?)));
        let measured: HashMap<ProcessId, f64> = measured.collect();
        for (id, now) in &measured {
            let before = match self.processes.get(id) {
                Some(before) => *before,
                None if is_known => 0.0,
                None => *now,
            };
            self.total += (now - before).max(0.0);
        }
        // A process that could not be measured this time goes on from its last measurement.
        self.processes.retain(|id, _| processes.contains(id));
        self.processes.extend(measured);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(pid: u32, start_ticks: u64) -> ProcessId {
        ProcessId { pid, start_ticks }
    }

    /// Adds a measurement of the component `a` with these processes: PID, start, CPU seconds.
    fn add(times: &mut CpuTimes, processes: &[(u32, u64, f64)]) -> f64 {
        let ids = processes.iter().map(|(pid, start, _)| id(*pid, *start)).collect();
        let seconds =
            |pid| processes.iter().find(|(other, _, _)| *other == pid).map(|(_, _, seconds)| *seconds);
        times.add(&[("a".into(), ids)], seconds)[0].cpu_seconds
    }

    #[test]
    fn time_is_counted_from_the_first_measurement_and_never_decreases() {
        let mut times = CpuTimes::default();
        assert_eq!(add(&mut times, &[(1, 1, 100.0)]), 0.0);
        assert_eq!(add(&mut times, &[(1, 1, 101.5)]), 1.5);
        assert_eq!(add(&mut times, &[(1, 1, 102.0), (2, 5, 0.25)]), 2.25);
        assert_eq!(add(&mut times, &[(2, 5, 1.25)]), 3.25);
        assert_eq!(add(&mut times, &[]), 3.25);
        assert_eq!(add(&mut times, &[(2, 9, 0.5)]), 3.75);
    }

    #[test]
    fn component_that_was_removed_begins_again() {
        let mut times = CpuTimes::default();
        add(&mut times, &[(1, 1, 1.0)]);
        assert_eq!(add(&mut times, &[(1, 1, 3.0)]), 2.0);
        assert!(times.add(&[], |_| None).is_empty());
        assert_eq!(add(&mut times, &[(1, 1, 9.0)]), 0.0);
    }

    #[test]
    fn process_that_cannot_be_measured_adds_nothing() {
        let mut times = CpuTimes::default();
        let processes = [("a".into(), vec![id(1, 1)])];
        let mut measure = |seconds| times.add(&processes, |_| seconds)[0].cpu_seconds;
        assert_eq!(measure(Some(5.0)), 0.0);
        assert_eq!(measure(None), 0.0);
        assert_eq!(measure(Some(6.0)), 1.0);
    }
}
