//! What a component's own processes and its probe say of its health, whatever it depends on.

use crate::overview::Health;
use crate::probe::ProbeState;
use crate::report::{ComponentReport, PartReport, State};

/// The health, and why it is not up as a sentence; empty when up.
pub fn alone(seen: &ComponentReport) -> (Health, String) {
    let down = |reason: &str| (Health::Down, reason.to_owned());
    match seen.state {
        State::Stopped => down("it is not running"),
        State::Starting => down("it is being started"),
        State::Stopping => down("it is being stopped"),
        State::Unknown => {
            let unseen = seen.unseen.as_deref().unwrap_or("not every process can be seen");
            (Health::Unknown, format!("it was not found, but {unseen}"))
        }
        State::Partial | State::Running => {
            let mut reasons = Vec::new();
            let missing: Vec<String> = seen.parts.iter().filter_map(PartReport::missing).collect();
            if !missing.is_empty() {
                reasons.push(format!("only some of its processes run; missing: {}", missing.join(", ")));
            } else if seen.state == State::Partial {
                // What the parts do not explain is still what the agent said.
                reasons.push("only some of its processes run".to_owned());
            }
            let surplus: Vec<String> = seen.parts.iter().filter_map(PartReport::surplus).collect();
            if surplus.is_empty() && seen.doubled {
                reasons.push("it runs more than once".to_owned());
            }
            reasons.extend(surplus);
            if let Some(probe) = seen.probe.as_ref().filter(|probe| probe.state == ProbeState::Failing) {
                reasons.push(format!("its probe fails: {}", probe.reason));
            }
            let health = if reasons.is_empty() { Health::Up } else { Health::Degraded };
            (health, reasons.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::config::Count;
    use crate::probe::ProbeReport;

    fn seen(state: State) -> ComponentReport {
        let part = |name: &str, running| PartReport {
            name: Some(name.into()),
            count: Count::ONE,
            running,
            pids: (1..=running).collect(),
        };
        ComponentReport {
            component: "processor".into(),
            state,
            processes: vec![],
            parts: vec![part("launcher", 1), part("driver", u32::from(state == State::Running))],
            doubled: false,
            unseen: None,
            action: None,
            unit: None,
            autostart: None,
            probe: None,
        }
    }

    #[test]
    fn states_become_health_with_a_reason() {
        let rows = [
            (State::Running, Health::Up, ""),
            (State::Partial, Health::Degraded, "only some of its processes run; missing: driver"),
            (State::Stopped, Health::Down, "it is not running"),
            (State::Starting, Health::Down, "it is being started"),
            (State::Stopping, Health::Down, "it is being stopped"),
            (State::Unknown, Health::Unknown, "it was not found, but not every process can be seen"),
        ];
        for (state, health, reason) in rows {
            assert_eq!(alone(&seen(state)), (health, reason.to_owned()));
        }
    }

    #[test]
    fn a_surplus_and_a_failing_probe_degrade_and_a_pending_one_does_not() {
        let mut report = seen(State::Running);
        let probe = |state| {
            Some(ProbeReport {
                state,
                since: Timestamp::UNIX_EPOCH,
                reason: "tcp 127.0.0.1:1: refused".into(),
            })
        };
        report.probe = probe(ProbeState::Pending);
        assert_eq!(alone(&report).0, Health::Up);
        report.probe = probe(ProbeState::Failing);
        report.parts[1].running = 2;
        report.parts[1].pids = vec![7, 8];
        assert_eq!(
            alone(&report),
            (
                Health::Degraded,
                "driver runs 2 times, at most 1 is right: pids 7, 8; its probe fails: tcp 127.0.0.1:1: refused"
                    .to_owned()
            )
        );
    }
}
