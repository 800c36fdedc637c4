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
/// Maximum number of samples of an instance. With 4 bytes each, 14,000 instances take 14 MB.
const MAX_SAMPLES: usize = 240;

/// Usage of an instance at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct UsageSample {
    /// Time by the aggregator's clock, to the second.
    pub(crate) at: Timestamp,
    /// CPU time in percent of one core, to a thousandth of itself.
    pub(crate) cpu_percent: f64,
    /// Memory, to a thousandth of itself, at most 4 TiB.
    pub(crate) resident_bytes: u64,
}

/// Whole number with 11 significant bits: the error is below a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rounded(u16);

impl Rounded {
    /// Number of significant bits; the others hold the exponent.
    const BITS: u32 = 11;

    fn new(value: u64) -> Self {
        let value = value.min(u64::from(u32::MAX));
        let exponent = (u64::BITS - value.leading_zeros()).saturating_sub(Self::BITS);
        let mantissa = value >> exponent;
        // Both fit: the value has at most 32 bits, and the mantissa 11.
        Self(u16::try_from(u64::from(exponent) << Self::BITS | mantissa).unwrap_or(u16::MAX))
    }

    fn value(self) -> u64 {
        let mantissa = u64::from(self.0) & ((1 << Self::BITS) - 1);
        mantissa << (self.0 >> Self::BITS)
    }
}

/// Sample without its time, which all instances of a host share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PackedSample {
    /// Hundredths of a percent of one core.
    cpu: Rounded,
    resident_kib: Rounded,
}

impl PackedSample {
    /// Stands for a time without a measurement. No sample is equal to it: its values exceed all that are
    /// stored.
    const ABSENT: Self = Self { cpu: Rounded(u16::MAX), resident_kib: Rounded(u16::MAX) };

    fn new(used: &UsageTotal) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the conversion saturates; a share needs no more digits"
        )]
        let cpu = (used.cpu_percent * 100.0).round() as u64;
        Self { cpu: Rounded::new(cpu), resident_kib: Rounded::new(used.resident_bytes / 1024) }
    }

    #[expect(clippy::cast_precision_loss, reason = "it has 11 significant bits")]
    fn unpack(self, at: Timestamp) -> UsageSample {
        UsageSample {
            at,
            cpu_percent: self.cpu.value() as f64 / 100.0,
            resident_bytes: self.resident_kib.value() * 1024,
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
    /// Times of the samples, in seconds since 1970, the oldest first.
    times: VecDeque<u32>,
    /// Samples of each component, one for each of these times.
    components: HashMap<Name, VecDeque<PackedSample>>,
}

impl Default for HostSamples {
    fn default() -> Self {
        Self {
            measured_at: Timestamp::MIN,
            taken_at: Timestamp::MIN,
            times: VecDeque::new(),
            components: HashMap::new(),
        }
    }
}

/// Returns the time that is stored as `seconds` since 1970.
fn time_of(seconds: u32) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(i64::from(seconds))
}

impl HostSamples {
    /// Drops the samples that are too old, or too many; and those with a later time, which were made with a
    /// clock that was ahead: their real time is unknown.
    fn drop_outdated(&mut self, now: Timestamp) {
        let is_old = |at: u32| now.duration_since(time_of(at)) > RETENTION;
        while self.times.front().is_some_and(|at| is_old(*at)) || self.times.len() >= MAX_SAMPLES {
            self.times.pop_front();
            for samples in self.components.values_mut() {
                samples.pop_front();
            }
        }
        while self.times.back().is_some_and(|at| time_of(*at) > now) {
            self.times.pop_back();
            for samples in self.components.values_mut() {
                samples.pop_back();
            }
        }
        let is_present = |sample: &PackedSample| *sample != PackedSample::ABSENT;
        self.components.retain(|_, samples| samples.iter().any(is_present));
    }

    /// Adds a time at which these components were measured.
    fn add<'n>(&mut self, at: Timestamp, measured: impl Iterator<Item = (&'n Name, UsageTotal)>) {
        let earlier = self.times.len();
        self.times.push_back(u32::try_from(at.as_second()).unwrap_or_default());
        self.components.values_mut().for_each(|samples| samples.push_back(PackedSample::ABSENT));
        for (component, used) in measured {
            if !self.components.contains_key(component) {
                let before = VecDeque::from(vec![PackedSample::ABSENT; earlier + 1]);
                self.components.insert(component.clone(), before);
            }
            if let Some(last) = self.components.get_mut(component).and_then(VecDeque::back_mut) {
                *last = PackedSample::new(&used);
            }
        }
    }
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
        let Some(host) = hosts.hosts.get(&id.host) else { return Vec::new() };
        let samples = host.components.get(&id.component).into_iter().flatten();
        let timed = host.times.iter().zip(samples).filter(|(_, sample)| **sample != PackedSample::ABSENT);
        let unpacked = timed.map(|(at, sample)| sample.unpack(time_of(*at)));
        unpacked.filter(|sample| now.duration_since(sample.at) <= RETENTION).collect()
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
        let known = match self.hosts.get_mut(&host.name) {
            Some(known) => known,
            None => self.hosts.entry(host.name.clone()).or_default(),
        };
        // If the clock was set back, the next sample is due at once.
        let is_early = known.taken_at <= now && now.duration_since(known.taken_at) < MIN_SAMPLE_INTERVAL;
        if is_early || known.measured_at == usage.measured_at {
            return;
        }
        (known.measured_at, known.taken_at) = (usage.measured_at, now);
        known.drop_outdated(now);
        let totals = host.instances.iter().filter_map(|instance| {
            let pids = instance.processes.iter().map(|process| process.id.pid);
            Some((&instance.component, usage.total_of(pids)?))
        });
        known.add(now, totals);
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
        host.instances[0].processes = vec![Process::new(ProcessId { pid: 7, start_ticks: 1 }, 1)].into();
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
            probe_durations: Vec::new(),
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
        assert_eq!(size_of::<PackedSample>(), 4);
    }

    #[test]
    fn rounded_numbers_differ_by_less_than_a_thousandth() {
        for value in (0..64).map(|bits| 1_u64 << bits).flat_map(|power| [power - 1, power, power / 3 * 4]) {
            let expected = value.min(u64::from(u32::MAX));
            let stored = Rounded::new(value).value();
            assert!(stored <= expected && (expected - stored) * 1000 <= expected, "{value} as {stored}");
        }
        assert_ne!(Rounded::new(u64::MAX), PackedSample::ABSENT.cpu);
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
