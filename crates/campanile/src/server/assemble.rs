//! From a configuration to the parts of a server.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::HeaderName;
use actix_web::web::{Data, ServiceConfig};
use campanile_engine::application::{Application, Interests};
use campanile_engine::broker::DiskBroker;
use campanile_engine::budget::MemoryBudget;
use campanile_engine::channel::Namespaces;
use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::delivery::Inboxes;
use campanile_engine::limits::SHARDS_MAX;
use campanile_engine::node::{Node, Parts, ShardSeat};
use campanile_engine::settings::Settings;
use campanile_engine::time::{Clock, MachineClock};

use rustls::ServerConfig;

use super::backbone::{Backbone, Builder};
use super::store::BrokerParts;
use super::{MakeBroker, ServeError, Server, machine, tls};
use crate::api;
use crate::authority::TokenAuthority;
use crate::background::Background;
use crate::config::{BodyTransport, Config};
use crate::handlers::Applications;
use crate::metrics::Metrics;
use crate::operations::{self, Readiness};
use crate::proxy::{self, ProxyApplication, ProxyMetrics};
use crate::transport::{
    Admission, BodyEndpoint, HandshakeRules, Listener, Origins, Routes, StreamEndpoints, WorkerPool,
};
use crate::vitals::Vitals;

/// Where messages come back as they came.
const ECHO_PATH: &str = "/connection/echo";

/// The parts of a server.
pub(super) struct Assembled {
    pub(super) node: Arc<Node>,
    pub(super) admission: Arc<Admission>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) listener: Listener,
    /// What has to be closed at the end.
    pub(super) store: Option<Arc<DiskBroker>>,
    /// Where others are spoken to, if there are any: services, and what keeps the streams elsewhere.
    pub(super) background: Option<Background>,
}

/// Puts together what is to listen at `local`.
pub(super) fn assemble(server: Server, local: SocketAddr) -> Result<Assembled, ServeError> {
    let config = &server.config;
    let origins = Origins::new(&config.client.allowed_origins)
        .map_err(|error| ServeError::Origins(error.into()))?;
    let tls = over_tls(server.tls, config)?;
    let has_handlers = !server.applications.is_empty();
    let streams = streams(config);
    let takes_emulation = streams.takes_emulation();
    let descriptors = machine::descriptors(takes_emulation, proxy::count(&config.proxies))
        .map_err(ServeError::Io)?;
    let mut background = None;
    let worker_count = config.http_server.workers.get().min(SHARDS_MAX);
    let Asked {
        application,
        namespaces,
        proxies,
    } = asked(
        config,
        server.applications,
        descriptors.to_service,
        &mut background,
    )?;
    let makers = (application, namespaces, server.broker);
    let Seated {
        node,
        seats,
        store,
        vitals,
    } = node(config, makers, worker_count, local, &mut background)?;
    // A second server would need a second node: this one is made in one place only.
    let _ = server.node.set(Arc::downgrade(&node));
    let readiness = Arc::new(Readiness::new(vitals.clone()));
    let limits = config.websocket.limits();
    let workers = Arc::new(WorkerPool::new(Arc::clone(&node), seats, limits));
    let admission = admission(config, descriptors.connections, &node);
    let metrics = Metrics::new(Arc::clone(&node), Arc::clone(&admission), vitals);
    let metrics = metrics.with_proxies(proxies);
    let path = |is_enabled: bool, path: &str| is_enabled.then(|| path.to_owned());
    let uni_websocket = &config.uni_websocket;
    let listener = Listener {
        workers,
        worker_count,
        websocket_path: path(!config.websocket.disabled, &config.websocket.handler_prefix),
        uni_websocket_path: path(uni_websocket.enabled, &uni_websocket.handler_prefix),
        plain_prefix: path(config.plain.enabled, &config.plain.handler_prefix),
        streams,
        echo_path: ECHO_PATH.into(),
        compresses: config.websocket.compression,
        origins,
        requests_max: descriptors.requests,
        handshakes: handshakes(config, server.headers, has_handlers),
        admission: Arc::clone(&admission),
        tls,
        routes: routes(
            config,
            &node,
            metrics,
            Arc::clone(&readiness),
            server.routes,
        ),
        shutdown_timeout: config.shutdown.timeout,
    };
    Ok(Assembled {
        node,
        admission,
        readiness,
        listener,
        store,
        background,
    })
}

/// What the application brought, or what is configured.
fn over_tls(
    brought: Option<Arc<ServerConfig>>,
    config: &Config,
) -> Result<Option<Arc<ServerConfig>>, ServeError> {
    Ok(match brought {
        Some(tls) => Some(tls::over_http(&tls)),
        None => config.http_server.tls.as_ref().map(tls::load).transpose()?,
    })
}

/// How many may connect: what is configured, and no more than there are descriptors for.
fn admission(config: &Config, possible: usize, node: &Node) -> Arc<Admission> {
    let limits = &config.client.limits;
    let wanted = limits.connection_limit.map(NonZeroUsize::get);
    Arc::new(Admission::new(
        wanted.map_or(possible, |wanted| wanted.min(possible)),
        limits.connection_rate_limit.map(NonZeroUsize::get),
        Arc::clone(node.budget()),
    ))
}

/// Everybody who is asked about clients, and what for.
struct Asked {
    application: Applications,
    namespaces: Arc<Namespaces>,
    proxies: ProxyMetrics,
}

/// The handlers of this program, and behind them the services elsewhere. A thread for these is only
/// there where there are any; to each it keeps at most `sockets_max` connections.
fn asked(
    config: &Config,
    mut all: Vec<Box<dyn Application>>,
    sockets_max: usize,
    background: &mut Option<Background>,
) -> Result<Asked, ServeError> {
    let handlers = all.iter().map(|one| one.interests());
    let handlers = handlers.fold(Interests::NONE, |sum, one| sum | one);
    if !config.lets_clients_in() && !handlers.has(Interests::CONNECTING) {
        tracing::warn!(
            "no client can connect: set client.token.hmac_secret_key or another key of tokens, client.allow_anonymous_connect_without_token, or decide by handlers"
        );
    }
    let namespaces = Arc::new(namespaces(config, handlers));
    let rules = &config.proxies;
    let mut proxies = ProxyMetrics::default();
    if rules.all().next().is_some() || rules.rpc.ping.is_some() {
        let thread = Background::of(background).map_err(ServeError::Io)?;
        let services = ProxyApplication::new(rules, Arc::clone(&namespaces), thread, sockets_max)?;
        proxies = services.metrics();
        all.push(Box::new(services));
    }
    Ok(Asked {
        application: Applications::new(all),
        namespaces,
        proxies,
    })
}

/// What is read from requests that bring clients: what handlers want to see, and what is passed on
/// to services elsewhere.
fn handshakes(config: &Config, mut headers: Vec<HeaderName>, has_handlers: bool) -> HandshakeRules {
    let services = config.proxies.all();
    headers.extend(services.flat_map(|proxy| proxy.http_headers.iter().cloned()));
    headers.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    headers.dedup();
    HandshakeRules {
        user_header: config.client.authentication.user_id_http_header.clone(),
        headers,
        wants_peer: has_handlers,
    }
}

fn streams(config: &Config) -> StreamEndpoints {
    let endpoint = |transport: &BodyTransport| {
        transport.enabled.then(|| BodyEndpoint {
            path: transport.handler_prefix.clone(),
            body_bytes_max: transport.max_request_body_size,
        })
    };
    let init = &config.init;
    StreamEndpoints {
        http_stream: endpoint(&config.http_stream),
        sse: endpoint(&config.sse),
        uni_http_stream: endpoint(&config.uni_http_stream),
        uni_sse: endpoint(&config.uni_sse),
        emulation: BodyEndpoint {
            path: config.emulation.handler_prefix.clone(),
            body_bytes_max: config.emulation.max_request_body_size,
        },
        init: init.enabled.then(|| init.handler_prefix.clone()),
    }
}

/// A node, its places for workers, and what it stands on.
struct Seated {
    node: Arc<Node>,
    seats: Vec<ShardSeat>,
    store: Option<Arc<DiskBroker>>,
    vitals: Vec<Arc<dyn Vitals>>,
}

fn node(
    config: &Config,
    (application, namespaces, make): (Applications, Arc<Namespaces>, Option<MakeBroker>),
    shards: usize,
    local: SocketAddr,
    background: &mut Option<Background>,
) -> Result<Seated, ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
    let interests = application.interests();
    let memory_limit = match config.memory.limit {
        Some(limit) => Some(limit.get() as u64),
        None => machine::half_of_memory(),
    };
    let budget = Arc::new(MemoryBudget::new(memory_limit));
    let (inboxes, shard_inboxes) = Inboxes::new(shards);
    let around = BrokerParts {
        inboxes: inboxes.clone(),
        budget: Arc::clone(&budget),
        clock: Arc::clone(&clock),
        meta_ttl_min: shortest_meta_ttl(config),
    };
    let Backbone {
        broker,
        presence,
        store,
        vitals,
    } = match make {
        Some(make) => Backbone::local(make(around).map_err(ServeError::Broker)?),
        None => Builder { around, background }.build(&config.engine)?,
    };
    let authentication = &config.client.authentication;
    let (node, seats) = Node::new(Parts {
        settings: Arc::new(settings(config, interests)),
        namespaces: Arc::clone(&namespaces),
        broker,
        presence,
        authority: Arc::new(TokenAuthority::new(authentication, namespaces)),
        application: Arc::new(application),
        budget,
        clock,
        inboxes,
        shard_inboxes,
        name: node_name(config, local),
    });
    Ok(Seated {
        node,
        seats,
        store,
        vitals,
    })
}

fn routes(
    config: &Config,
    node: &Arc<Node>,
    metrics: Metrics,
    readiness: Arc<Readiness>,
    applications: Vec<Routes>,
) -> Routes {
    let node = Arc::clone(node);
    let api_settings = config.http_api.clone();
    let health = config.health.clone();
    let prometheus = config.prometheus.clone();
    Arc::new(move |services: &mut ServiceConfig| {
        services.app_data(Data::from(Arc::clone(&node)));
        operations::configure(&health, &readiness, services);
        if prometheus.enabled {
            metrics.configure(&prometheus.handler_prefix, services);
        }
        if !api_settings.disabled {
            api::configure(Arc::clone(&node), &api_settings, services);
        }
        for routes in &applications {
            routes(services);
        }
    })
}

/// The channels' rules. Where handlers of this program want to be asked, they are, whatever the
/// services elsewhere are asked there.
fn namespaces(config: &Config, interests: Interests) -> Namespaces {
    let asked = |options: &ChannelOptions| ChannelOptions {
        unasked: options.unasked.without(interests),
        ..options.clone()
    };
    let channel = &config.channel;
    let named = channel.namespaces.iter();
    Namespaces::new(
        channel.names.clone(),
        asked(&channel.without_namespace),
        named.map(|(name, options)| (name.clone(), asked(options))),
    )
}

fn settings(config: &Config, interests: Interests) -> Settings {
    let client = &config.client;
    Settings {
        ping_interval: client.timing.ping_interval,
        pong_timeout: client.timing.pong_timeout,
        stale_close_delay: client.timing.stale_close_delay,
        expired_close_delay: client.timing.expired_close_delay,
        expired_sub_close_delay: client.timing.expired_sub_close_delay,
        position_check_delay: client.timing.channel_position_check_delay,
        channel_limit: client.limits.channel_limit,
        queue_bytes_max: client.limits.queue_max_size,
        compression_bytes_min: config.websocket.compression_bytes_min(),
        compression_level: u8::try_from(config.websocket.compression_level).unwrap_or(u8::MAX),
        history_publications_max: client.limits.history_max_publication_limit,
        recovery_publications_max: client.limits.recovery_max_publication_limit,
        concurrency: client.limits.concurrency.get(),
        user_connection_limit: client.limits.user_connection_limit.map(NonZeroUsize::get),
        has_one_connection: client
            .personal_channel
            .as_ref()
            .is_some_and(|personal| personal.single_connection),
        is_insecure: client.authentication.insecure,
        allows_anonymous: client.authentication.allow_anonymous_connect_without_token,
        refuses_anonymous_tokens: client.authentication.disallow_anonymous_connection_tokens,
        tells_time: client.connect_include_server_time,
        personal_channel_namespace: client
            .personal_channel
            .as_ref()
            .map(|personal| personal.personal_channel_namespace.clone()),
        interests,
        emulated_headers: emulated_headers(config),
        // Handlers see them when a client comes, and keep what they want of them.
        keeps_headers: config.proxies.all().any(|proxy| proxy.passes_headers_on()),
        ..Settings::default()
    }
}

/// Those that any service is to be told of; which of them is its own business.
fn emulated_headers(config: &Config) -> Box<[Box<str>]> {
    let services = config.proxies.all();
    let names = services.flat_map(|proxy| proxy.emulated_headers.iter());
    let names: BTreeSet<&str> = names.map(HeaderName::as_str).collect();
    names.into_iter().map(Into::into).collect()
}

fn shortest_meta_ttl(config: &Config) -> Duration {
    let channel = &config.channel;
    let namespaces = channel.namespaces.iter().map(|(_, options)| options);
    let all = namespaces.chain([&channel.without_namespace]);
    let kept = all.filter_map(|options| options.retention().map(|retention| retention.meta_ttl));
    kept.min().unwrap_or(Duration::from_secs(720 * 60 * 60))
}

fn node_name(config: &Config, local: SocketAddr) -> String {
    if !config.node.name.is_empty() {
        return config.node.name.clone();
    }
    let uname = rustix::system::uname();
    format!("{}_{}", uname.nodename().to_string_lossy(), local.port())
}
