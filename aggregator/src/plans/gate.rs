//! Gate of a batch: when it is passed, and when it has failed. Pure.

use std::time::{Duration, Instant};

use rta_shared::overview::{Health, InstanceId, Overview};
use rta_shared::plan::{BatchGate, GateCondition};
use rta_shared::probe::ProbeState;

/// Time within which an instance must meet the condition. A start has waited for the probe already, so that
/// this covers what the instance needs.
const GATE_TIMEOUT: Duration = Duration::from_secs(60);

/// What an overview shows of an instance at a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GateReading {
    /// It meets the condition.
    Met,
    /// It does not; the reason as a sentence.
    Unmet(String),
    /// It is not known; the reason as a sentence.
    Unknown(String),
}

/// Returns what `overview` shows of an instance at a gate with this condition.
pub(crate) fn read_gate(condition: GateCondition, id: &InstanceId, overview: &Overview) -> GateReading {
    let Some(located) = overview.find(id) else {
        return GateReading::Unmet("the configuration does not have it any more".to_owned());
    };
    let instance = located.instance;
    match instance.health {
        Health::Up => {}
        Health::Unknown => return GateReading::Unknown(instance.reason.clone()),
        health => return GateReading::Unmet(format!("it is {health}: {}", instance.reason)),
    }
    let passes = instance.probe.as_ref().is_some_and(|probe| probe.state == ProbeState::Passing);
    match condition {
        GateCondition::Probe if !passes => GateReading::Unmet("its probe has not passed".to_owned()),
        GateCondition::Probe | GateCondition::Up => GateReading::Met,
    }
}

/// Decision at a gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GateDecision {
    /// Look again at the next overview, or at this time.
    Wait(Instant, String),
    /// Passed; the result as a sentence.
    Pass(String),
    /// Failed; the reason as a sentence.
    Fail(String),
}

/// Wait of one instance at a gate.
#[derive(Debug)]
pub(crate) struct GateWait {
    pause: Duration,
    deadline: Instant,
    /// Time since which the condition has been met.
    met_since: Option<Instant>,
}

impl GateWait {
    /// Begins to wait at `gate`.
    pub(crate) fn new(gate: &BatchGate, now: Instant) -> Self {
        Self { pause: gate.pause.unsigned_abs(), deadline: now + GATE_TIMEOUT, met_since: None }
    }

    /// Returns true if the condition is met, and only the pause is missing.
    pub(crate) fn is_met(&self) -> bool {
        self.met_since.is_some()
    }

    /// Decides by what is shown at the time `now`. While the condition was not met yet, there is time for it;
    /// once it was, it must last for the pause. What is unknown does not count as failed, and the pause
    /// begins again after it.
    pub(crate) fn decide(&mut self, reading: GateReading, now: Instant) -> GateDecision {
        let reason = match reading {
            GateReading::Met => {
                let until = *self.met_since.get_or_insert(now) + self.pause;
                let pause = self.pause.as_secs();
                return match (now >= until, pause) {
                    (true, 0) => GateDecision::Pass("it is up".to_owned()),
                    (true, _) => GateDecision::Pass(format!("it has been up for {pause} s")),
                    (false, _) => GateDecision::Wait(until, format!("it is up; pausing for {pause} s")),
                };
            }
            GateReading::Unmet(reason) if self.met_since.is_some() => {
                return GateDecision::Fail(format!("it did not stay up: {reason}"));
            }
            GateReading::Unknown(reason) => {
                if self.met_since.take().is_some() {
                    self.deadline = now + GATE_TIMEOUT;
                }
                reason
            }
            GateReading::Unmet(reason) => reason,
        };
        match now >= self.deadline {
            true => {
                let timeout = GATE_TIMEOUT.as_secs();
                GateDecision::Fail(format!("it has not come up within {timeout} s: {reason}"))
            }
            false => GateDecision::Wait(self.deadline, format!("waiting: {reason}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use rta_shared::probe::ProbeReport;

    use super::*;
    use crate::sample_overview::sample;

    fn wait(pause: i64, now: Instant) -> GateWait {
        let gate = BatchGate { condition: GateCondition::Up, pause: SignedDuration::from_secs(pause) };
        GateWait::new(&gate, now)
    }

    fn unmet() -> GateReading {
        GateReading::Unmet("it is down: no disk".to_owned())
    }

    #[test]
    fn condition_must_last_for_the_pause() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut without = wait(0, began);
        assert_eq!(without.decide(GateReading::Met, began), GateDecision::Pass("it is up".to_owned()));
        let mut gate = wait(30, began);
        let waiting = GateDecision::Wait(after(60), "waiting: it is down: no disk".to_owned());
        assert_eq!(gate.decide(unmet(), after(1)), waiting);
        let pausing = GateDecision::Wait(after(32), "it is up; pausing for 30 s".to_owned());
        for seconds in [2, 31] {
            assert_eq!(gate.decide(GateReading::Met, after(seconds)), pausing);
        }
        let passed = GateDecision::Pass("it has been up for 30 s".to_owned());
        assert_eq!(gate.decide(GateReading::Met, after(32)), passed);
    }

    #[test]
    fn gate_fails_when_time_is_over_or_the_condition_is_lost() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut late = wait(0, began);
        let failed = "it has not come up within 60 s: it is down: no disk".to_owned();
        assert_eq!(late.decide(unmet(), after(60)), GateDecision::Fail(failed));
        let mut lost = wait(30, began);
        lost.decide(GateReading::Met, after(1));
        let failed = "it did not stay up: it is down: no disk".to_owned();
        assert_eq!(lost.decide(unmet(), after(5)), GateDecision::Fail(failed));
    }

    #[test]
    fn unknown_is_no_failure_and_begins_the_pause_again() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let unknown = || GateReading::Unknown("the agent does not answer".to_owned());
        let mut gate = wait(30, began);
        gate.decide(GateReading::Met, after(1));
        let waiting = GateDecision::Wait(after(80), "waiting: the agent does not answer".to_owned());
        assert_eq!(gate.decide(unknown(), after(20)), waiting);
        assert!(!gate.is_met());
        let pausing = GateDecision::Wait(after(55), "it is up; pausing for 30 s".to_owned());
        assert_eq!(gate.decide(GateReading::Met, after(25)), pausing);
        let mut silent = wait(0, began);
        assert!(matches!(silent.decide(unknown(), after(60)), GateDecision::Fail(_)));
    }

    #[test]
    fn only_what_is_up_and_probed_meets_its_condition() {
        let mut overview = sample();
        let id = InstanceId {
            environment: "DEV".into(),
            host: "c9t21193".into(),
            component: "kafka server".into(),
        };
        let read = |overview: &Overview, condition| read_gate(condition, &id, overview);
        assert!(matches!(read(&overview, GateCondition::Up), GateReading::Unmet(_)));
        let set = |overview: &mut Overview, health, probe: Option<ProbeState>| {
            let hosts = overview.environments.iter_mut().flat_map(|environment| &mut environment.hosts);
            for instance in hosts.flat_map(|host| &mut host.instances) {
                instance.health = health;
                instance.probe = probe.map(|state| ProbeReport {
                    state,
                    since: Timestamp::UNIX_EPOCH,
                    reason: String::new(),
                });
            }
        };
        set(&mut overview, Health::Unknown, None);
        assert!(matches!(read(&overview, GateCondition::Up), GateReading::Unknown(_)));
        set(&mut overview, Health::Up, None);
        assert_eq!(read(&overview, GateCondition::Up), GateReading::Met);
        assert!(matches!(read(&overview, GateCondition::Probe), GateReading::Unmet(_)));
        set(&mut overview, Health::Up, Some(ProbeState::Passing));
        assert_eq!(read(&overview, GateCondition::Probe), GateReading::Met);
        let gone = InstanceId { host: "gone".into(), ..id.clone() };
        assert!(matches!(read_gate(GateCondition::Up, &gone, &overview), GateReading::Unmet(_)));
    }
}
