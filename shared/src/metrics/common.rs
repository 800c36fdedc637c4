//! Families that an agent and the aggregator both export: one description of each, so that a query means the same
//! with either.

use super::MetricDescription;

/// Labels of a host.
pub const HOST: &[&str] = &["environment", "host"];

/// Labels of an instance.
pub const INSTANCE: &[&str] = &["environment", "host", "component"];

/// Family `rta_instance_processes`.
pub const INSTANCE_PROCESSES: MetricDescription =
    MetricDescription::gauge("rta_instance_processes", "Number of matched processes.", INSTANCE);

/// Family `rta_instance_start_time_seconds`.
pub const INSTANCE_START_TIME_SECONDS: MetricDescription = MetricDescription::gauge(
    "rta_instance_start_time_seconds",
    "Start of the oldest matched process, in seconds since 1970.",
    INSTANCE,
);

/// Family `rta_instance_restarts_total`.
pub const INSTANCE_RESTARTS: MetricDescription = MetricDescription::counter(
    "rta_instance_restarts",
    "Number of automatic starts by the agent since it began, failed ones included.",
    INSTANCE,
);

/// Family `rta_instance_probe_state`.
pub const INSTANCE_PROBE_STATE: MetricDescription = MetricDescription::gauge(
    "rta_instance_probe_state",
    "1 for the state of the probe (pending, passing or failing), 0 for the others.",
    &["environment", "host", "component", "state"],
);

/// Family `rta_probe_duration_seconds`.
pub const PROBE_DURATION_SECONDS: MetricDescription = MetricDescription::gauge(
    "rta_probe_duration_seconds",
    "Duration of the last attempt of the probe, in seconds.",
    INSTANCE,
);

/// Family `rta_instance_cpu_seconds_total`.
pub const INSTANCE_CPU_SECONDS: MetricDescription = MetricDescription::counter(
    "rta_instance_cpu_seconds",
    "CPU time that the processes have used since the agent began to watch them, in seconds.",
    INSTANCE,
);

/// Family `rta_instance_resident_memory_bytes`.
pub const INSTANCE_RESIDENT_MEMORY_BYTES: MetricDescription = MetricDescription::gauge(
    "rta_instance_resident_memory_bytes",
    "Resident memory of the processes; pages that they share count for each of them.",
    INSTANCE,
);

/// Family `rta_instance_threads`.
pub const INSTANCE_THREADS: MetricDescription =
    MetricDescription::gauge("rta_instance_threads", "Number of threads of the processes.", INSTANCE);

/// Family `rta_instance_open_files`.
pub const INSTANCE_OPEN_FILES: MetricDescription =
    MetricDescription::gauge("rta_instance_open_files", "Number of open files of the processes.", INSTANCE);

/// Family `rta_host_scan_duration_seconds`.
pub const HOST_SCAN_DURATION_SECONDS: MetricDescription = MetricDescription::gauge(
    "rta_host_scan_duration_seconds",
    "Duration of the last full scan of the processes, in seconds.",
    HOST,
);

/// Family `rta_host_scanned_processes`.
pub const HOST_SCANNED_PROCESSES: MetricDescription = MetricDescription::gauge(
    "rta_host_scanned_processes",
    "Number of processes that the last full scan inspected.",
    HOST,
);

/// Family `rta_host_impairments`.
pub const HOST_IMPAIRMENTS: MetricDescription = MetricDescription::gauge(
    "rta_host_impairments",
    "Number of impaired parts of the agent. The aggregator adds 1 if the clock of the host is wrong.",
    HOST,
);

/// Family `rta_agent_info`.
pub const AGENT_INFO: MetricDescription = MetricDescription::gauge(
    "rta_agent_info",
    "1; the labels are the version of the agent, and how it watches processes (events or scans).",
    &["environment", "host", "version", "watch"],
);

/// Family `rta_agent_config_info`.
pub const AGENT_CONFIG_INFO: MetricDescription = MetricDescription::gauge(
    "rta_agent_config_info",
    "1; the label digest identifies the configuration that the agent uses.",
    &["environment", "host", "digest"],
);

/// Family `rta_agent_certificate_expiry_timestamp_seconds`.
pub const AGENT_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS: MetricDescription = MetricDescription::gauge(
    "rta_agent_certificate_expiry_timestamp_seconds",
    "End of the validity of the certificate of the agent, in seconds since 1970.",
    HOST,
);

/// Family `rta_agent_watch_overruns_total`.
pub const AGENT_WATCH_OVERRUNS: MetricDescription = MetricDescription::counter(
    "rta_agent_watch_overruns",
    "Number of times since the agent began that kernel events were lost; a full scan followed each.",
    HOST,
);

/// Family `rta_agent_watch_differences_total`.
pub const AGENT_WATCH_DIFFERENCES: MetricDescription = MetricDescription::counter(
    "rta_agent_watch_differences",
    "Number of changes since the agent began that only a full scan found.",
    HOST,
);
