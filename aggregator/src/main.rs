//! `rta-aggregator`: follows every agent, renders the page, forwards starts and stops.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use jiff::SignedDuration;
use rta_aggregator::audit::AuditLog;
use rta_aggregator::auth::AccessControl;
use rta_aggregator::leadership::LeaseKeeper;
use rta_aggregator::{
    ConfigSource, EventStore, IpNetwork, NotifyOptions, ServerOptions, SharedLead, StoreLocation,
    StoreOptions, TlsConfigs, WebListeners, WebOptions, hide_password, open_files,
};
use rta_shared::address::{server_url, url};
use rta_shared::config::notify::load_notify_file;
use rta_shared::config::{Platform, load_folder};
use rta_shared::connection::Listeners;
use rta_shared::lifecycle::signals::{MAX_SHUTDOWN, end_on_signals};
use rta_shared::local_socket::SocketChoice;
use rta_shared::logging::{self, LogFormat};
use rta_shared::tls::{ClientPolicy, ClientTls, ConnectionAcceptor, TlsFiles, missing_certificate};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Monitor all agents, show the platform on one page, and perform starts and stops
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
Exit codes:
  0  ended by SIGTERM or SIGINT
  1  failed; the reason is on standard error
  2  wrong usage, or an invalid configuration

SIGHUP reloads the configuration; an invalid one is rejected, and reported on the page.
The environment variable RTA_LOG sets the log level: warn, info, debug."
)]
struct Arguments {
    /// Folder with the platform's configuration
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
    /// Address of the page
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    web: SocketAddr,
    /// Further address for metrics alone, for example 0.0.0.0:9464; the page has them at /metrics too.
    /// Certificate, users and tokens are those of the page
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<SocketAddr>,
    /// Address for the rta command on other hosts, over TLS, for example 0.0.0.0:7600 [default: only the
    /// local socket is served]
    #[arg(long, value_name = "ADDRESS:PORT")]
    grpc: Option<SocketAddr>,
    /// Local socket, for root and the group rta; none: no socket [default: /run/rta/aggregator.sock, else
    /// rta/aggregator.sock in $XDG_RUNTIME_DIR]
    #[arg(long, value_name = "PATH|none")]
    socket: Option<PathBuf>,
    /// Data folder for events, maintenance and plans, created if missing; the same as --store sqlite:DIR.
    /// Without it they are kept in memory, and lost when the aggregator ends
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Store for events, maintenance and plans: sqlite:DIR, or postgres://USER@HOST/DATABASE. Put a password
    /// into the variable PGPASSWORD or the file that PGPASSFILE names
    #[arg(long, value_name = "STORE", conflicts_with = "data", env = "RTA_STORE", hide_env_values = true)]
    store: Option<String>,
    /// Take part in the lead of several aggregators that use the same PostgreSQL (--store postgres://...).
    /// Each leads some environments, and takes over those of another one that ends. People are shown this
    /// ADDRESS of the page or of --grpc, such as https://HOST:8080
    #[arg(long, value_name = "ADDRESS")]
    advertise: Option<String>,
    /// Address at which the other aggregators call this one, such as https://HOST:7600 or
    /// unix:/run/rta/aggregator.sock: they pass actions on to the leaders [default: the host of --advertise,
    /// with the port of --grpc]
    #[arg(long, value_name = "ADDRESS", requires = "advertise", value_parser = parse_grpc_address)]
    advertise_grpc: Option<String>,
    /// Name in the certificates of aggregators, which alone may call each other on behalf of people; may be
    /// given more than once
    #[arg(long, value_name = "NAME", default_value = "aggregator")]
    aggregator_name: Vec<String>,
    /// Lowest epoch, when this aggregator replaces others that agents know: higher than the one that agents
    /// report
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=MAX_EPOCH))]
    epoch: u64,
    /// Retention time of events, at least 1h
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = parse_retention)]
    keep: SignedDuration,
    /// Certificate of the aggregator, created with rta pki host, for connections to agents and for --grpc. A
    /// renewed file is loaded automatically
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// CA of the agents' and users' certificates
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_ca: Option<PathBuf>,
    /// Certificate of the page, which is then served over HTTPS
    #[arg(long, value_name = "FILE", requires = "web_key")]
    web_cert: Option<PathBuf>,
    /// Key of the page's certificate
    #[arg(long, value_name = "FILE", requires = "web_cert")]
    web_key: Option<PathBuf>,
    /// File with users and tokens; rta user hash and rta user token create its entries. A changed file is
    /// loaded automatically
    #[arg(long, value_name = "FILE")]
    users: Option<PathBuf>,
    /// File of notifications: recipients, conditions and channels; see docs/notifications.md. A changed file
    /// is loaded automatically
    #[arg(long, value_name = "FILE")]
    notify: Option<PathBuf>,
    /// Audit log, one line of JSON for each action, sign-in, refusal, reload and maintenance: a file, which
    /// is created with mode 0600 and opened again after rotation, or journald
    #[arg(long, value_name = "FILE|journald")]
    audit_log: Option<PathBuf>,
    /// Serve a page without buttons. If another aggregator uses the store, keep events in memory
    /// instead of refusing to start
    #[arg(long)]
    read_only: bool,
    /// Host name of the page beyond loopback; may be repeated. Requests for other names are rejected
    #[arg(long, value_name = "NAME")]
    web_name: Vec<String>,
    /// Address or network (10.0.0.0/8) of proxies whose headers X-Forwarded-For and X-Forwarded-Proto are
    /// trusted; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    trusted_proxy: Vec<IpNetwork>,
    /// Serve --grpc without TLS, the page beyond loopback without HTTPS, and a page with buttons without
    /// users. Passwords can be read on the network, and anyone who reaches the ports can stop the platform
    #[arg(long)]
    insecure: bool,
    /// Format of log lines: plain for people, json for collectors
    #[arg(long, value_name = "plain|json", default_value_t)]
    log_format: LogFormat,
}

fn parse_retention(text: &str) -> Result<SignedDuration, String> {
    match rta_aggregator::parse_length(text)? {
        length if length >= SignedDuration::from_hours(1) => Ok(length),
        _ => Err(format!("\"{text}\" is less than 1h")),
    }
}

fn parse_grpc_address(text: &str) -> Result<String, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(text.to_owned()),
        Some(_) => Err(format!("\"{text}\" has no absolute path")),
        None => server_url(text, DEFAULT_GRPC_PORT).map_err(|problem| format!("\"{text}\" {problem}")),
    }
}

/// Returns the address at which other aggregators call this one; empty: they cannot.
fn grpc_address(arguments: &Arguments, bound: Option<SocketAddr>) -> String {
    let derived = || {
        let advertised = url(arguments.advertise.as_deref()?).ok()?;
        let scheme = if arguments.tls_cert.is_some() { "https" } else { "http" };
        Some(format!("{scheme}://{}:{}", advertised.host()?, bound?.port()))
    };
    arguments.advertise_grpc.clone().or_else(derived).unwrap_or_default()
}

/// Port of an address of --advertise-grpc without one.
const DEFAULT_GRPC_PORT: u16 = 7600;

/// Exit code for wrong arguments or a broken configuration.
const USAGE_EXIT_CODE: u8 = 2;

/// Highest epoch that can be given: many more can follow it.
const MAX_EPOCH: u64 = 1 << 48;

/// Time limit for a read that is in progress at the end.
const RUNTIME_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = hide_password() {
        write_error(&error);
        return ExitCode::FAILURE;
    }
    logging::init(arguments.log_format, "info");
    let shutdown = CancellationToken::new();
    if let Err(error) = end_on_signals(shutdown.clone(), abort_shutdown) {
        write_error(&format!("signals cannot be caught: {error}"));
        return ExitCode::FAILURE;
    }
    let prepared = match prepare(&arguments) {
        Ok(prepared) => prepared,
        Err(message) => {
            write_error(&message);
            return ExitCode::from(USAGE_EXIT_CODE);
        }
    };
    let outcome = tokio::runtime::Runtime::new().context("no runtime").and_then(|runtime| {
        let outcome = runtime.block_on(run(&arguments, prepared, shutdown));
        // A read of a hanging disk must not delay the end.
        runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
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
    logging::write_last_message("rta-aggregator", message);
}

/// Ends the process after its orderly shutdown has timed out.
#[expect(clippy::exit, reason = "what hangs cannot be returned from")]
fn abort_shutdown() {
    write_error(&format!("its orderly end took longer than {} s and is cut short", MAX_SHUTDOWN.as_secs()));
    std::process::exit(1);
}

/// Configuration that is complete before anything is served.
struct ServerSetup {
    platform: Platform,
    store: StoreLocation,
    tls_configs: TlsConfigs,
    access: AccessControl,
    notify: Option<NotifyOptions>,
    audit: AuditLog,
}

fn prepare(arguments: &Arguments) -> Result<ServerSetup, String> {
    let (web, grpc) = (arguments.web, arguments.grpc);
    if !web.ip().is_loopback() && arguments.users.is_none() && !arguments.read_only {
        return Err(format!(
            "{web} is beyond loopback, where everybody who reaches the page could stop the platform; give --users FILE \
             with what rta user hash makes, or --read-only for a page without buttons"
        ));
    }
    if !web.ip().is_loopback() && arguments.web_cert.is_none() && !arguments.insecure {
        return Err(format!(
            "{web} is beyond loopback, where the page and its passwords would not be encrypted; give --web-cert and \
             --web-key, or add --insecure to serve it there all the same"
        ));
    }
    let metrics = arguments.metrics_listen.filter(|address| !address.ip().is_loopback());
    if let Some(metrics) = metrics.filter(|_| arguments.web_cert.is_none() && !arguments.insecure) {
        return Err(format!(
            "{metrics} is beyond loopback, where metrics and tokens would not be encrypted; give --web-cert and \
             --web-key, or add --insecure to serve them there all the same"
        ));
    }
    if let Some(grpc) = grpc.filter(|_| !arguments.insecure && arguments.tls_cert.is_none()) {
        return Err(missing_certificate("--grpc", grpc, "aggregator"));
    }
    let platform = load_folder(&arguments.config).map_err(|error| error.to_string())?;
    let access = match &arguments.users {
        Some(path) => AccessControl::with_users_file(path, arguments.read_only)?,
        // Every client, which may be any user of this host, would act without a name.
        None => AccessControl::without_users(arguments.read_only || !arguments.insecure),
    };
    let notify = match &arguments.notify {
        Some(path) => {
            let config = load_notify_file(path).map_err(|error| error.to_string())?;
            Some(NotifyOptions { path: path.clone(), config })
        }
        None => None,
    };
    let audit = match arguments.audit_log.clone() {
        Some(name) => AuditLog::open(&name.into()).map_err(|why| format!("--audit-log: {why}"))?,
        None => AuditLog::default(),
    };
    let store = match (&arguments.store, &arguments.data) {
        (Some(store), _) => StoreLocation::parse(store).map_err(|why| format!("--store: {why}"))?,
        (None, Some(data)) => StoreLocation::Folder(data.clone()),
        (None, None) => StoreLocation::Memory,
    };
    let is_shared = matches!(store, StoreLocation::Postgres(_));
    if arguments.advertise.is_some() && !is_shared {
        return Err("--advertise: only aggregators over one PostgreSQL can take turns; add --store \
                    postgres://USER@HOST/DATABASE"
            .to_owned());
    }
    Ok(ServerSetup { platform, store, tls_configs: load_tls_configs(arguments)?, access, notify, audit })
}

fn load_tls_configs(arguments: &Arguments) -> Result<TlsConfigs, String> {
    let mut tls_configs = TlsConfigs::without_tls();
    tls_configs.ca.clone_from(&arguments.tls_ca);
    if let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) {
        let files = TlsFiles { own: Some((certificate.clone(), key.clone())), ca: arguments.tls_ca.clone() };
        tls_configs.grpc =
            ConnectionAcceptor::with_tls(files.clone(), ClientPolicy::KnownAndUnknown, &["h2"])?;
        tls_configs.agents = Some(ClientTls::new(files)?);
    }
    if let (Some(certificate), Some(key)) = (&arguments.web_cert, &arguments.web_key) {
        let files = TlsFiles { own: Some((certificate.clone(), key.clone())), ca: None };
        tls_configs.web = ConnectionAcceptor::with_tls(files, ClientPolicy::Anybody, &["http/1.1"])?;
    }
    Ok(tls_configs)
}

async fn run(
    arguments: &Arguments,
    prepared: ServerSetup,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let needed = open_files::MAX_OPEN_FILES + 2 * u64::try_from(prepared.platform.hosts().count())?;
    if let Some(limit) = open_files::raise_limit().filter(|limit| *limit < needed) {
        tracing::warn!(
            limit,
            needed,
            "few files may be open at a time (ulimit -n): when many pages are open, connections may be refused"
        );
    }
    let sockets = BoundSockets::bind(arguments).await?;
    if let StoreLocation::Postgres(location) = &prepared.store {
        prepared.access.share_sessions(location.clone())?;
    }
    match (&arguments.advertise, &prepared.store) {
        (Some(address), StoreLocation::Postgres(location)) => {
            let bound = sockets.grpc.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
            let grpc_address = grpc_address(arguments, bound);
            let environments = prepared.platform.environments.iter().map(|one| one.name.clone()).collect();
            let keeper = LeaseKeeper::start(
                location.clone(),
                address.clone(),
                grpc_address,
                arguments.epoch,
                environments,
            )?;
            let lead =
                SharedLead { keeper: keeper.clone(), location: location.clone(), retention: arguments.keep };
            let served = serve(arguments, prepared, sockets, Some(lead), shutdown).await;
            keeper.end().await;
            served
        }
        _ => serve(arguments, prepared, sockets, None, shutdown).await,
    }
}

/// TCP sockets.
struct BoundSockets {
    web: std::net::TcpListener,
    metrics: Option<std::net::TcpListener>,
    grpc: Option<std::net::TcpListener>,
}

impl BoundSockets {
    async fn bind(arguments: &Arguments) -> anyhow::Result<Self> {
        let listen = async |address: SocketAddr| -> anyhow::Result<std::net::TcpListener> {
            let listener = TcpListener::bind(address).await;
            Ok(listener.with_context(|| format!("cannot listen on {address}"))?.into_std()?)
        };
        let web = listen(arguments.web).await?;
        let metrics = match arguments.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let grpc = match arguments.grpc {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self { web, metrics, grpc })
    }
}

/// Serves until `shutdown`. One of several aggregators has a `lead`.
async fn serve(
    arguments: &Arguments,
    prepared: ServerSetup,
    sockets: BoundSockets,
    lead: Option<SharedLead>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let web = TcpListener::from_std(sockets.web)?;
    let metrics = sockets.metrics.map(TcpListener::from_std).transpose()?;
    let tcp = sockets.grpc.map(TcpListener::from_std).transpose()?;
    let metrics_address = metrics.as_ref().map(TcpListener::local_addr).transpose()?;
    let grpc_address = tcp.as_ref().map(TcpListener::local_addr).transpose()?;
    let socket = SocketChoice::from(arguments.socket.clone());
    let socket = socket.bind("aggregator").await.map_err(anyhow::Error::msg)?;
    let record = open_record(arguments, prepared.store, lead.as_ref()).await?;
    // Before readiness is announced, since a signal may follow at once.
    let asked = signal(SignalKind::hangup())?;
    let platform = prepared.platform;
    tracing::info!(
        web = %web.local_addr()?,
        metrics = metrics_address.map(|address| address.to_string()),
        grpc = grpc_address.map(|address| address.to_string()),
        socket = socket.as_ref().map(|socket| socket.path().display().to_string()),
        hosts = platform.hosts().count(),
        "listening"
    );
    let configuration =
        ConfigSource::Folder { platform, folder: arguments.config.clone(), reload_signal: asked };
    let page = WebOptions {
        access: prepared.access,
        names: arguments.web_name.clone(),
        proxies: arguments.trusted_proxy.clone(),
    };
    let tls_configs = prepared.tls_configs;
    let options = ServerOptions {
        page,
        notify: prepared.notify,
        epoch: arguments.epoch,
        shared_lead: lead,
        audit: prepared.audit,
        aggregator_names: arguments.aggregator_name.clone(),
    };
    let grpc = Listeners { tcp: tcp.map(|listener| (listener, tls_configs.grpc.clone())), socket };
    let web = WebListeners { page: web, metrics };
    rta_aggregator::serve(configuration, record, web, grpc, tls_configs, options, shutdown).await
}

/// Opens the record. One of several aggregators reads it as a whole, and writes that of the environments it
/// leads apart from this.
async fn open_record(
    arguments: &Arguments,
    location: StoreLocation,
    lead: Option<&SharedLead>,
) -> anyhow::Result<EventStore> {
    if let Some(lead) = lead {
        let location = lead.location.clone();
        return Ok(tokio::task::spawn_blocking(move || EventStore::follow(location)).await?);
    }
    let options = StoreOptions { location, retention: arguments.keep, ..StoreOptions::default() };
    let record = tokio::task::spawn_blocking(move || EventStore::open(&options)).await?;
    if let Some(used) = record.used_by_another().filter(|_| !arguments.read_only) {
        anyhow::bail!(
            "{used}. Two aggregators would act and record apart from each other: end that one, give this one a store of \
             its own with --store, start both with --advertise, or this one with --read-only"
        );
    }
    Ok(record)
}
