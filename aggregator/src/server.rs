//! Both servers of the aggregator: the page, and gRPC.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rta_shared::authorization::{AGGREGATOR_METHODS, AuthorizationLayer};
use rta_shared::connection::Listeners;
use rta_shared::impairment::ImpairmentList;
use rta_shared::lifecycle::tasks::OwnedTasks;
use rta_shared::name::Name;
use rta_shared::proto::FILE_DESCRIPTOR_SET;
use rta_shared::proto::v1::aggregator_service_server::AggregatorServiceServer;
use rta_shared::timing::{MAX_CLIENT_SILENCE, SERVER_PING_INTERVAL};
use rta_shared::tls::ConnectionLimits;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::api::environment_leads::{EnvironmentLeads, LeadCoordinator, LeadTerms, SharedLead, TermParts};
use crate::api::{OperationOptions, Operations};
use crate::audit::AuditLog;
use crate::auth::AccessControl;
use crate::certificate_check;
use crate::certificates::OwnCertificates;
use crate::config_manager::ConfigSource;
use crate::events::EventBus;
use crate::forwarding::LeaderClient;
use crate::grpc::AggregatorGrpc;
use crate::grpc::call_limit::CallLimit;
use crate::leadership::{Leadership, report_leadership};
use crate::notify::NotifyOptions;
use crate::pauses::PauseWatch;
use crate::state::actor::StateMessage;
use crate::store::EventStore;
use crate::tls_configs::TlsConfigs;
use crate::web::{HostPolicy, IpNetwork, metrics_router, router};

/// Time limit for open answers at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of calls at a time on one connection: another aggregator has one for each environment.
const MAX_STREAMS: u32 = 256;
/// Limits for connections of commands and scripts. A client that answers no ping counts as silent.
pub(crate) const CONNECTION_LIMITS: ConnectionLimits =
    ConnectionLimits { connections: 1024, of_one_address: 256, silence: Some(MAX_CLIENT_SILENCE) };

/// Configuration of the page's server.
#[derive(Clone, Debug)]
pub struct WebOptions {
    /// Users and their rights; for gRPC, the known tokens.
    pub access: AccessControl,
    /// Host names that are answered; empty: those of loopback, and on other addresses any.
    pub names: Vec<String>,
    /// Proxies that are trusted for the origin of a request.
    pub proxies: Vec<IpNetwork>,
}

/// Listeners of the HTTP servers.
#[derive(Debug)]
pub struct WebListeners {
    /// Listener of the page, which has the metrics too.
    pub page: TcpListener,
    /// Listener that serves metrics alone; `None`: there is none.
    pub metrics: Option<TcpListener>,
}

impl From<TcpListener> for WebListeners {
    /// Creates the listener of the page alone.
    fn from(page: TcpListener) -> Self {
        Self { page, metrics: None }
    }
}

/// Configuration of the servers beside the platform's.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Access to the page.
    pub page: WebOptions,
    /// Notifications; `None`: nobody is notified.
    pub notify: Option<NotifyOptions>,
    /// Epoch of the requests of a single aggregator.
    pub epoch: u64,
    /// Lead of environments, of one of several aggregators; `None`: it is the only one.
    pub shared_lead: Option<SharedLead>,
    /// Audit log.
    pub audit: AuditLog,
    /// DNS names in the certificates of aggregators, which call each other on behalf of people.
    pub aggregator_names: Vec<String>,
}

/// Follows every agent of the platform of `configuration` and serves the page on `web` and gRPC on `grpc`,
/// until `shutdown`. Events are stored in `record`. `tls_configs` configures TLS of the servers and the agent
/// client, and `options` the access to the page, the notifications and the role.
///
/// # Errors
/// Returns an error if a server fails.
pub async fn serve(
    configuration: ConfigSource,
    record: EventStore,
    web: WebListeners,
    grpc: Listeners,
    tls_configs: TlsConfigs,
    options: ServerOptions,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let ServerOptions { page, notify, epoch, shared_lead, audit, aggregator_names } = options;
    let leadership = match &shared_lead {
        Some(lead) => Leadership::follower(&lead.keeper),
        None => Leadership::alone(epoch),
    };
    let leads = shared_lead.as_ref().map(|lead| {
        let client = LeaderClient::new(tls_configs.agents.clone(), aggregator_names.clone());
        EnvironmentLeads::new(&lead.keeper, client)
    });
    // Of several aggregators the leader of an environment notifies.
    let (notify, lead_notify) = if shared_lead.is_some() { (None, notify) } else { (notify, None) };
    let policy = |listener: &TcpListener| -> anyhow::Result<HostPolicy> {
        let address = listener.local_addr().context("a web listener has no address")?;
        Ok(HostPolicy::for_listener(address, &page.names))
    };
    let hosts = policy(&web.page)?;
    let metrics_hosts = web.metrics.as_ref().map(policy).transpose()?;
    let access = page.access;
    access.report_refusals_to(&audit);
    // The end of one server ends the other, and the agent tasks.
    let all_end_together = shutdown.clone().drop_guard();
    let events = EventBus::new(record.handle()).with_audit(audit.clone());
    if shared_lead.is_none() {
        events.publish_start();
    }
    let (tasks, impairments) = (OwnedTasks::new(shutdown.clone()), ImpairmentList::default());
    let pauses = PauseWatch::begin();
    tasks.spawn("the watch over pauses", pauses.clone().report(events.clone()));
    access.follow_file(&tasks, &impairments).context("the users file cannot be followed")?;
    let (operations, agent_tasks) = Operations::start(
        configuration,
        events.clone(),
        tls_configs.agents.as_ref(),
        OperationOptions {
            notify,
            leadership,
            leads: leads.clone(),
            pauses: pauses.clone(),
            ..OperationOptions::default()
        },
        &tasks,
        &impairments,
        &shutdown,
    )?;
    let agent_tasks = tasks.spawn_to_end("the owner of the platform's state", agent_tasks);
    let certificates = OwnCertificates {
        doors: vec![tls_configs.web.clone(), tls_configs.grpc.clone()],
        agents: tls_configs.agents.clone(),
        ca: tls_configs.ca,
    };
    let expiry = certificate_check::check_certificates(certificates, operations.inbox.clone());
    tasks.spawn("the watch over certificates", expiry);
    tasks.spawn("the watch over the audit log", audit.clone().report_errors(impairments.clone()));
    let coordinator = shared_lead.zip(leads).map(|(lead, leads)| {
        tasks.spawn("the watch over the lead", report_leads(&operations, &leads, impairments.clone()));
        tasks.spawn("the watch over those who pass hosts on", leads.clone().publish_relay_sources());
        let SharedLead { keeper, location, retention } = lead;
        let parts = TermParts {
            inventory: operations.watch_inventory(),
            whole: operations.whole_platform(),
            location,
            retention,
            reader: record.handle(),
            audit: audit.clone(),
            notify: lead_notify,
            client_tls: tls_configs.agents.clone(),
            plan_changes: operations.plan_changes(),
            pauses: pauses.clone(),
        };
        let (events, impairments) = (events.clone(), impairments.clone());
        let coordinator = LeadCoordinator {
            keeper,
            leads,
            parts: Arc::new(parts),
            events,
            impairments,
            terms: LeadTerms::default(),
        };
        tasks.spawn_to_end("the owner of the terms", coordinator.run(shutdown.clone()))
    });
    let is_shared = coordinator.is_some();

    let pages = router(operations.clone(), hosts, access.clone(), &page.proxies);
    let metrics = web.metrics.zip(metrics_hosts).map(|(listener, hosts)| {
        let routes = metrics_router(operations.clone(), hosts, access.clone(), &page.proxies);
        crate::web::server::serve(listener, tls_configs.web.clone(), routes, shutdown.clone())
    });
    let page = crate::web::server::serve(web.page, tls_configs.web, pages, shutdown.clone());
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<AggregatorServiceServer<AggregatorGrpc>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("the protocol's descriptors are broken")?;
    let service = AggregatorGrpc { operations, shutdown: shutdown.clone() };
    let calls = Server::builder()
        .http2_keepalive_interval(Some(SERVER_PING_INTERVAL))
        .http2_keepalive_timeout(Some(SERVER_PING_INTERVAL))
        .max_concurrent_streams(Some(MAX_STREAMS))
        .layer(AuthorizationLayer::new(AGGREGATOR_METHODS, move |right, call| {
            crate::auth::grpc::authorize(&access, &aggregator_names, right, call)
        }))
        .layer(CallLimit::new())
        .add_service(AggregatorServiceServer::new(service))
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(
            grpc.connections(CONNECTION_LIMITS),
            shutdown.clone().cancelled_owned(),
        );
    let page = async {
        page.await;
        anyhow::ensure!(shutdown.is_cancelled(), "the page's server ended unexpectedly");
        Ok(())
    };
    let metrics = async {
        let Some(metrics) = metrics else { return Ok(()) };
        metrics.await;
        anyhow::ensure!(shutdown.is_cancelled(), "the server of the metrics ended unexpectedly");
        Ok(())
    };
    let calls = async {
        calls.await.context("the gRPC server failed")?;
        anyhow::ensure!(shutdown.is_cancelled(), "the gRPC server ended unexpectedly");
        Ok(())
    };
    let all = async { tokio::try_join!(page, metrics, calls).map(|((), (), ())| ()) };
    tasks.watch(impairments).context("the aggregator's own tasks cannot be watched")?;
    let grace = async {
        shutdown.cancelled().await;
        tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
    };
    let outcome = tokio::select! {
        result = all => result,
        () = grace => {
            tracing::warn!("connections were still open after {} s and are cut", SHUTDOWN_TIMEOUT.as_secs());
            Ok(())
        }
        failure = tasks.failed() => Err(anyhow::anyhow!("{failure}")),
    };
    drop(all_end_together);
    let followed = agent_tasks.await;
    let led = match coordinator {
        Some(coordinator) => coordinator.await,
        None => Ok(()),
    };
    if !is_shared {
        events.publish_shutdown();
    }
    record.close().await;
    audit.flush().await;
    followed.context("what follows the agents failed")?;
    led.context("what leads environments failed")?;
    outcome
}

/// Shows which aggregators lead, and who of them is missing.
fn report_leads(
    operations: &Operations,
    leads: &EnvironmentLeads,
    impairments: ImpairmentList,
) -> impl Future<Output = ()> + Send + use<> {
    let (inbox, inventory, leads) = (operations.inbox.clone(), operations.watch_inventory(), leads.clone());
    let environments = move || -> Vec<Name> {
        inventory.borrow().platform.environments.iter().map(|one| one.name.clone()).collect()
    };
    let status = leads.status();
    let serves = move |environment: &Name| leads.running(environment).is_some();
    report_leadership(status, impairments, environments, serves, move |leaders| {
        let inbox = inbox.clone();
        async move {
            // The state actor ends only at shutdown.
            let _ = inbox.send(StateMessage::ReplaceLeaders(leaders)).await;
        }
    })
}
