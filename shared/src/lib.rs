//! Domain types and functions of rta, shared by the agent, the aggregator and the CLI.
//!
//! Domain modules are pure: they take values, the time included, and return values. I/O and clocks are
//! confined to [`config::load_folder`], [`tls`], [`local_socket`], [`connection`], [`logging`], [`pid_lock`]
//! and [`lifecycle`]; [`impairment`] and [`refusal_log`] only read the clock. Each module imports only those
//! above it:
//!
//! | module | holds |
//! |---|---|
//! | [`sanitize`], [`suggestion`] | safe display of untrusted text; suggestions for misspelt words |
//! | `words` | words of enums |
//! | [`mod@format`] | times, amounts and lists for people |
//! | [`name`] | names compared without regard to case |
//! | [`address`] | validation of network addresses |
//! | [`template`] | texts with variables |
//! | [`proc_stat`] | state of a process as `/proc/PID/stat` has it |
//! | [`process`] | identity and command line of a process |
//! | [`attributes`] | attributes of a process besides its command line, and tests on them |
//! | [`criterion`] | tests on one process |
//! | [`matcher`] | the criteria of many parts against one process |
//! | [`chat_template`] | templates of chat messages |
//! | [`config`] | the platform's configuration: parsing, validation, loading |
//! | [`redact`], [`inspection`] | redaction of secrets; command lines for people |
//! | [`explain`] | why a process is or is not matched |
//! | [`learn`] | criteria that identify a running process |
//! | [`dependency`] | dependencies between instances, across hosts |
//! | [`probe`], [`usage`] | results of health probes; resource usage of a host and its processes |
//! | [`action`] | starts, stops and restarts of one instance: requester, progress, result |
//! | [`timing`] | time limits that an agent and the aggregator must agree on |
//! | [`maintenance`] | maintenance windows of hosts and instances |
//! | [`signal`], [`down_cause`] | names of signals; why a component does not run |
//! | [`limit`] | limits that a component exceeds |
//! | [`mod@unit`], [`autostart`] | state of systemd units; automatic restarts by the agent |
//! | [`impairment`] | parts of rta itself that do not work as they should |
//! | [`snapshot`] | immutable values that clones share |
//! | [`report`] | report of an agent about its host |
//! | [`prerequisite`] | readiness of components that others need |
//! | [`overview`] | state and health of the platform, as the aggregator concludes them |
//! | [`selector`] | names given for instances, and the only resolver of them |
//! | [`planned_maintenance`] | maintenance that begins by itself |
//! | [`root_cause`] | root causes in an overview, with the instances that each affects |
//! | [`root_cause_groups`] | root causes of the same kind as one item |
//! | [`plan`] | ordered actions of one request, and their results |
//! | [`planned_stop`], [`planned_outage`] | deliberate stops by plans, as opposed to failures |
//! | [`error_source`] | causes of errors: the first one, and whether a call was sent |
//! | [`event`], [`incident`] | recorded events; the events of one cause, from begin to end |
//! | [`metrics`] | metrics for Prometheus: families and text formats |
//! | [`reload`] | results of a configuration reload |
//! | [`proto`] | the gRPC types, and their conversions to and from the above |
//! | [`keyed_semaphore`] | concurrency limits, in total and per key |
//! | [`refusal_log`] | rate-limited logging of refused callers |
//! | [`tls`] | mutually authenticated connections |
//! | [`local_socket`] | Unix sockets with peer credentials |
//! | [`connection`] | connections of a gRPC server, over TCP and the local socket |
//! | [`authorization`] | which callers may call which methods and routes |
//! | [`logging`] | log output of all rta programs |
//! | [`pid_lock`] | lock files that name their holder |
//! | [`lifecycle`] | owned tasks, signals, and notifications to the supervisor |

pub mod action;
pub mod address;
pub mod attributes;
pub mod authorization;
pub mod autostart;
pub mod chat_template;
pub mod config;
pub mod connection;
pub mod criterion;
pub mod dependency;
pub mod down_cause;
pub mod error_source;
pub mod event;
pub mod explain;
pub mod format;
pub mod impairment;
pub mod incident;
pub mod inspection;
pub mod keyed_semaphore;
pub mod learn;
pub mod leftover_commands;
pub mod lifecycle;
pub mod limit;
pub mod local_socket;
pub mod logging;
pub mod maintenance;
pub mod matcher;
pub mod metrics;
pub mod name;
pub mod overview;
pub mod overview_delta;
pub mod pid_lock;
pub mod plan;
pub mod planned_maintenance;
pub mod planned_outage;
pub mod planned_stop;
pub mod prerequisite;
pub mod probe;
pub mod proc_stat;
pub mod process;
pub mod proto;
pub mod redact;
pub mod refusal_log;
pub mod reload;
pub mod report;
pub mod root_cause;
pub mod root_cause_groups;
pub mod sanitize;
pub mod selector;
pub mod signal;
pub mod snapshot;
pub mod state;
pub mod suggestion;
pub mod template;
pub mod timing;
pub mod tls;
pub mod unit;
pub mod usage;
pub mod what_if;
mod words;
