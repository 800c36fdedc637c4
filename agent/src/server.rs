//! Server of the agent.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use rta_shared::authorization::{AGENT_METHODS, AuthorizationLayer};
use rta_shared::config::HostConfig;
use rta_shared::connection::Listeners;
use rta_shared::impairment::{ImpairedPart, ImpairmentList};
use rta_shared::lifecycle::tasks::OwnedTasks;
use rta_shared::proto::FILE_DESCRIPTOR_SET;
use rta_shared::proto::v1::agent_service_server::AgentServiceServer;
use rta_shared::timing::{MAX_CLIENT_SILENCE, SERVER_PING_INTERVAL};
use rta_shared::tls::{ConnectionAcceptor, ConnectionLimits};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::actions::action_records::ActionRecords;
use crate::actions::runner::ActionRunner;
use crate::authorization::authorize;
use crate::certificate_expiry;
use crate::desired_state::DesiredStateStore;
use crate::host::cgroup::ComponentCgroups;
use crate::logs::LogReaders;
use crate::metrics::{self, server::MetricsListener};
use crate::probe::kill_leftover_probes;
use crate::reload::{ConfigFolder, ConfigReloader};
use crate::service::AgentGrpcService;
use crate::state::{AgentState, AgentStateInputs, AutostartReports};
use crate::supervisor::run_supervisor;
use crate::watch::WatchOptions;

/// Time limit for open calls at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Connection limits. An aggregator needs one connection, and its successor another; a client that answers no
/// ping counts as silent.
const CONNECTION_LIMITS: ConnectionLimits =
    ConnectionLimits { connections: 256, of_one_address: 128, silence: Some(MAX_CLIENT_SILENCE) };

/// Maximum number of open calls per connection: the concurrent actions of a plan, plus the streams of reports
/// and logs.
const MAX_CALLS: u32 = 256;

/// Options of an agent.
#[derive(Debug)]
pub struct AgentOptions {
    /// Settings of the watcher.
    pub watch: WatchOptions,
    /// Source of the configuration for reloads, on SIGHUP and on request; `None`: no reloads.
    pub folder: Option<ConfigFolder>,
    /// Receiver of SIGHUP, which the program catches before it logs that it listens: uncaught it would end
    /// the process.
    pub hangup: Option<Signal>,
    /// State folder; `None`: operators' decisions are lost when the agent ends.
    pub state: Option<PathBuf>,
    /// Folder for the records of launches, if they are not in the folder `state`; `None`: no records, since
    /// there is to be no next agent.
    pub runtime: Option<PathBuf>,
    /// True if the agent only watches and starts and stops nothing, also not automatically: another agent
    /// does.
    pub read_only: bool,
    /// Listener of the metrics; `None`: there is none.
    pub metrics: Option<MetricsListener>,
}

/// Watches and controls the components of `config`, and serves that on `listeners`, until `shutdown`.
/// Processes that the agent started keep running.
///
/// # Errors
/// Returns an error if the server or one of the agent's tasks fails.
pub async fn serve(
    listeners: Listeners,
    config: HostConfig,
    options: AgentOptions,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    // Cancels the state actor when the server ends for any reason.
    let _all_end_together = shutdown.clone().drop_guard();
    let tasks = OwnedTasks::new(shutdown.clone());
    let (autostart_publisher, autostarts) = watch::channel(AutostartReports::new());
    let (certificate_publisher, certificate_ends) = watch::channel(None);
    let acceptor =
        listeners.tcp.as_ref().map_or_else(ConnectionAcceptor::plaintext, |(_, acceptor)| acceptor.clone());
    let impairments = ImpairmentList::default();
    let following = certificate_expiry::watch_expiry(acceptor, certificate_publisher, impairments.clone());
    tasks.spawn("the watch over the certificate", following);
    let kept_in = options.state.clone().or(options.runtime);
    let (desired_state, remembering) = DesiredStateStore::open(options.state, impairments.clone());
    tasks.spawn("the writer of the state folder", remembering);
    let (state, task) = AgentState::new(
        config,
        options.watch,
        AgentStateInputs {
            autostarts,
            certificate_ends,
            impairments: impairments.clone(),
            desired_state: desired_state.clone(),
        },
        tasks.heartbeat("the owner of the host's state"),
        shutdown.clone(),
    )
    .context("the host cannot be followed")?;
    tasks.spawn_to_end("the owner of the host's state", task);
    if let Some(metrics) = options.metrics {
        tasks.spawn("the server of the metrics", metrics::server::serve(metrics, state.clone()));
    }
    let folder = options.folder.as_ref().map(|folder| folder.folder.clone());
    let groups = ComponentCgroups::new(&state.config(), folder.as_deref());
    let reloader = options.folder.map(|folder| ConfigReloader::new(folder, state.clone()));
    if let (Some(reloader), Some(hangup)) = (&reloader, options.hangup) {
        tasks.spawn("the handler of SIGHUP", reload_on_hangup(hangup, reloader.clone()));
        tasks.spawn("the look-up of users", reloader.clone().retry_user_lookups());
    }
    // Off the runtime: a read of /proc may hang.
    drop(tokio::task::spawn_blocking(kill_leftover_probes));
    let is_read_only = options.read_only;
    let boot_id = state.boot_id().to_owned();
    // Off the runtime: the disk may hang.
    let launches = tokio::task::spawn_blocking(move || ActionRecords::open(kept_in.as_deref(), &boot_id));
    let launches = launches.await.context("what an earlier agent began cannot be read")?;
    impairments.set(ImpairedPart::Control, launches.impairment());
    let actions = ActionRunner::new(state, desired_state, groups, launches, tasks.clone(), shutdown.clone());
    if is_read_only {
        let message =
            "the agent was started with --read-only: it starts and stops nothing, also not by itself";
        impairments.set(ImpairedPart::Control, Some(message.to_owned()));
    } else {
        // Before any other action, including automatic starts, can begin.
        actions.recover_actions().await;
        let keeping = run_supervisor(actions.clone(), autostart_publisher);
        tasks.spawn("autostart", keeping);
    }

    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<AgentServiceServer<AgentGrpcService>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("the protocol's descriptors are broken")?;
    let service = AgentGrpcService {
        actions,
        logs: LogReaders::new(),
        reloader,
        is_read_only,
        shutdown: shutdown.clone(),
    };
    let calls = Server::builder()
        .http2_keepalive_interval(Some(SERVER_PING_INTERVAL))
        .http2_keepalive_timeout(Some(SERVER_PING_INTERVAL))
        .max_concurrent_streams(Some(MAX_CALLS))
        .layer(AuthorizationLayer::new(AGENT_METHODS, authorize))
        .add_service(AgentServiceServer::new(service))
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(
            listeners.connections(CONNECTION_LIMITS),
            shutdown.clone().cancelled_owned(),
        );
    tasks.watch(impairments).context("the agent's own tasks cannot be watched")?;
    let grace = async {
        shutdown.cancelled().await;
        tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
    };
    tokio::select! {
        result = calls => {
            result.context("the gRPC server failed")?;
            anyhow::ensure!(shutdown.is_cancelled(), "the gRPC server ended unexpectedly");
            Ok(())
        }
        () = grace => {
            tracing::warn!("connections were still open after {} s and are cut", SHUTDOWN_TIMEOUT.as_secs());
            Ok(())
        }
        // An agent that has lost one of its tasks, and may no longer see its host, must not appear alive.
        failure = tasks.failed() => anyhow::bail!("{failure}"),
    }
}

/// Reloads the configuration on every SIGHUP, as daemons do.
async fn reload_on_hangup(mut hangup: Signal, reloader: ConfigReloader) {
    while hangup.recv().await.is_some() {
        // The result is logged, and reported to the aggregator.
        let _ = reloader.reload().await;
    }
}
