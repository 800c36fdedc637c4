//! `rta-agent`: sees and controls the components of one host.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use rta_shared::config::{HostConfig, Platform, load_folder};
use rta_shared::logging::{self, LogFormat};
use rta_shared::text::printable;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Sees and controls the platform's components on this host, for the aggregator.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Exit codes:
  0  ended by SIGTERM or SIGINT
  1  it could not go on; the reason is on standard error
  2  wrong usage, a broken configuration, or a host that the configuration does not know

What it started goes on when it ends. The variable RTA_LOG chooses what is logged: warn, info, debug."
)]
struct Arguments {
    /// The folder of the platform's configuration
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// The name of this host in the configuration [default: the machine's host name]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Where to listen for the aggregator
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7601")]
    listen: SocketAddr,
    /// Listen beyond loopback although connections are neither encrypted nor authenticated: whoever
    /// reaches the port can stop the platform
    #[arg(long)]
    insecure: bool,
    /// How log lines are written: plain for people, json for collectors
    #[arg(long, value_name = "plain|json", default_value_t)]
    log_format: LogFormat,
}

/// What is wrong with how the agent was called or configured: exit code 2.
const WRONG: u8 = 2;

/// How long a scan that is under way at the end is waited for.
const LAST_SCAN: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::init(arguments.log_format, "info");
    let config = match prepare(&arguments) {
        Ok(config) => config,
        Err(message) => {
            complain(&message);
            return ExitCode::from(WRONG);
        }
    };
    let outcome = tokio::runtime::Runtime::new().context("no runtime").and_then(|runtime| {
        let outcome = runtime.block_on(run(&arguments, config));
        // A scan that hangs in the kernel must not hold up the end.
        runtime.shutdown_timeout(LAST_SCAN);
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the one place where the program tells why it ends")]
fn complain(message: &str) {
    eprintln!("rta-agent: {message}");
}

/// This host's share of the configuration, or why there is none.
fn prepare(arguments: &Arguments) -> Result<HostConfig, String> {
    if !arguments.listen.ip().is_loopback() && !arguments.insecure {
        return Err(format!(
            "{} is beyond loopback, where connections would be neither encrypted nor authenticated; \
             add --insecure to listen there all the same",
            arguments.listen
        ));
    }
    let platform = load_folder(&arguments.config).map_err(|error| error.to_string())?;
    let name = arguments.host.clone().unwrap_or_else(rta_agent::machine_name);
    let host = platform.find_host(&name).ok_or_else(|| unknown_host(&name, &arguments.config, &platform))?;
    platform.host_config(host, &rta_agent::interface_addresses())
}

fn unknown_host(name: &str, folder: &Path, platform: &Platform) -> String {
    let mut message = format!(
        "host \"{}\" is not in the configuration {}; give one with --host. Supported hosts:",
        printable(name),
        folder.display()
    );
    for environment in &platform.environments {
        let hosts: Vec<_> = environment.hosts.iter().map(|host| host.name.as_str()).collect();
        message.push_str(&format!("\n  {}: {}", environment.name, hosts.join(", ")));
    }
    message
}

async fn run(arguments: &Arguments, config: HostConfig) -> anyhow::Result<()> {
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    tracing::info!(
        host = %config.host,
        environment = %config.environment,
        components = config.components.len(),
        address = %listener.local_addr()?,
        "listening"
    );
    let shutdown = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let asked = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutting down");
        asked.cancel();
    });
    rta_agent::serve(listener, config, shutdown).await
}
