//! From a configuration to the parts of a server.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix_web::http::header::HeaderName;
use actix_web::web::{Data, ServiceConfig};
use arc_swap::ArcSwap;
use campanile_engine::application::{Application, Interests};
use campanile_engine::broker::{Broker, DiskBroker, MemoryBroker};
use campanile_engine::budget::MemoryBudget;
use campanile_engine::channel::Namespaces;
use campanile_engine::channel::options::ChannelOptions;
use campanile_engine::delivery::Inboxes;
use campanile_engine::limits::SHARDS_MAX;
use campanile_engine::node::{Node, Parts, ShardSeat};
use campanile_engine::presence::MemoryPresence;
use campanile_engine::settings::Settings;
use campanile_engine::time::{Clock, MachineClock};
use tokio::sync::{Mutex, watch};

use super::doors::Doors;
use super::drain::{DrainOrders, Means};
use super::reload::{InForce, Live, connections_max};
use super::store::{self, BrokerParts};
use super::tls::{self, Identity};
use super::{MakeBroker, ServeError, Server, machine};
use crate::api::{self, Gate};
use crate::authority::TokenAuthority;
use crate::background::Background;
use crate::config::{BodyTransport, Config, Engine};
use crate::handlers::Applications;
use crate::metrics::Metrics;
use crate::operations::{self, Readiness};
use crate::proxy::{self, ProxyApplication, ProxyMetrics};
use crate::transport::{
    Admission, BodyEndpoint, HandshakeRules, Listener, Origins, Routes, StreamEndpoints, WorkerPool,
};

/// Where messages come back as they came.
const ECHO_PATH: &str = "/connection/echo";

/// The parts of a server.
pub(super) struct Assembled {
    pub(super) doors: Doors,
    pub(super) live: Live,
    pub(super) listener: Listener,
    /// What has to be closed at the end.
    pub(super) store: Option<Arc<DiskBroker>>,
    /// Where services elsewhere are asked, if there are any.
    pub(super) background: Option<Background>,
}

/// Puts together what is to listen at `local`, and what tells `stops` when it is told to stop.
pub(super) fn assemble(
    server: Server,
    local: SocketAddr,
    stops: &Arc<watch::Sender<bool>>,
) -> Result<Assembled, ServeError> {
    let config = &server.config;
    let origins = Origins::new(&config.client.allowed_origins);
    let origins = origins.map_err(|error| ServeError::Origins(error.into()))?;
    let (identity, tls) = encryption(config, server.tls)?;
    let has_successor =
        server.is_socket_kept && server.broker.is_none() && config.engine.is_of_one_node();
    let has_handlers = !server.applications.is_empty();
    let streams = streams(config);
    let takes_emulation = streams.takes_emulation();
    let descriptors = machine::descriptors(takes_emulation, proxy::count(&config.proxies));
    let descriptors = descriptors.map_err(ServeError::Io)?;
    let asked = asked(config, server.applications, descriptors.to_service)?;
    let worker_count = config.http_server.workers.get().min(SHARDS_MAX);
    let Asked {
        application,
        handlers,
        namespaces,
        proxies,
        background,
    } = asked;
    let authentication = &config.client.authentication;
    let authority = Arc::new(TokenAuthority::new(authentication, namespaces.load_full()));
    let makers = (application, Arc::clone(&authority), server.broker);
    let rules = namespaces.load_full();
    let (node, seats, store) = node(config, makers, rules, (worker_count, local))?;
    // A second server would need a second node: this one is made in one place only.
    let _ = server.node.set(Arc::downgrade(&node));
    let readiness = Arc::new(Readiness::new(store.clone()));
    let limits = config.websocket.limits();
    let workers = Arc::new(WorkerPool::new(Arc::clone(&node), seats, limits));
    let admission = admission(config, descriptors.connections, &node);
    let metrics = Metrics::new(Arc::clone(&node), Arc::clone(&admission), store.clone());
    let metrics = metrics.with_proxies(proxies);
    let gate = Gate::new(&config.http_api);
    let doors = Doors {
        node: Arc::clone(&node),
        admission: Arc::clone(&admission),
        readiness,
        shutdown: config.shutdown.clone(),
        has_successor,
    };
    let live = Live {
        node,
        admission: Arc::clone(&admission),
        origins: origins.clone(),
        gate: gate.clone(),
        identity,
        namespaces,
        handlers,
        connections_possible: descriptors.connections,
        started: config.clone(),
        in_force: Mutex::new(InForce {
            config: config.clone(),
            authority,
        }),
    };
    let drains = DrainOrders(Arc::new(Means {
        doors: doors.clone(),
        gate: gate.clone(),
        stops: Arc::clone(stops),
        has_begun: AtomicBool::new(false),
    }));
    let listener = Listener {
        workers,
        worker_count,
        websocket_path: (!config.websocket.disabled)
            .then(|| config.websocket.handler_prefix.clone()),
        uni_websocket_path: config
            .uni_websocket
            .enabled
            .then(|| config.uni_websocket.handler_prefix.clone()),
        plain_prefix: config
            .plain
            .enabled
            .then(|| config.plain.handler_prefix.clone()),
        streams,
        echo_path: ECHO_PATH.into(),
        compresses: config.websocket.compression,
        origins,
        requests_max: descriptors.requests,
        handshakes: handshakes(config, server.headers, has_handlers),
        admission: Arc::clone(&admission),
        tls,
        routes: routes(config, &doors, metrics, (gate, drains), server.routes),
        shutdown_timeout: config.shutdown.timeout,
    };
    Ok(Assembled {
        doors,
        live,
        listener,
        store,
        background,
    })
}

/// What the server shows of itself, if that is configured, and TLS as it speaks it.
type Encryption = (Option<Arc<Identity>>, Option<Arc<rustls::ServerConfig>>);

fn encryption(
    config: &Config,
    own: Option<Arc<rustls::ServerConfig>>,
) -> Result<Encryption, ServeError> {
    if let Some(own) = own {
        return Ok((None, Some(tls::over_http(&own))));
    }
    let Some(settings) = &config.http_server.tls else {
        return Ok((None, None));
    };
    let identity = Arc::new(Identity::load(settings)?);
    let tls = identity.server()?;
    Ok((Some(identity), Some(tls)))
}

/// Bounds who may connect.
fn admission(config: &Config, possible: usize, node: &Node) -> Arc<Admission> {
    let rate = config.client.limits.connection_rate_limit;
    Arc::new(Admission::new(
        connections_max(config, possible),
        rate.map(NonZeroUsize::get),
        Arc::clone(node.budget()),
    ))
}

/// Everybody who is asked about clients, and what for.
struct Asked {
    application: Applications,
    handlers: Interests,
    namespaces: Arc<ArcSwap<Namespaces>>,
    proxies: ProxyMetrics,
    background: Option<Background>,
}

/// The handlers of this program, and behind them the services elsewhere. A thread for these is only
/// there where there are any; to each it keeps at most `sockets_max` connections.
fn asked(
    config: &Config,
    mut all: Vec<Box<dyn Application>>,
    sockets_max: usize,
) -> Result<Asked, ServeError> {
    let handlers = all.iter().map(|one| one.interests());
    let handlers = handlers.fold(Interests::NONE, |sum, one| sum | one);
    if !config.lets_clients_in() && !handlers.has(Interests::CONNECTING) {
        tracing::warn!(
            "no client can connect: set client.token.hmac_secret_key or another key of tokens, client.allow_anonymous_connect_without_token, or decide by handlers"
        );
    }
    let namespaces = Arc::new(ArcSwap::from_pointee(namespaces(config, handlers)));
    let rules = &config.proxies;
    let (mut proxies, mut background) = (ProxyMetrics::default(), None);
    if rules.all().next().is_some() || rules.rpc.ping.is_some() {
        let thread = Background::start().map_err(ServeError::Io)?;
        let services = ProxyApplication::new(rules, Arc::clone(&namespaces), &thread, sockets_max)?;
        proxies = services.metrics();
        all.push(Box::new(services));
        background = Some(thread);
    }
    Ok(Asked {
        application: Applications::new(all),
        handlers,
        namespaces,
        proxies,
        background,
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

/// A node, its places for workers, and what is on disk, if that is where streams are kept.
type Seated = (Arc<Node>, Vec<ShardSeat>, Option<Arc<DiskBroker>>);

fn node(
    config: &Config,
    (application, authority, make): (Applications, Arc<TokenAuthority>, Option<MakeBroker>),
    namespaces: Arc<Namespaces>,
    (shards, local): (usize, SocketAddr),
) -> Result<Seated, ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
    let interests = application.interests();
    let memory_limit = match config.memory.limit {
        Some(limit) => Some(limit.get() as u64),
        None => machine::half_of_memory(),
    };
    let budget = Arc::new(MemoryBudget::new(memory_limit));
    let (inboxes, shard_inboxes) = Inboxes::new(shards);
    let (broker, store) = broker(
        config,
        make,
        BrokerParts {
            inboxes: inboxes.clone(),
            budget: Arc::clone(&budget),
            clock: Arc::clone(&clock),
            meta_ttl_min: config.shortest_meta_ttl(),
        },
    )?;
    let (node, seats) = Node::new(Parts {
        settings: Arc::new(settings(config, interests)),
        namespaces,
        broker,
        presence: Arc::new(MemoryPresence::default()),
        authority,
        application: Arc::new(application),
        budget,
        clock,
        inboxes,
        shard_inboxes,
        name: node_name(config, local),
    });
    Ok((node, seats, store))
}

/// What keeps the streams, and the same again if that is on disk.
type Keeper = (Arc<dyn Broker>, Option<Arc<DiskBroker>>);

fn broker(
    config: &Config,
    make: Option<MakeBroker>,
    around: BrokerParts,
) -> Result<Keeper, ServeError> {
    if let Some(make) = make {
        return Ok((make(around).map_err(ServeError::Broker)?, None));
    }
    match &config.engine {
        Engine::Disk(disk) => {
            let broker = store::open(disk, around).map_err(ServeError::Store)?;
            Ok((Arc::clone(&broker) as _, Some(broker)))
        }
        Engine::Memory => {
            let BrokerParts {
                inboxes,
                budget,
                clock,
                meta_ttl_min,
            } = around;
            let broker = MemoryBroker::new(inboxes, budget, clock, meta_ttl_min);
            Ok((Arc::new(broker), None))
        }
    }
}

fn routes(
    config: &Config,
    doors: &Doors,
    metrics: Metrics,
    (gate, drains): (Gate, DrainOrders),
    applications: Vec<Routes>,
) -> Routes {
    let (node, readiness) = (Arc::clone(&doors.node), Arc::clone(&doors.readiness));
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
            api::configure(Arc::clone(&node), gate.clone(), &api_settings, services);
            drains.configure(&api_settings.handler_prefix, services);
        }
        for routes in &applications {
            routes(services);
        }
    })
}

/// The channels' rules. Where handlers of this program want to be asked, they are, whatever the
/// services elsewhere are asked there.
pub(super) fn namespaces(config: &Config, interests: Interests) -> Namespaces {
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

pub(super) fn settings(config: &Config, interests: Interests) -> Settings {
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

fn node_name(config: &Config, local: SocketAddr) -> String {
    if !config.node.name.is_empty() {
        return config.node.name.clone();
    }
    let uname = rustix::system::uname();
    format!("{}_{}", uname.nodename().to_string_lossy(), local.port())
}
