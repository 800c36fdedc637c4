//! Test harness of the end-to-end tests and benches: the real binaries, real processes, and polling.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up fails")]

mod agent_actions;
mod agent_reports;
mod binaries;
mod cluster;
pub mod command_lines;
mod config;
mod cutting_relay;
mod fake_agents;
mod grpc_calls;
mod hosts;
pub mod measurement;
mod output_reader;
mod pki;
mod plan_client;
mod postgres;
mod processes;
mod random;
mod report_stream;
pub mod rust_tokens;
mod server_process;
mod systemd;
mod test_host;
mod users;
mod web;

pub use agent_actions::{ActionRun, AgentClient, connect_agent, request_target, run_action};
pub use agent_reports::AgentReports;
pub use binaries::binary;
pub use cluster::{AggregatorClient, ClusterBuilder, TestAgent, TestAggregator, TestCluster};
pub use config::TestConfig;
pub use cutting_relay::CuttingRelay;
pub use fake_agents::{AgentBehaviour, FakeAgents};
pub use grpc_calls::{CallOutcome, call_method, socket_channel};
pub use hosts::{HostProcess, NamespacedHost, NamespacedHosts};
pub use output_reader::OutputReader;
pub use pki::{CertificateFiles, TestCa, TlsStream};
pub use plan_client::{PlanClient, PlanRecord, describe_plan};
pub use postgres::PostgresServer;
pub use processes::{ChildProcesses, ForkLoad, IdleProcesses, control_group};
pub use random::RandomNumbers;
pub use report_stream::{ObservedComponent, ObservedReport, ReportStream};
pub use server_process::{ServerProcess, run_binary, wait_for};
pub use systemd::RealSystemd;
pub use test_host::{AgentMode, TestHost};
pub use users::{PASSWORD, TestUsers};
pub use web::{WebClient, WebResponse, WebSession};
