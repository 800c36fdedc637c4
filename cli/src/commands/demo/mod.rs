//! `rta demo`: the aggregator, two agents and a stand-in for every component, in and under this process.

mod certificates;
mod command_lines;
mod platform;
pub(crate) mod stand_in;

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use rta_agent::watch::WatchOptions;
use rta_aggregator::{ConfigSource, EventStore};
use rta_shared::action::ActionKind;
use rta_shared::config::Platform;
use rta_shared::connection::Listeners;
use rta_shared::format::counted;
use rta_shared::local_socket::{LocalSocket, SocketChoice, default_paths};
use rta_shared::logging::{self, LogFormat};
use rta_shared::plan::{ActionRequest, ExecutionOptions, PlanEvent, StepState};
use rta_shared::sanitize::printable_lines;
use rta_shared::tls::{ClientPolicy, ClientTls, ConnectionAcceptor};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::certificates::DemoCa;
use crate::client::{AGGREGATOR_NAME, AggregatorClient};
use crate::exit::{CommandFailure, CommandResult, FAILED, OK};

/// Maximum number of steps in progress. High because stand-ins cost next to nothing: steps wait
/// only for dependencies.
const MAX_PARALLEL: u32 = 32;
/// Time limit for the stand-ins to stop; the remaining ones end with this process.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Serves the demo until Ctrl-C or SIGTERM.
pub(crate) async fn run_demo(web: SocketAddr, socket: Option<PathBuf>, out: &mut dyn Write) -> CommandResult {
    logging::init(LogFormat::Plain, "error");
    if !web.ip().is_loopback() {
        return Err(CommandFailure::new(
            FAILED,
            format!(
                "--web {web} is beyond loopback; the demo lets anybody stop things and stays on loopback"
            ),
        ));
    }
    let shutdown = CancellationToken::new();
    let demo = async {
        let web = listen("--web", web).await?;
        serve_demo(web, socket, &shutdown, out).await
    };
    let outcome = demo.await;
    shutdown.cancel();
    match outcome {
        Ok(()) => Ok(OK),
        Err(error) => match error.downcast::<std::io::Error>() {
            Ok(error) => Err(CommandFailure::Output(error)),
            Err(error) => Err(CommandFailure::new(FAILED, format!("demo: {error:#}"))),
        },
    }
}

async fn listen(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        anyhow::anyhow!("cannot listen on {address}: {error}; choose another address with {flag}")
    })
}

async fn serve_demo(
    web: TcpListener,
    socket: Option<PathBuf>,
    shutdown: &CancellationToken,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let page = web.local_addr()?;
    let folder = tempfile::Builder::new().prefix("rta-demo-").tempdir().context("no temporary folder")?;
    let programs = folder.path().join("bin");
    link_programs(&programs).context("the stand-ins cannot be made")?;
    let socket = bind_socket(socket, folder.path()).await.map_err(anyhow::Error::msg)?;
    let calls = socket.path().to_owned();
    let ca = DemoCa::new().map_err(anyhow::Error::msg)?;

    let mut platform = platform::demo_platform()?;
    let mut servers = Vec::new();
    let hosts: Vec<_> = platform.hosts().cloned().collect();
    for host in &hosts {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        set_agent_address(&mut platform, host.name.as_str(), listener.local_addr()?);
        let config = platform::host_config(&platform, host, &programs)?;
        let options = rta_agent::AgentOptions {
            metrics: None,
            watch: WatchOptions::default(),
            folder: None,
            hangup: None,
            state: None,
            runtime: None,
            read_only: false,
        };
        let own = ca.host(host.name.folded()).map_err(anyhow::Error::msg)?;
        let admitted = ClientPolicy::Named(vec![AGGREGATOR_NAME.to_owned()]);
        let door =
            ConnectionAcceptor::with_tls_in_memory(&own, &admitted, &["h2"]).map_err(anyhow::Error::msg)?;
        let listeners = Listeners { tcp: Some((listener, door)), socket: None };
        servers.push(tokio::spawn(rta_agent::serve(listeners, config, options, shutdown.clone())));
    }
    let own = ca.host(AGGREGATOR_NAME).map_err(anyhow::Error::msg)?;
    let agents = Some(ClientTls::in_memory(&own).map_err(anyhow::Error::msg)?);
    servers.push(tokio::spawn(rta_aggregator::serve(
        ConfigSource::Fixed(platform),
        EventStore::in_memory(),
        web.into(),
        Listeners { tcp: None, socket: Some(socket) },
        rta_aggregator::TlsConfigs { agents, ..rta_aggregator::TlsConfigs::without_tls() },
        rta_aggregator::ServerOptions {
            page: rta_aggregator::WebOptions {
                access: rta_aggregator::auth::AccessControl::without_users(false),
                names: Vec::new(),
                proxies: Vec::new(),
            },
            notify: None,
            epoch: 0,
            shared_lead: None,
            audit: rta_aggregator::audit::AuditLog::default(),
            aggregator_names: Vec::new(),
        },
        shutdown.clone(),
    )));

    let client = AggregatorClient::new(&format!("unix:{}", calls.display()))
        .map_err(|failure| anyhow::anyhow!("the demo's own socket cannot be asked: {}", failure.message()))?;
    let greeting = greet(&client, page, &calls, out);
    tokio::select! {
        greeted = greeting => {
            greeted?;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    // A stand-in that does not end in time ends with this process.
    let _ = tokio::time::timeout(STOP_TIMEOUT, control_all(&client, ActionKind::Stop)).await;
    shutdown.cancel();
    for server in servers {
        server.await.context("a server failed")??;
    }
    Ok(())
}

/// Binds the socket at `path`; without a path, where the command looks, or else in `folder`.
async fn bind_socket(path: Option<PathBuf>, folder: &Path) -> Result<LocalSocket, String> {
    match SocketChoice::from(path).bind(AGGREGATOR_NAME).await? {
        Some(socket) => Ok(socket),
        None => LocalSocket::bind(&folder.join("aggregator.sock")).await,
    }
}

/// Returns true if the command finds the socket without a flag: another aggregator's socket may precede it.
fn is_default_socket(socket: &Path) -> bool {
    let answers = |path: &PathBuf| path == socket || UnixStream::connect(path).is_ok();
    default_paths(AGGREGATOR_NAME).iter().find(|path| answers(path)).is_some_and(|path| path == socket)
}

/// Starts every component and prints how to use the demo.
async fn greet(
    client: &AggregatorClient,
    page: SocketAddr,
    calls: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    writeln!(out, "rta demo: two hosts of a platform, played on this machine\n")?;
    writeln!(out, "  the page     http://{page}")?;
    let aggregator = match is_default_socket(calls) {
        true => String::new(),
        false => format!(" --aggregator unix:{}", calls.display()),
    };
    writeln!(out, "  the prompt   rta{aggregator} shell\n")?;
    out.flush()?;
    let failures = control_all(client, ActionKind::Start).await;
    for failure in &failures {
        writeln!(out, "{failure}")?;
    }
    let overview = client.overview().await;
    let running = overview.map(|overview| overview.counts().up).unwrap_or_default();
    writeln!(
        out,
        "{} up. Stop \"kafka server\" on the page, see what breaks, start it again.",
        counted(running, "component")
    )?;
    writeln!(out, "Ctrl-C ends all of it.")?;
    Ok(out.flush()?)
}

/// Starts or stops every instance with one plan; returns the failures as sentences.
async fn control_all(client: &AggregatorClient, kind: ActionKind) -> Vec<String> {
    run_plan(client, kind).await.unwrap_or_else(|failure| vec![failure.message()])
}

async fn run_plan(client: &AggregatorClient, kind: ActionKind) -> Result<Vec<String>, CommandFailure> {
    let request = ActionRequest { all: true, ..ActionRequest::default() };
    let options =
        ExecutionOptions { everything: true, keep_going: true, parallel: MAX_PARALLEL, agreed: Vec::new() };
    // The plan is based on the known state, so the state of every host must be known.
    client.refresh().await?;
    let mut events = client.start_plan(kind, &request, &options, "demo").await?;
    let mut steps = Vec::new();
    let mut failures = Vec::new();
    while let Some(event) = events.next().await {
        match event? {
            PlanEvent::Begun(begun) => steps = begun.plan.steps,
            PlanEvent::Step(change) if change.state == StepState::Failed => {
                let place = steps.get(change.step).map_or_else(String::new, |step| step.instance.to_string());
                failures.push(printable_lines(&format!("{place}: {}", change.text)));
            }
            PlanEvent::Step(_) | PlanEvent::Ended(_) => {}
        }
    }
    Ok(failures)
}

/// Creates a folder with links to this program under the names of the components' programs.
fn link_programs(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir(folder)?;
    let own = std::env::current_exe()?;
    for name in ["java", "grafana-server"] {
        std::os::unix::fs::symlink(&own, folder.join(name))?;
    }
    Ok(())
}

fn set_agent_address(platform: &mut Platform, name: &str, address: SocketAddr) {
    for host in platform.environments.iter_mut().flat_map(|environment| &mut environment.hosts) {
        if host.name == *name {
            host.agent = format!("https://{address}");
        }
    }
}
