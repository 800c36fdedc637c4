//! Resource usage of every instance over the last hour, in memory. Pure, apart from the lock around it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use rta_shared::config::Platform;
use rta_shared::name::Name;
use rta_shared::overview::{HostOverview, InstanceId};
use rta_shared::usage::UsageTotal;

/// Minimum time between two samples; agents measure more often.
const MIN_SAMPLE_INTERVAL: SignedDuration = SignedDuration::from_secs(15);
/// Retention time of samples.
const RETENTION: SignedDuration = SignedDuration::from_hours(1);
/// Maximum number of samples of an instance. With 12 bytes each, 14,000 instances take 40 MB.
const MAX_SAMPLES: usize = 240;

/// Usage of an instance at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct UsageSample {
    /// Time by the aggregator's clock, to the second.
    pub(crate) at: Timestamp,
    /// CPU time in percent of one core.
    pub(crate) cpu_percent: f64,
    /// Memory, to 1024 bytes, at most 4 TiB.
    pub(crate) resident_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct PackedSample {
    /// Seconds since 1970.
    at: u32,
    cpu_percent: f32,
    resident_kib: u32,
}

impl PackedSample {
    fn new(at: Timestamp, used: &UsageTotal) -> Self {
        Self {
            at: u32::try_from(at.as_second()).unwrap_or_default(),
            #[expect(clippy::cast_possible_truncation, reason = "a share needs no more digits")]
            cpu_percent: used.cpu_percent as f32,
            resident_kib: u32::try_from(used.resident_bytes / 1024).unwrap_or(u32::MAX),
        }
    }

    fn at(self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(i64::from(self.at))
    }

    fn unpack(self) -> UsageSample {
        UsageSample {
            at: self.at(),
            cpu_percent: f64::from(self.cpu_percent),
            resident_bytes: u64::from(self.resident_kib) * 1024,
        }
    }
}

/// Usage of every instance; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct UsageHistory(Arc<Mutex<SamplesByHost>>);

#[derive(Debug, Default)]
struct SamplesByHost {
    hosts: HashMap<Name, HostSamples>,
}

#[derive(Debug)]
struct HostSamples {
    /// Time of the last stored measurement, by the host's clock.
    measured_at: Timestamp,
    /// Time at which it was stored, by the aggregator's clock.
    taken_at: Timestamp,
    components: HashMap<Name, VecDeque<PackedSample>>,
}

impl UsageHistory {
    /// Stores the measurements of these hosts that are new and due.
    pub(crate) fn record_usage<'h>(&self, hosts: impl Iterator<Item = &'h HostOverview>, now: Timestamp) {
        // A panic while the lock is held leaves usable samples.
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.for_each(|host| samples.note(host, now));
    }

    /// Drops hosts and components that `platform` does not have.
    pub(crate) fn follow_platform(&self, platform: &Platform) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drop_removed(platform);
    }

    /// Returns an instance's samples of the hour before `now`, the oldest first. Times without a measurement
    /// have none, because the instance did not run or its host was unknown.
    pub(crate) fn instance_samples(&self, id: &InstanceId, now: Timestamp) -> Vec<UsageSample> {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = hosts.hosts.get(&id.host).and_then(|host| host.components.get(&id.component));
        let samples =
            samples.into_iter().flatten().filter(|sample| now.duration_since(sample.at()) <= RETENTION);
        samples.map(|sample| sample.unpack()).collect()
    }
}

impl SamplesByHost {
    fn drop_removed(&mut self, platform: &Platform) {
        let configured: HashMap<&Name, &[Name]> =
            platform.hosts().map(|host| (&host.name, host.components.as_slice())).collect();
        self.hosts.retain(|name, host| {
            let components = configured.get(name).copied().unwrap_or_default();
            host.components.retain(|component, _| components.contains(component));
            !host.components.is_empty()
        });
    }

    fn note(&mut self, host: &HostOverview, now: Timestamp) {
        let Some(usage) = &host.usage else { return };
        let known = self.hosts.entry(host.name.clone()).or_insert_with(|| HostSamples {
            measured_at: Timestamp::MIN,
            taken_at: Timestamp::MIN,
            components: HashMap::new(),
        });
        // If the clock was set back, the next sample is due at once.
        let is_early = known.taken_at <= now && now.duration_since(known.taken_at) < MIN_SAMPLE_INTERVAL;
        if is_early || known.measured_at == usage.measured_at {
            return;
        }
        (known.measured_at, known.taken_at) = (usage.measured_at, now);
        for instance in &host.instances {
            let Some(used) = usage.total_of(instance.processes.iter().map(|process| process.id.pid)) else {
                continue;
            };
            let samples = known.components.entry(instance.component.clone()).or_default();
            // Samples with a later time were made with a clock that was ahead; their real time is unknown.
            samples.retain(|sample| sample.at() <= now && now.duration_since(sample.at()) <= RETENTION);
            samples.push_back(PackedSample::new(now, &used));
            if samples.len() > MAX_SAMPLES {
                samples.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Source, load_sources};
    use rta_shared::overview::Overview;
    use rta_shared::process::{Process, ProcessId};
    use rta_shared::usage::{HostUsage, ProcessUsage};

    use super::*;
    use crate::sample_overview::sample;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    /// Returns the sample overview at a moment, with this usage of the detector on its second host.
    fn measured(seconds: i64, cpu_percent: f64) -> Overview {
        let mut overview = sample();
        overview.generated_at = at(seconds);
        let host = &mut overview.environments[0].hosts[1];
        host.instances[0].processes = vec![Process::new(ProcessId { pid: 7, start_ticks: 1 }, 1)];
        host.usage = Some(HostUsage {
            measured_at: at(seconds - 1000),
            cpus: 1,
            load: [0.0; 3],
            memory_total_bytes: 0,
            memory_available_bytes: 0,
            booted_at: None,
            processes: vec![ProcessUsage {
                pid: 7,
                cpu_percent,
                resident_bytes: 10_240_000,
                threads: 1,
                open_files: None,
            }],
            cpu_times: Vec::new(),
        });
        overview
    }

    fn record(history: &UsageHistory, overview: &Overview) {
        let hosts = overview.environments[0].hosts.iter().map(|host| &**host);
        history.record_usage(hosts, overview.generated_at);
    }

    fn detector() -> InstanceId {
        InstanceId {
            environment: "DEV".into(),
            host: "c2t08978".into(),
            component: "Novelty Detector".into(),
        }
    }

    fn seconds(history: &UsageHistory, now: i64) -> Vec<i64> {
        history.instance_samples(&detector(), at(now)).iter().map(|sample| sample.at.as_second()).collect()
    }

    #[test]
    fn samples_are_spaced_and_of_one_measurement_each() {
        let history = UsageHistory::default();
        for second in [0, 5, 14, 15, 20, 31] {
            record(&history, &measured(second, 12.5));
        }
        let again = measured(31, 12.5);
        record(&history, &Overview { generated_at: at(100), ..again });
        assert_eq!(seconds(&history, 100), [0, 15, 31]);
        let first = history.instance_samples(&detector(), at(100))[0];
        assert_eq!((first.cpu_percent, first.resident_bytes), (12.5, 10_240_000));
    }

    #[test]
    fn what_does_not_run_or_is_not_known_has_no_samples() {
        let history = UsageHistory::default();
        record(&history, &measured(0, 1.0));
        let mut lost = measured(20, 1.0);
        lost.environments[0].hosts[1].usage = None;
        record(&history, &lost);
        let mut stopped = measured(40, 1.0);
        stopped.environments[0].hosts[1].instances[0].processes.clear();
        record(&history, &stopped);
        record(&history, &measured(60, 1.0));
        assert_eq!(seconds(&history, 60), [0, 60]);
    }

    #[test]
    fn an_hour_is_kept_and_never_more_than_the_memory_that_was_promised() {
        let history = UsageHistory::default();
        for second in (0..10_000).step_by(15) {
            record(&history, &measured(second, 1.0));
        }
        let kept = seconds(&history, 9_990);
        assert_eq!((kept.len(), kept.last()), (MAX_SAMPLES, Some(&9_990)));
        assert!(seconds(&history, 20_000).is_empty());
        assert_eq!(size_of::<PackedSample>(), 12);
    }

    #[test]
    fn a_clock_that_is_set_back_begins_anew() {
        let history = UsageHistory::default();
        for second in [5_000, 5_020, 100, 120] {
            record(&history, &measured(second, 1.0));
        }
        assert_eq!(seconds(&history, 120), [100, 120]);
    }

    #[test]
    fn what_is_gone_from_the_configuration_is_forgotten() {
        let history = UsageHistory::default();
        record(&history, &measured(0, 1.0));
        let platform = |component: &str| {
            let text = format!(
                "[[component]]\nname = \"{component}\"\ncriteria = [{{ regex = 'x' }}]\n[[environment]]\n\
                 name = \"DEV\"\nhost = [{{ name = \"c2t08978\", components = [\"{component}\"] }}]\n"
            );
            load_sources(&[Source { name: "x.toml".to_owned(), text }]).unwrap()
        };
        history.follow_platform(&platform("novelty detector"));
        assert_eq!(seconds(&history, 0), [0]);
        history.follow_platform(&platform("another"));
        assert!(seconds(&history, 0).is_empty());
    }
}
