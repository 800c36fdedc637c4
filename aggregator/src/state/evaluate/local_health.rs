//! Health of a component by its own processes and its probe, regardless of its dependencies.

use rta_shared::autostart::Autostart;
use rta_shared::down_cause::DownKind;
use rta_shared::limit::ExceededLimit;
use rta_shared::overview::Health;
use rta_shared::probe::ProbeState;
use rta_shared::process::Suspension;
use rta_shared::report::{ComponentReport, PartReport, State};
use rta_shared::unit::UnitReport;

/// Returns the health, and the reason why it is not up as a sentence (empty if it is up).
pub(crate) fn local_health(seen: &ComponentReport) -> (Health, String) {
    let down = |reason: &str| (Health::Down, reason.to_owned());
    match seen.state {
        State::Stopped => down(&stopped_reason(seen)),
        State::Starting if seen.awaits_probe() => down(&awaited_reason(seen)),
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
                // The agent's state counts even if the parts do not explain it.
                reasons.push("only some of its processes run".to_owned());
            }
            let surplus: Vec<String> = seen.parts.iter().filter_map(PartReport::surplus).collect();
            if surplus.is_empty() && seen.doubled {
                reasons.push("it runs more than once".to_owned());
            }
            reasons.extend(surplus);
            reasons.extend(Suspension::sentences(&seen.processes));
            if let Some(probe) = seen.probe.as_ref().filter(|probe| probe.state == ProbeState::Failing) {
                reasons.push(format!("its probe fails: {}", probe.reason));
            }
            if let Some(autostart) = seen.autostart.as_deref().filter(|autostart| autostart.flapping) {
                reasons
                    .push(format!("it was restarted {} lately (flapping)", format_times(autostart.restarts)));
            }
            reasons.extend(seen.exceeded_limits.iter().map(ExceededLimit::sentence));
            // An idle unit alone is no problem: the process does its work, no matter what started it.
            if let Some(unit) = seen.unit.as_ref().filter(|unit| !reasons.is_empty() && is_idle(unit)) {
                reasons.push(format!("its unit {unit}"));
            }
            let health = if reasons.is_empty() { Health::Up } else { Health::Degraded };
            (health, reasons.join("; "))
        }
    }
}

/// Returns the sentence for a component that waits for the first success of its probe, with the probe's last
/// result.
fn awaited_reason(seen: &ComponentReport) -> String {
    let mut reason = "it is starting: waiting for its probe".to_owned();
    if let Some(probe) = seen.probe.as_ref().filter(|probe| !probe.reason.is_empty()) {
        reason.push_str(&format!(" ({})", probe.reason));
    }
    reason
}

/// Returns the sentence for a component that does not run, with its cause and its restart state.
fn stopped_reason(seen: &ComponentReport) -> String {
    let cause = seen.down_cause.as_ref();
    let mut reason = cause.map_or_else(|| "it is not running".to_owned(), ToString::to_string);
    match &seen.unit {
        Some(unit) if unit.error.is_some() => reason.push_str(&format!("; {unit}")),
        Some(unit) if unit.active_state == "active" => {
            reason.push_str(&format!(", though its unit {} is active ({})", unit.name, unit.sub_state));
        }
        Some(unit) if unit.active_state == "failed" => {
            reason.push_str(&format!("; unit {} failed", unit.name));
            if !unit.result.is_empty() {
                reason.push_str(&format!(" ({})", unit.result));
            }
        }
        // The unit is in a state of systemd's own, such as waiting to restart it.
        Some(unit) if !is_idle(unit) => reason.push_str(&format!("; unit {unit}")),
        Some(_) | None => {}
    }
    // Nothing starts a second one beside what is still there.
    let is_unmatched = cause.is_some_and(|cause| matches!(cause.kind, DownKind::Unmatched { .. }));
    match seen.autostart.as_deref().filter(|_| !is_unmatched) {
        Some(Autostart { given_up: true, restarts, last_end, .. }) => {
            reason.push_str(&format!("; given up after {}", format_restarts(*restarts)));
            if !last_end.is_empty() {
                reason.push_str(&format!(": {last_end}"));
            }
        }
        Some(Autostart { waiting_for, .. }) if !waiting_for.is_empty() => {
            reason.push_str(&format!("; waiting for {waiting_for}"));
        }
        Some(Autostart { next_at: Some(_), .. }) => reason.push_str("; it is started again soon"),
        Some(_) | None => {}
    }
    reason
}

/// Returns true if systemd reports that nothing of the unit runs.
fn is_idle(unit: &UnitReport) -> bool {
    matches!(unit.active_state.as_str(), "inactive" | "failed")
}

/// Formats as `once`, `3 times`.
fn format_times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Formats as `1 restart`, `3 restarts`.
fn format_restarts(restarts: u32) -> String {
    format!("{restarts} restart{}", if restarts == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rta_shared::config::ProcessCount;
    use rta_shared::limit::LimitKind;
    use rta_shared::probe::ProbeReport;
    use rta_shared::process::{Process, ProcessId};

    use super::*;

    fn seen(state: State) -> ComponentReport {
        let part = |name: &str, running| PartReport {
            name: Some(name.into()),
            count: ProcessCount::ONE,
            running,
            pids: (1..=running).collect(),
        };
        ComponentReport {
            component: "processor".into(),
            state,
            processes: vec![].into(),
            parts: vec![part("launcher", 1), part("driver", u32::from(state == State::Running))].into(),
            doubled: false,
            unseen: None,
            action: None,
            unit: None,
            down_cause: None,
            autostart: None,
            exceeded_limits: vec![],
            probe: None,
        }
    }

    #[test]
    fn states_become_health_with_a_reason() {
        let rows = [
            (State::Running, Health::Up, ""),
            (State::Partial, Health::Degraded, "only some of its processes run; missing: driver"),
            (State::Stopped, Health::Down, "it is not running"),
            (State::Starting, Health::Down, "it is starting: waiting for its probe"),
            (State::Stopping, Health::Down, "it is being stopped"),
            (State::Unknown, Health::Unknown, "it was not found, but not every process can be seen"),
        ];
        for (state, health, reason) in rows {
            assert_eq!(local_health(&seen(state)), (health, reason.to_owned()));
        }
    }

    #[test]
    fn a_surplus_and_a_failing_probe_degrade_and_a_pending_one_is_not_up() {
        let mut report = seen(State::Running);
        let probe = |state| {
            Some(ProbeReport {
                state,
                since: Timestamp::UNIX_EPOCH,
                reason: "tcp 127.0.0.1:1: refused".into(),
            })
        };
        let mut starting = report.clone();
        starting.set_probe(probe(ProbeState::Pending));
        assert_eq!(starting.state, State::Starting);
        let why = "it is starting: waiting for its probe (tcp 127.0.0.1:1: refused)";
        assert_eq!(local_health(&starting), (Health::Down, why.to_owned()));
        report.set_probe(probe(ProbeState::Passing));
        assert_eq!((report.state, local_health(&report).0), (State::Running, Health::Up));
        report.set_probe(probe(ProbeState::Failing));
        assert_eq!(report.state, State::Running);
        report.parts[1].running = 2;
        report.parts[1].pids = vec![7, 8];
        assert_eq!(
            local_health(&report),
            (
                Health::Degraded,
                "driver runs 2 times, at most 1 is right: pids 7, 8; its probe fails: tcp 127.0.0.1:1: refused"
                    .to_owned()
            )
        );
    }

    #[test]
    fn suspended_process_degrades() {
        let mut report = seen(State::Running);
        report.processes = vec![Process {
            suspension: Some(Suspension::Signal),
            ..Process::new(ProcessId { pid: 4242, start_ticks: 1 }, 1)
        }]
        .into();
        let reason = "pid 4242 is stopped by a signal (SIGSTOP); resume it with kill -CONT 4242";
        assert_eq!(local_health(&report), (Health::Degraded, reason.to_owned()));
    }

    #[test]
    fn exceeded_limit_degrades_with_its_figure() {
        let mut report = seen(State::Running);
        report.exceeded_limits = vec![ExceededLimit {
            kind: LimitKind::Memory,
            reason: "uses 4.3 GiB of memory, above 4 GiB".to_owned(),
            since: "2026-11-24T09:29:59Z".parse().unwrap(),
        }];
        let reason = "it uses 4.3 GiB of memory, above 4 GiB since 09:29:59 UTC";
        assert_eq!(local_health(&report), (Health::Degraded, reason.to_owned()));
        // What does not run uses nothing.
        report.state = State::Stopped;
        assert_eq!(local_health(&report), (Health::Down, "it is not running".to_owned()));
    }

    fn unit(active: &str, sub: &str, result: &str) -> Option<UnitReport> {
        Some(UnitReport {
            name: "kafka.service".into(),
            active_state: active.into(),
            sub_state: sub.into(),
            result: result.into(),
            error: None,
        })
    }

    #[test]
    fn what_systemd_says_of_a_stopped_component_is_told() {
        let rows = [
            (unit("inactive", "dead", "success"), "it is not running"),
            (
                unit("active", "exited", "success"),
                "it is not running, though its unit kafka.service is active (exited)",
            ),
            (
                unit("failed", "failed", "exit-code"),
                "it is not running; unit kafka.service failed (exit-code)",
            ),
            (
                unit("activating", "auto-restart", "exit-code"),
                "it is not running; unit kafka.service activating (auto-restart, exit-code)",
            ),
        ];
        for (unit, reason) in rows {
            let report = ComponentReport { unit: unit.map(Box::new), ..seen(State::Stopped) };
            assert_eq!(local_health(&report), (Health::Down, reason.to_owned()));
        }
        let mut report = ComponentReport { unit: unit("", "", "").map(Box::new), ..seen(State::Stopped) };
        report.unit.as_mut().unwrap().error = Some("no bus".into());
        assert_eq!(local_health(&report).1, "it is not running; kafka.service: no bus");
    }

    #[test]
    fn what_runs_outside_of_its_unit_is_up_and_the_unit_is_told_with_other_trouble() {
        let failed = || unit("failed", "failed", "signal").map(Box::new);
        let running = ComponentReport { unit: failed(), ..seen(State::Running) };
        assert_eq!(local_health(&running), (Health::Up, String::new()));
        let partial = ComponentReport { unit: failed(), ..seen(State::Partial) };
        assert_eq!(
            local_health(&partial),
            (
                Health::Degraded,
                "only some of its processes run; missing: driver; its unit kafka.service failed (failed, signal)"
                    .to_owned()
            )
        );
    }

    #[test]
    fn restarts_are_told_and_too_many_degrade() {
        let autostart = Autostart {
            wanted: true,
            why: "ann started it".into(),
            restarts: 3,
            next_at: None,
            given_up: false,
            flapping: false,
            last_end: "it ended with exit status 1 at 09:30:00 UTC".into(),
            restarts_total: 7,
            waiting_for: String::new(),
        };
        let with = |state, autostart: &Autostart| {
            local_health(&ComponentReport { autostart: Some(Box::new(autostart.clone())), ..seen(state) })
        };
        assert_eq!(with(State::Running, &autostart), (Health::Up, String::new()));
        assert_eq!(with(State::Stopped, &autostart).1, "it is not running");
        let soon = Autostart { next_at: Some(Timestamp::UNIX_EPOCH), ..autostart.clone() };
        assert_eq!(with(State::Stopped, &soon).1, "it is not running; it is started again soon");
        let waiting = Autostart { waiting_for: "kafka server on k1".into(), ..soon };
        assert_eq!(with(State::Stopped, &waiting).1, "it is not running; waiting for kafka server on k1");
        let flapping = Autostart { flapping: true, ..autostart.clone() };
        assert_eq!(
            with(State::Running, &flapping),
            (Health::Degraded, "it was restarted 3 times lately (flapping)".to_owned())
        );
        let given_up = Autostart { given_up: true, ..flapping };
        assert_eq!(
            with(State::Stopped, &given_up),
            (
                Health::Down,
                "it is not running; given up after 3 restarts: it ended with exit status 1 at 09:30:00 UTC"
                    .to_owned()
            )
        );
    }
}
