//! Details of agents, resource usage of their hosts, and resource usage of each component's processes.

use std::fmt::Write as _;

use jiff::Timestamp;
use rta_shared::format::counted;
use rta_shared::format::{ago, elapsed, memory, percent, precise_duration};
use rta_shared::impairment::ImpairedPart;
use rta_shared::overview::{AgentOverview, HostOverview, InstanceOverview, Overview};
use rta_shared::report::PartReport;
use rta_shared::sanitize::printable;
use rta_shared::tls::certificate::expiry_text;
use rta_shared::usage::HostUsage;

use super::instance_notes;
use super::instance_table::process_users;

/// Formats a block for each host of `overview`, for the moment `now`.
pub(crate) fn host_details(overview: &Overview, now: Timestamp) -> String {
    let mut text = format!("configuration {}\n", printable(&overview.config_digest));
    // Writing to a String cannot fail, here and below.
    for line in overview.config_error.iter().flat_map(|error| error.lines()) {
        let _ = writeln!(text, "  the one on disk is invalid: {}", printable(line));
    }
    for environment in &overview.environments {
        for host in &environment.hosts {
            let place = format!("{}/{}", environment.name, host.name);
            let _ = writeln!(text, "\n{}", printable(&place));
            for line in host_lines(host, &overview.config_digest, now) {
                let _ = writeln!(text, "  {}", printable(&line));
            }
        }
    }
    text
}

fn host_lines(host: &HostOverview, digest: &str, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    match &host.agent {
        Some(agent) if host.reachable => lines.extend(agent_lines(agent, host.scanned_at, digest, now)),
        // The agent's last report may be outdated if the agent is lost.
        Some(agent) => {
            lines.push(format!("agent {}, last heard of {}", agent.version, ago(agent.seen_at, now)));
        }
        None => lines.push("agent not heard of yet".to_owned()),
    }
    lines.extend(host.error.clone());
    lines.extend(host.maintenance.as_ref().map(|maintenance| maintenance.sentence()));
    // Configuration impairments are already shown above.
    let impairments = host.impairments.iter().filter(|one| one.part != ImpairedPart::Configuration);
    lines.extend(impairments.map(|one| format!("{} impaired: {}", one.part, one.message)));
    if let Some(usage) = &host.usage {
        lines.push(host_usage_line(usage, now));
    }
    // Pads to the widest name, so that the figures align.
    let width = host.instances.iter().map(|instance| instance.component.as_str().chars().count()).max();
    for instance in &host.instances {
        let described = instance_line(instance, host.usage.as_ref(), now);
        if !described.is_empty() {
            lines.push(format!(
                "{:width$}  {described}",
                instance.component,
                width = width.unwrap_or_default()
            ));
        }
    }
    lines
}

fn agent_lines(
    agent: &AgentOverview,
    scanned_at: Option<Timestamp>,
    digest: &str,
    now: Timestamp,
) -> Vec<String> {
    let mut lines =
        vec![format!("agent {}, {}, seen {}", agent.version, agent.watch, ago(agent.seen_at, now))];
    if let Some(at) = scanned_at {
        let (duration, processes) =
            (precise_duration(agent.scan_micros), counted(agent.processes_seen as usize, "process"));
        lines.push(format!("last full scan {}: {processes} in {duration}", ago(at, now)));
    }
    let (overruns, differences) = (agent.watch.overruns, agent.watch.differences);
    if overruns > 0 || differences > 0 {
        lines.push(format!(
            "events lost {overruns} times (each time a full scan followed), changes missed {differences}"
        ));
    }
    lines.push(match (agent.config_digest.as_str(), agent.config_differs) {
        ("", _) => "configuration not told; the agent is of an older version".to_owned(),
        (own, false) => format!("configuration {own}, as the aggregator's"),
        (own, true) => {
            format!("configuration {own}, NOT the aggregator's {digest}: give both the same files and reload")
        }
    });
    for line in agent.config_error.iter().flat_map(|error| error.lines()) {
        lines.push(format!("refused a new configuration: {line}"));
    }
    if let Some(ends) = agent.certificate_ends {
        lines.push(format!("certificate {}", expiry_text(ends, now)));
    }
    lines
}

fn host_usage_line(usage: &HostUsage, now: Timestamp) -> String {
    let [one, five, fifteen] = usage.load;
    let used = usage.memory_total_bytes.saturating_sub(usage.memory_available_bytes);
    let mut line = format!(
        "load {one:.2} {five:.2} {fifteen:.2} on {}, memory {} of {} used",
        counted(usage.cpus as usize, "core"),
        memory(used),
        memory(usage.memory_total_bytes)
    );
    if let Some(at) = usage.booted_at {
        let _ = write!(line, ", up for {} (since {})", elapsed(at, now), at.strftime("%F %H:%M UTC"));
    }
    line
}

/// Formats the details of an instance that the table does not show; empty if there are none.
fn instance_line(instance: &InstanceOverview, usage: Option<&HostUsage>, now: Timestamp) -> String {
    let pids = instance.processes.iter().map(|process| process.id.pid);
    let mut words = Vec::new();
    let users = process_users(&instance.processes);
    if !users.is_empty() {
        words.push(format!("user {}", users.join(", ")));
    }
    if let Some(used) = usage.and_then(|usage| usage.total_of(pids)) {
        words.push(format!("cpu {}", percent(used.cpu_percent)));
        words.push(memory(used.resident_bytes));
        words.push(counted(used.threads as usize, "thread"));
        words.extend(used.open_files.map(|files| counted(files as usize, "open file")));
    }
    if instance.parts.iter().any(|part| part.name.is_some()) {
        words.extend(instance.parts.iter().map(PartReport::tally));
    }
    words.extend(instance.probe.as_ref().map(|probe| probe.status_text(now)));
    let mut parts = instance_notes::all_notes(instance, now);
    if !words.is_empty() {
        parts.insert(0, words.join(", "));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use rta_shared::action::{ActionKind, ActionLock, Requester};
    use rta_shared::config::ProcessCount;
    use rta_shared::overview::{EnvironmentOverview, Health};
    use rta_shared::probe::{ProbeReport, ProbeState};
    use rta_shared::process::{Process, ProcessId};
    use rta_shared::report::{State, WatchMode, WatchStatus};
    use rta_shared::snapshot::Snapshot;
    use rta_shared::unit::UnitReport;
    use rta_shared::usage::ProcessUsage;

    use super::*;
    use crate::output::summary::summary;

    fn now() -> Timestamp {
        "2026-11-24T09:30:00Z".parse().unwrap()
    }

    fn before(seconds: i64) -> Timestamp {
        now() - SignedDuration::from_secs(seconds)
    }

    fn overview() -> Overview {
        let part = |name: &str, running| PartReport {
            name: Some(name.into()),
            count: ProcessCount::ONE,
            running,
            pids: vec![],
        };
        let processor = InstanceOverview {
            state: Some(State::Partial),
            processes: vec![Process {
                user: "spark".to_owned(),
                ..Process::new(ProcessId { pid: 7, start_ticks: 1 }, 1)
            }]
            .into(),
            parts: vec![part("launcher", 1), part("driver", 0)].into(),
            probe: Some(ProbeReport {
                state: ProbeState::Passing,
                since: before(200),
                reason: String::new(),
            }),
            ..InstanceOverview::new("processor", Health::Degraded)
        };
        let quiet = InstanceOverview {
            component: "quiet".into(),
            processes: vec![].into(),
            parts: vec![].into(),
            probe: None,
            action: None,
            unit: None,
            down_cause: None,
            autostart: None,
            maintenance: None,
            stopped_by: None,
            has_log: false,
            since: None,
            ..processor.clone()
        };
        let agent = AgentOverview {
            version: "0.1.0".to_owned(),
            watch: WatchStatus { mode: WatchMode::Events, fallback: None, overruns: 0, differences: 0 },
            seen_at: before(0),
            scan_micros: 25_300,
            processes_seen: 3080,
            config_digest: "abc".to_owned(),
            config_error: None,
            config_differs: false,
            certificate_ends: Some(before(-40 * 86_400)),
            boot_id: "b".to_owned(),
            clock_ahead_millis: Some(-12),
        };
        let usage = HostUsage {
            measured_at: now(),
            cpus: 8,
            load: [0.5, 0.25, 0.125],
            memory_total_bytes: 32_000_000_000,
            memory_available_bytes: 19_500_000_000,
            booted_at: Some(before(12 * 86_400)),
            processes: vec![ProcessUsage {
                pid: 7,
                cpu_percent: 12.5,
                resident_bytes: 512_000_000,
                threads: 30,
                open_files: Some(1),
            }],
            cpu_times: Vec::new(),
            probe_durations: Vec::new(),
        };
        let host = HostOverview {
            name: "h".into(),
            role: None,
            health: Health::Degraded,
            reachable: true,
            scanned_at: Some(before(12)),
            error: None,
            instances: vec![processor.into(), quiet.into()],
            agent: Some(agent),
            usage: Some(usage),
            maintenance: None,
            impairments: vec![],
        };
        Overview {
            generated_at: now(),
            environments: vec![Snapshot::new(EnvironmentOverview {
                name: "DEV".into(),
                health: Health::Degraded,
                hosts: vec![host.into()],
            })],
            config_digest: "abc".to_owned(),
            config_error: None,
            impairments: vec![],
            aliases: vec![],
            leaders: Vec::new(),
        }
    }

    #[test]
    fn all_that_is_known_of_a_host_is_told() {
        assert_eq!(
            host_details(&overview(), now()),
            "configuration abc\n\nDEV/h\n  \
             agent 0.1.0, watching by kernel events, seen just now\n  \
             last full scan 12 s ago: 3080 processes in 25 ms\n  \
             configuration abc, as the aggregator's\n  \
             certificate ends in 40 days\n  \
             load 0.50 0.25 0.12 on 8 cores, memory 12 GB of 32 GB used, up for 12 d (since 2026-11-12 09:30 UTC)\n  \
             processor  user spark, cpu 12.5 %, 512 MB, 30 threads, 1 open file, launcher 1/1, driver 0/1, probe passing for 3 min\n"
        );
        assert!(!summary(&overview(), now()).contains("warning"));
    }

    #[test]
    fn what_is_not_as_it_should_be_is_told_with_its_reason() {
        let mut shown = overview();
        shown.config_error = Some("a.toml:1:2: one\nb.toml:3:4: two\u{1b}".to_owned());
        let host = &mut shown.environments[0].hosts[0];
        let agent = host.agent.as_mut().unwrap();
        agent.watch = WatchStatus {
            mode: WatchMode::Scans,
            fallback: Some("not\u{1b} permitted".to_owned()),
            overruns: 2,
            differences: 1,
        };
        agent.config_digest = "def".to_owned();
        agent.config_differs = true;
        agent.config_error = Some("c.toml:5:6: three".to_owned());
        let text = host_details(&shown, now());
        for expected in [
            "  the one on disk is invalid: b.toml:3:4: two\\u{1b}\n",
            "watching by scans: not\\u{1b} permitted, seen",
            "events lost 2 times (each time a full scan followed), changes missed 1\n",
            "configuration def, NOT the aggregator's abc: give both",
            "refused a new configuration: c.toml:5:6: three\n",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        let summary = summary(&shown, now());
        for expected in [
            "warning: the aggregator's configuration on disk is invalid; the previous one stays in use: a.toml:1:2: one (and 1 more problem)\n",
            "warning: 1 agent refused a new configuration: h (status --verbose says more)\n",
            "warning: 1 agent on another configuration than the aggregator's: h (status",
        ] {
            assert!(summary.contains(expected), "{expected}\n{summary}");
        }
    }

    #[test]
    fn what_is_under_way_and_what_systemd_says_is_told_beside_the_figures() {
        let mut shown = overview();
        let instance = &mut shown.environments[0].hosts[0].instances[1];
        let by = Requester { user: "ann".to_owned(), address: "10.0.0.7".to_owned() };
        instance.action = Some(Box::new(ActionLock { kind: ActionKind::Stop, by, since: before(5) }));
        instance.unit = Some(Box::new(UnitReport {
            name: "quiet.service".to_owned(),
            active_state: "failed".to_owned(),
            sub_state: "failed".to_owned(),
            result: "exit-code".to_owned(),
            error: None,
        }));
        assert!(host_details(&shown, now()).contains(
            "quiet      a stop of it is under way, since 09:29:55 UTC, for ann from 10.0.0.7; \
             unit quiet.service failed (failed, exit-code)\n"
        ));
    }

    #[test]
    fn of_a_lost_agent_only_its_last_sign_of_life_is_told() {
        let mut shown = overview();
        let host = &mut shown.environments[0].hosts[0];
        (host.reachable, host.usage, host.error) = (false, None, Some("no connection".to_owned()));
        host.agent.as_mut().unwrap().config_differs = true;
        host.agent.as_mut().unwrap().seen_at = before(90);
        host.instances.iter_mut().for_each(|instance| instance.parts.clear());
        host.instances.iter_mut().for_each(|instance| instance.processes.clear());
        host.instances.iter_mut().for_each(|instance| instance.probe = None);
        let text = host_details(&shown, now());
        assert_eq!(
            text,
            "configuration abc\n\nDEV/h\n  agent 0.1.0, last heard of 1 min ago\n  no connection\n"
        );
        assert!(!summary(&shown, now()).contains("warning"));
    }
}
