//! The words rta is written in, shared by the agent, the aggregator and the command.
//!
//! Nothing here does I/O except [`config::load_folder`], which reads the configuration, and [`tls`], and nothing
//! else has a clock: every function takes values and returns values. Each module imports only those above it:
//!
//! | module | holds |
//! |---|---|
//! | [`text`] | foreign text made safe to show; the nearest word to a misspelt one |
//! | [`human`] | times and amounts as people say them |
//! | [`name`] | names compared without regard to case |
//! | [`address`] | addresses as people write them |
//! | [`process`] | a process as the matcher sees it |
//! | [`attributes`] | what a process is beside its command line, and tests on that |
//! | [`criterion`] | tests on one process |
//! | [`matcher`] | the criteria of many parts against one process |
//! | [`config`] | the platform's configuration: decoded, checked, loaded |
//! | [`mask`], [`inspection`] | command lines without secrets, as people look at them |
//! | [`explain`] | why a process is or is not matched |
//! | [`learn`] | from a running process to the criteria that tell it from all others |
//! | [`dependency`] | which instance needs which, across hosts |
//! | [`probe`], [`usage`] | how a component's probe fares; what a host and its processes use |
//! | [`control`] | starts, stops and restarts of one instance: who, how far, how they ended |
//! | [`timing`] | time limits that agent and aggregator must agree on |
//! | [`maintenance`] | times in which a host or an instance is worked on |
//! | [`signal`], [`down_cause`] | names of signals; why a component does not run |
//! | [`mod@unit`], [`autostart`] | what keeps a component running: systemd, or the agent |
//! | [`impairment`] | parts of rta itself that do not work as they should |
//! | [`report`] | what one agent says of its host |
//! | [`prerequisite`] | whether what a component needs can be leant on |
//! | [`overview`] | what the aggregator concludes of the platform |
//! | [`selector`] | the names that people give for instances, and the one resolver for them |
//! | [`trouble`] | the root causes in an overview, with what each takes down |
//! | [`plan`] | what is done for one wish, in which order, and what became of it |
//! | [`planned_stop`], [`planned_outage`] | what plans stopped on purpose, told apart from what failed |
//! | [`event`] | what happened, as it is recorded |
//! | [`reload`] | how a reload of the configuration ended |
//! | [`proto`] | the gRPC types, and their conversions to and from the above |
//! | [`places`] | how many may be there at the same time |
//! | [`refusals`] | logging who was refused, now and then |
//! | [`tls`] | connections whose ends prove who they are |
//! | [`local_socket`] | Unix sockets whose callers are known by their user |
//! | [`connection`] | connections of a gRPC server, over TCP and the local socket |
//! | [`authorization`] | who may call what |
//! | [`logging`] | how every rta program writes its log |
//! | [`pid_lock`] | lock files that name their holder |
//! | [`lifecycle`] | owned tasks, signals, and what a supervisor is told |

pub mod address;
pub mod attributes;
pub mod authorization;
pub mod autostart;
pub mod config;
pub mod connection;
pub mod control;
pub mod criterion;
pub mod dependency;
pub mod down_cause;
pub mod event;
pub mod explain;
pub mod human;
pub mod impairment;
pub mod inspection;
pub mod learn;
pub mod lifecycle;
pub mod local_socket;
pub mod logging;
pub mod maintenance;
pub mod mask;
pub mod matcher;
pub mod name;
pub mod overview;
pub mod pid_lock;
pub mod places;
pub mod plan;
pub mod planned_outage;
pub mod planned_stop;
pub mod prerequisite;
pub mod probe;
pub mod process;
pub mod proto;
pub mod refusals;
pub mod reload;
pub mod report;
pub mod selector;
pub mod signal;
pub mod text;
pub mod timing;
pub mod tls;
pub mod trouble;
pub mod unit;
pub mod usage;
