//! Tests of the families, their document, and of what a scrape writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use jiff::SignedDuration;
use rta_shared::action::Requester;
use rta_shared::autostart::Autostart;
use rta_shared::down_cause::{DownCause, DownKind};
use rta_shared::impairment::{ImpairedPart, Impairment};
use rta_shared::maintenance::Maintenance;
use rta_shared::metrics::MetricKind;
use rta_shared::overview::Health;
use rta_shared::probe::{ProbeReport, ProbeState};
use rta_shared::process::{Process, ProcessId};
use rta_shared::report::State;
use rta_shared::usage::{ComponentCpuTime, HostUsage, ProbeDuration, ProcessUsage};

use super::*;
use crate::sample_overview::{agent, instance, sample};

/// Returns all families.
fn families() -> impl Iterator<Item = &'static MetricFamily> {
    TABLES.iter().copied().flatten()
}

/// Returns figures in which each family has a sample.
fn figures() -> PlatformFigures {
    let mut overview = sample();
    let seconds = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_millis(seconds);
    let host = &mut overview.environments[0].hosts[1];
    host.agent = Some(agent());
    if let Some(agent) = &mut host.agent {
        agent.certificate_ends = Some(seconds(5_000));
    }
    let process = |pid| Process {
        started_at: Some(seconds(1_500 + i64::from(pid))),
        ..Process::new(ProcessId { pid, start_ticks: 1 }, 1)
    };
    let usage = |pid| ProcessUsage {
        pid,
        cpu_percent: 1.0,
        resident_bytes: 1 << 20,
        threads: 3,
        open_files: Some(4),
    };
    host.usage = Some(HostUsage {
        measured_at: Timestamp::UNIX_EPOCH,
        cpus: 1,
        load: [0.0; 3],
        memory_total_bytes: 0,
        memory_available_bytes: 0,
        booted_at: None,
        processes: vec![usage(7), usage(8)],
        cpu_times: vec![ComponentCpuTime { component: "Novelty Detector".into(), cpu_seconds: 12.25 }],
        probe_durations: vec![ProbeDuration { component: "Novelty Detector".into(), seconds: 0.125 }],
    });
    let detector = &mut host.instances[0];
    detector.processes = vec![process(7), process(8)].into();
    detector.since = Some(seconds(2_000));
    let state = ProbeState::Passing;
    detector.probe = Some(ProbeReport { state, since: Timestamp::UNIX_EPOCH, reason: String::new() });
    detector.autostart = Some(Box::new(Autostart {
        wanted: true,
        why: String::new(),
        restarts: 1,
        restarts_total: 9,
        next_at: None,
        given_up: false,
        flapping: false,
        last_end: String::new(),
        waiting_for: String::new(),
    }));
    let odd = instance("odd \"name\" \\ back", Some(State::Running), Health::Up);
    host.instances.push(odd.into());
    overview.environments[0].hosts[0].maintenance = Some(Maintenance {
        environment: "DEV".into(),
        host: "c9t21193".into(),
        component: None,
        since: Timestamp::UNIX_EPOCH,
        until: None,
        reason: String::new(),
        by: Requester::default(),
    });
    overview.impairments = vec![Impairment::new(ImpairedPart::Store, "the disk is full")];
    PlatformFigures {
        overview: Arc::new(overview),
        event_counts: EventKind::ALL.into_iter().zip(0..).collect(),
        running_plans: 2,
        channels: vec![(
            "operators".to_owned(),
            ChannelStatus {
                waiting: 3,
                delivered: 5,
                failure: Some((seconds(1), String::new())),
                ..ChannelStatus::default()
            },
        )],
        store_errors: StoreErrorCounts { write: 4, ..StoreErrorCounts::default() },
        started_at: seconds(3_000),
    }
}

/// Returns the samples: series with labels, and value.
fn samples(text: &str) -> HashMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.map(|line| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    });
    let all: Vec<(String, f64)> = parsed.collect();
    let map: HashMap<String, f64> = all.iter().cloned().collect();
    assert_eq!(map.len(), all.len(), "a series stands twice");
    map
}

#[test]
fn scrape_has_the_values_of_the_overview() {
    let samples = samples(&figures().encode(ExpositionFormat::Prometheus).unwrap());
    let kafka = "environment=\"DEV\",host=\"c9t21193\",component=\"kafka server\"";
    let detector = "environment=\"DEV\",host=\"c2t08978\",component=\"novelty detector\"";
    let lost = "environment=\"DEV\",host=\"c2t08979\"";
    let rows = [
        (format!("rta_instance_health{{{kafka},health=\"down\"}}"), 1.0),
        (format!("rta_instance_health{{{kafka},health=\"up\"}}"), 0.0),
        (format!("rta_instance_health{{{lost},component=\"cassandra\",health=\"unknown\"}}"), 1.0),
        (format!("rta_instance_health{{{lost},component=\"cassandra\",health=\"down\"}}"), 0.0),
        (format!("rta_instance_health_changed_timestamp_seconds{{{detector}}}"), 2.0),
        (format!("rta_instance_maintenance{{{detector}}}"), 0.0),
        (format!("rta_instance_processes{{{kafka}}}"), 0.0),
        (format!("rta_instance_processes{{{detector}}}"), 2.0),
        (format!("rta_instance_start_time_seconds{{{detector}}}"), 1.507),
        (format!("rta_instance_restarts_total{{{detector}}}"), 9.0),
        (format!("rta_instance_probe_state{{{detector},state=\"passing\"}}"), 1.0),
        (format!("rta_instance_probe_state{{{detector},state=\"failing\"}}"), 0.0),
        (format!("rta_probe_duration_seconds{{{detector}}}"), 0.125),
        (format!("rta_instance_cpu_seconds_total{{{detector}}}"), 12.25),
        (format!("rta_instance_resident_memory_bytes{{{detector}}}"), 2_097_152.0),
        (format!("rta_instance_threads{{{detector}}}"), 6.0),
        (format!("rta_instance_open_files{{{detector}}}"), 8.0),
        (format!("rta_root_cause_affected_instances{{{kafka},health=\"down\",planned=\"no\"}}"), 1.0),
        (
            format!(
                "rta_root_cause_affected_instances{{{lost},component=\"\",health=\"unknown\",planned=\"no\"}}"
            ),
            0.0,
        ),
        (format!("rta_host_reachable{{{lost}}}"), 0.0),
        ("rta_host_maintenance{environment=\"DEV\",host=\"c9t21193\"}".to_owned(), 1.0),
        ("rta_host_clock_skew_seconds{environment=\"DEV\",host=\"c2t08978\"}".to_owned(), -0.012),
        ("rta_host_scan_duration_seconds{environment=\"DEV\",host=\"c2t08978\"}".to_owned(), 0.025),
        ("rta_agent_watch_overruns_total{environment=\"DEV\",host=\"c2t08978\"}".to_owned(), 2.0),
        ("rta_start_time_seconds".to_owned(), 3.0),
        ("rta_impaired{part=\"store\"}".to_owned(), 1.0),
        ("rta_impaired{part=\"task\"}".to_owned(), 0.0),
        ("rta_events_total{kind=\"host\"}".to_owned(), 1.0),
        ("rta_plans_running".to_owned(), 2.0),
        ("rta_store_errors_total{kind=\"write\"}".to_owned(), 4.0),
        ("rta_store_errors_total{kind=\"lost_event\"}".to_owned(), 0.0),
        ("rta_notifications_total{channel=\"operators\",outcome=\"delivered\"}".to_owned(), 5.0),
        ("rta_notifications_total{channel=\"operators\",outcome=\"given_up\"}".to_owned(), 0.0),
        ("rta_notifications_waiting{channel=\"operators\"}".to_owned(), 3.0),
        ("rta_notification_channel_failing{channel=\"operators\"}".to_owned(), 1.0),
    ];
    for (series, value) in rows {
        assert_eq!(samples.get(&series), Some(&value), "{series}");
    }
    let odd = "component=\"odd \\\"name\\\" \\\\ back\"";
    assert!(samples.keys().any(|series| series.contains(odd)), "{samples:#?}");
    // What is not known has no value, rather than an old one or 0.
    for series in samples.keys().filter(|series| series.contains("c2t08979")) {
        let is_allowed = ["rta_instance_health{", "rta_instance_maintenance", "rta_instance_stopped"]
            .into_iter()
            .chain(["rta_host_reachable", "rta_host_maintenance", "rta_host_last_seen", "rta_root_cause"])
            .any(|name| series.starts_with(name));
        assert!(is_allowed, "{series}");
    }
}

#[test]
fn root_causes_are_those_that_notifications_tell_of() {
    let planned = |change: fn(&mut Overview)| {
        let mut figures = figures();
        change(Arc::make_mut(&mut figures.overview));
        let samples = samples(&figures.encode(ExpositionFormat::Prometheus).unwrap());
        let name = "rta_root_cause_affected_instances{";
        let mut of_kafka =
            samples.into_keys().filter(|series| series.starts_with(name) && series.contains("kafka server"));
        of_kafka.next().map(|series| series.contains("planned=\"yes\""))
    };
    assert_eq!(planned(|_| {}), Some(false));
    // It was stopped on purpose, though by no plan.
    let stopped = |overview: &mut Overview| {
        let kind = DownKind::Stopped { by: Requester::default() };
        overview.environments[0].hosts[0].instances[0].down_cause =
            Some(Box::new(DownCause { at: Timestamp::UNIX_EPOCH, kind, last_log_line: None }));
    };
    assert_eq!(planned(stopped), Some(true));
    let never_ran = |overview: &mut Overview| {
        overview.environments[0].hosts[0].instances[0].never_ran = true;
        overview.environments[0].hosts[1].instances.clear();
    };
    assert_eq!(planned(never_ran), None);
}

#[test]
fn every_family_has_a_sample_in_both_formats() {
    let prometheus = figures().encode(ExpositionFormat::Prometheus).unwrap();
    let open = figures().encode(ExpositionFormat::OpenMetrics).unwrap();
    assert!(open.ends_with("\n# EOF\n") && !prometheus.contains("# EOF"));
    assert_eq!(samples(&open), samples(&prometheus));
    for family in families() {
        let name = family.description.series_name();
        let sample = prometheus
            .lines()
            .find(|line| line.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['{', ' '])));
        assert!(sample.is_some(), "{name} has no sample");
        assert!(prometheus.contains(&format!("# HELP {name} {}\n", family.description.help)), "{name}");
    }
}

#[test]
fn names_and_help_follow_the_conventions() {
    let mut names = BTreeSet::new();
    for family in families() {
        let name = family.description.name;
        assert!(names.insert(name), "{name} stands twice");
        assert!(name.starts_with("rta_") && !name.ends_with("_total"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert!(
            family.description.help.ends_with('.') && !family.description.help.contains(['\\', '\n', '"']),
            "{name}"
        );
        assert!(!family.description.labels.contains(&"pid"), "{name}");
    }
}

/// Returns the rows of the tables of a document whose first cell is a name of a series: name, and the cells
/// of type and labels.
fn documented(text: &str) -> BTreeMap<String, (String, String)> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `rta_"));
    let parsed = rows.map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        let name = format!("rta_{}", cells[0].trim_end_matches('`'));
        (name, (cells[1].to_owned(), cells[2].replace('`', "")))
    });
    parsed.collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn document_has_every_series() {
    let documented = documented(&read("docs/metrics.md"));
    let real: BTreeMap<String, (String, String)> = families()
        .map(|family| {
            let kind = match family.description.kind {
                MetricKind::Gauge => "gauge",
                MetricKind::Counter => "counter",
            };
            (family.description.series_name(), (kind.to_owned(), family.description.labels.join(", ")))
        })
        .collect();
    assert_eq!(documented, real);
}

/// Returns the words that begin with `rta_` and are used as series, not as labels.
fn series_names(text: &str) -> BTreeSet<String> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    text.split(|letter| !is_word(letter)).filter(|word| word.starts_with("rta_")).map(str::to_owned).collect()
}

#[test]
fn rules_and_dashboard_use_series_that_exist() {
    let real: BTreeSet<String> = families().map(|family| family.description.series_name()).collect();
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("config/monitoring/grafana-dashboard.json")).unwrap();
    let mut expressions = Vec::new();
    collect_texts(&dashboard, &["expr", "query", "definition"], &mut expressions);
    assert!(expressions.len() > 10, "{expressions:?}");
    let rules = read("config/monitoring/prometheus-rules.yaml");
    for (file, text) in [("dashboard", expressions.join("\n")), ("rules", rules)] {
        let used = series_names(&text);
        assert!(used.len() > 5, "{file}: {used:?}");
        let unknown: Vec<_> = used.difference(&real).collect();
        assert!(unknown.is_empty(), "the {file} uses series that do not exist: {unknown:?}");
    }
}

/// Collects the texts below these keys.
fn collect_texts(value: &serde_json::Value, keys: &[&str], found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (key, value) in members {
                match value.as_str() {
                    Some(text) if keys.contains(&key.as_str()) => found.push(text.to_owned()),
                    _ => collect_texts(value, keys, found),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect_texts(value, keys, found)),
        _ => {}
    }
}
