//! `rta-agent`: observes and controls the components of one host.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use jiff::SignedDuration;
use rta_agent::lock::{AgentLock, acquire_lock};
use rta_agent::reload::ConfigFolder;
use rta_agent::watch::WatchOptions;
use rta_agent::{AgentOptions, MetricsListener};
use rta_shared::config::HostConfig;
use rta_shared::connection::Listeners;
use rta_shared::lifecycle::signals::{MAX_SHUTDOWN, end_on_signals};
use rta_shared::local_socket::SocketChoice;
use rta_shared::logging::{self, LogFormat};
use rta_shared::tls::{ClientPolicy, ConnectionAcceptor, TlsFiles, missing_certificate};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Observes and controls the platform's components on this host, for the aggregator.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Exit codes:
  0  ended by SIGTERM or SIGINT
  1  it could not go on; the reason is on standard error
  2  wrong usage, a broken configuration, a host that the configuration does not know, or another agent that
     serves this host or uses the same state folder

SIGHUP reloads the configuration. Components keep running when the agent ends. The variable RTA_LOG chooses what is logged: warn, info, debug."
)]
struct AgentArguments {
    /// Folder of the platform's configuration
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// Name of this host in the configuration [default: the machine's host name]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Address and port to listen on for the aggregator, over TLS
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7601")]
    listen: SocketAddr,
    /// Local socket, for root and the group rta; none: no socket [default: /run/rta/agent.sock, else
    /// rta/agent.sock in $XDG_RUNTIME_DIR]
    #[arg(long, value_name = "PATH|none")]
    socket: Option<PathBuf>,
    /// Certificate of this host, created with rta pki host; over TCP only the aggregator is admitted. A
    /// renewed file is loaded automatically
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// CA of the aggregator's certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_ca: Option<PathBuf>,
    /// Name in the certificate of an aggregator that is admitted over TLS; may be given more than once
    #[arg(long, value_name = "NAME", default_value = "aggregator")]
    aggregator_name: Vec<String>,
    /// Listen without TLS: connections are neither encrypted nor authenticated, and anybody who reaches the
    /// port can stop the platform
    #[arg(long)]
    insecure: bool,
    /// Address for metrics over HTTP, for example 127.0.0.1:9465; beyond loopback over TLS, to clients with a
    /// certificate of the CA [default: none]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,
    /// Interval between full scans; between them, kernel events (or a quick scan each second) keep the state
    /// current
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_period)]
    scan_period: Duration,
    /// Do not use the kernel's process events, even if they are available
    #[arg(long)]
    no_events: bool,
    /// Folder in which the agent stores what operators started and stopped, and maintenance; without it these
    /// are lost when the agent ends, and a component that an operator stopped may be started again. No second
    /// agent may use it
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Folder below which the agent locks its host against a second agent, and without --state stores its
    /// launches for the next one [default: /run/rta-agent for root, else $XDG_RUNTIME_DIR/rta-agent or
    /// /tmp/rta-agent-UID]
    #[arg(long, value_name = "DIR", env = "RTA_RUNTIME_DIR", hide_env = true)]
    runtime: Option<PathBuf>,
    /// Watch only, beside another agent: start and stop nothing, also not automatically, and store nothing
    #[arg(long, conflicts_with = "state")]
    read_only: bool,
    /// Format of log lines: plain for people, json for collectors
    #[arg(long, value_name = "plain|json", default_value_t)]
    log_format: LogFormat,
}

/// Exit code for wrong usage or a broken configuration.
const EXIT_USAGE: u8 = 2;

/// Time limit for a running scan at shutdown.
const LAST_SCAN_TIMEOUT: Duration = Duration::from_secs(1);

/// Parses a time such as "30s" or "2m", from a second to an hour.
fn parse_period(text: &str) -> Result<Duration, String> {
    let period = text.parse::<SignedDuration>().ok().and_then(|period| Duration::try_from(period).ok());
    period
        .filter(|period| (Duration::from_secs(1)..=Duration::from_secs(3600)).contains(period))
        .ok_or_else(|| "write a time from 1s to 1h, for example \"30s\"".to_owned())
}

fn main() -> ExitCode {
    let arguments = AgentArguments::parse();
    logging::init(arguments.log_format, "info");
    let shutdown = CancellationToken::new();
    if let Err(error) = end_on_signals(shutdown.clone(), abort_shutdown) {
        write_error(&format!("signals cannot be caught: {error}"));
        return ExitCode::FAILURE;
    }
    let prepared = prepare(&arguments).and_then(|prepared| {
        let (runtime, state) = (arguments.runtime.as_deref(), arguments.state.as_deref());
        let lock = (!arguments.read_only)
            .then(|| acquire_lock(runtime, &prepared.config.host, state))
            .transpose()?;
        Ok((prepared, lock))
    });
    let (prepared, lock) = match prepared {
        Ok(prepared) => prepared,
        Err(message) => {
            write_error(&message);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let outcome = tokio::runtime::Runtime::new().context("no runtime").and_then(|runtime| {
        let outcome = runtime.block_on(run(&arguments, prepared, lock.as_ref(), shutdown));
        // A scan that hangs in the kernel must not delay the shutdown.
        runtime.shutdown_timeout(LAST_SCAN_TIMEOUT);
        outcome
    });
    match outcome {
        Ok(()) => {
            logging::flush();
            ExitCode::SUCCESS
        }
        Err(error) => {
            write_error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes the reason why the program ends.
fn write_error(message: &str) {
    logging::write_last_message("rta-agent", message);
}

/// Ends the process after its orderly shutdown has timed out.
#[expect(clippy::exit, reason = "what hangs cannot be returned from")]
fn abort_shutdown() {
    write_error(&format!("its orderly end took longer than {} s and is cut short", MAX_SHUTDOWN.as_secs()));
    std::process::exit(1);
}

/// Configuration and TLS settings of the agent.
struct AgentSetup {
    config: HostConfig,
    folder: ConfigFolder,
    acceptor: ConnectionAcceptor,
    /// TLS settings of the metrics; true if clients need a certificate.
    metrics_acceptor: (ConnectionAcceptor, bool),
}

/// Loads this host's configuration and TLS settings; the error is a sentence.
fn prepare(arguments: &AgentArguments) -> Result<AgentSetup, String> {
    let host = arguments.host.clone().unwrap_or_else(rta_agent::machine_name);
    let folder = ConfigFolder { folder: arguments.config.clone(), host };
    let config = folder.load()?;
    let acceptor = connection_acceptor(arguments, config.host.folded())?;
    Ok(AgentSetup { config, folder, acceptor, metrics_acceptor: metrics_acceptor(arguments)? })
}

fn connection_acceptor(arguments: &AgentArguments, host: &str) -> Result<ConnectionAcceptor, String> {
    let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
        return match arguments.insecure {
            true => Ok(ConnectionAcceptor::plaintext()),
            false => Err(missing_certificate("--listen", arguments.listen, host)),
        };
    };
    let files = TlsFiles { own: Some((certificate.clone(), key.clone())), ca: arguments.tls_ca.clone() };
    ConnectionAcceptor::with_tls(files, ClientPolicy::Named(arguments.aggregator_name.clone()), &["h2"])
}

/// Returns the TLS settings of the metrics, and true if clients need a certificate: beyond loopback, unless
/// the agent has none itself and serves in clear.
fn metrics_acceptor(arguments: &AgentArguments) -> Result<(ConnectionAcceptor, bool), String> {
    let is_beyond = arguments.metrics_listen.is_some_and(|address| !address.ip().is_loopback());
    let (true, Some(certificate), Some(key)) = (is_beyond, &arguments.tls_cert, &arguments.tls_key) else {
        return Ok((ConnectionAcceptor::plaintext(), false));
    };
    let files = TlsFiles { own: Some((certificate.clone(), key.clone())), ca: arguments.tls_ca.clone() };
    Ok((ConnectionAcceptor::with_tls(files, ClientPolicy::KnownAndUnknown, &["http/1.1"])?, true))
}

async fn run(
    arguments: &AgentArguments,
    AgentSetup { config, folder, acceptor, metrics_acceptor }: AgentSetup,
    lock: Option<&AgentLock>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let metrics = match arguments.metrics_listen {
        Some(address) => {
            let bound = TcpListener::bind(address).await;
            let listener = bound.with_context(|| format!("cannot listen on {address}"))?;
            let (acceptor, needs_certificate) = metrics_acceptor;
            Some(MetricsListener { listener, acceptor, needs_certificate })
        }
        None => None,
    };
    let metrics_address = metrics.as_ref().map(|metrics| metrics.listener.local_addr()).transpose()?;
    // Caught before "listening" is logged: from then on the process may be signalled.
    let hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be caught")?;
    let socket = SocketChoice::from(arguments.socket.clone());
    let socket = socket.bind("agent").await.map_err(anyhow::Error::msg)?;
    tracing::info!(
        host = %config.host,
        environment = %config.environment,
        components = config.components.len(),
        address = %listener.local_addr()?,
        tls = arguments.tls_cert.is_some(),
        metrics = metrics_address.map(|address| address.to_string()),
        socket = socket.as_ref().map(|socket| socket.path().display().to_string()),
        "listening"
    );
    let watch = WatchOptions { period: arguments.scan_period, events: !arguments.no_events };
    let options = AgentOptions {
        watch,
        folder: Some(folder),
        hangup: Some(hangup),
        state: arguments.state.clone(),
        runtime: lock.map(|lock| lock.folder.clone()),
        read_only: arguments.read_only,
        metrics,
    };
    let listeners = Listeners { tcp: Some((listener, acceptor)), socket };
    rta_agent::serve(listeners, config, options, shutdown).await
}
