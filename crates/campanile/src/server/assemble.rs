//! From a configuration to the parts of a server.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use actix_web::http::header::HeaderName;
use actix_web::web::{Data, ServiceConfig};
use arc_swap::ArcSwap;
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
use tokio::sync::{Mutex, watch};

use super::backbone::{Attend, Backbone, Builder};
use super::doors::Doors;
use super::drain::DrainOrders;
use super::reload::{InForce, Live, connections_max};
use super::store::BrokerParts;
use super::tls::{self, Identity};
use super::together::Together;
use super::{MakeBroker, MakeBus, ServeError, Server, machine};
use crate::api::{self, Gate};
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
    pub(super) doors: Doors,
    pub(super) live: Live,
    pub(super) listener: Listener,
    /// What has to be closed at the end.
    pub(super) store: Option<Arc<DiskBroker>>,
    /// Where others are spoken to, if there are any: services, and what keeps the streams elsewhere.
    pub(super) background: Option<Background>,
    /// What is done for the other nodes, if there may be any.
    pub(super) together: Option<Together>,
}

/// Puts together what is to listen at `local`, and what tells `stops` when it is told to stop.
pub(super) fn assemble(
    server: Server,
    local: SocketAddr,
    stops: &Arc<watch::Sender<bool>>,
) -> Result<Assembled, ServeError> {
    let config = &server.config;
    let origins = Origins::new(&config.client.allowed_origins)
        .map_err(|error| ServeError::Origins(error.into()))?;
    let (identity, tls) = encryption(config, server.tls)?;
    let has_successor =
        server.is_socket_kept && server.broker.is_none() && config.engine.is_of_one_node();
    let has_handlers = !server.applications.is_empty();
    let streams = streams(config);
    let takes_emulation = streams.takes_emulation();
    let descriptors = machine::descriptors(takes_emulation, proxy::count(&config.proxies))
        .map_err(ServeError::Io)?;
    let mut background = None;
    let worker_count = config.http_server.workers.get().min(SHARDS_MAX);
    let Asked {
        deciders,
        proxies,
        deciding,
    } = asked(
        config,
        server.applications,
        descriptors.to_service,
        &mut background,
    )?;
    let place = (worker_count, local);
    let makers = (server.broker, server.bus);
    let seated = node(config, deciders, makers, place, &mut background)?;
    let together = Together::among_others(&seated.node, seated.attending, &mut background)?;
    // A second server would need a second node: this one is made in one place only.
    let _ = server.node.set(Arc::downgrade(&seated.node));
    let doors = Doors {
        readiness: Arc::new(Readiness::new(seated.vitals.clone())),
        admission: admission(config, descriptors.connections, &seated.node),
        node: seated.node,
        shutdown: config.shutdown.clone(),
        has_successor,
    };
    let gate = Gate::new(&config.http_api);
    let live = Live {
        node: Arc::clone(&doors.node),
        admission: Arc::clone(&doors.admission),
        origins: origins.clone(),
        gate: gate.clone(),
        identity,
        namespaces: deciding.namespaces,
        handlers: deciding.handlers,
        connections_possible: descriptors.connections,
        started: config.clone(),
        in_force: Mutex::new(InForce {
            config: config.clone(),
            authority: deciding.authority,
        }),
    };
    let metrics = metrics(&doors, seated.vitals, proxies);
    let orders = (gate.clone(), DrainOrders::new(&doors, gate, stops));
    let open = Open {
        seats: seated.seats,
        streams,
        origins,
        handshakes: handshakes(config, server.headers, has_handlers),
        tls,
        routes: routes(config, &doors, metrics, orders, server.routes),
    };
    Ok(Assembled {
        listener: listener(config, &doors, open, descriptors.requests),
        doors,
        live,
        store: seated.store,
        background,
        together,
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

/// What a listener is made of, beside what is configured.
struct Open {
    seats: Vec<ShardSeat>,
    streams: StreamEndpoints,
    origins: Origins,
    handshakes: HandshakeRules,
    tls: Option<Arc<rustls::ServerConfig>>,
    routes: Routes,
}

fn listener(config: &Config, doors: &Doors, open: Open, requests_max: usize) -> Listener {
    let path = |is_enabled: bool, path: &str| is_enabled.then(|| path.to_owned());
    let uni_websocket = &config.uni_websocket;
    let (node, limits) = (Arc::clone(&doors.node), config.websocket.limits());
    Listener {
        worker_count: open.seats.len(),
        workers: Arc::new(WorkerPool::new(node, open.seats, limits)),
        websocket_path: path(!config.websocket.disabled, &config.websocket.handler_prefix),
        uni_websocket_path: path(uni_websocket.enabled, &uni_websocket.handler_prefix),
        plain_prefix: path(config.plain.enabled, &config.plain.handler_prefix),
        echo_path: ECHO_PATH.into(),
        compresses: config.websocket.compression,
        admission: Arc::clone(&doors.admission),
        shutdown_timeout: config.shutdown.timeout,
        streams: open.streams,
        origins: open.origins,
        requests_max,
        handshakes: open.handshakes,
        tls: open.tls,
        routes: open.routes,
    }
}

fn metrics(doors: &Doors, vitals: Vec<Arc<dyn Vitals>>, proxies: ProxyMetrics) -> Metrics {
    let (node, admission) = (Arc::clone(&doors.node), Arc::clone(&doors.admission));
    Metrics::new(node, admission, vitals).with_proxies(proxies)
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

/// Everybody who decides about clients.
struct Deciders {
    application: Applications,
    authority: Arc<TokenAuthority>,
    namespaces: Arc<Namespaces>,
}

/// Everybody who is asked about clients, and what for.
struct Asked {
    deciders: Deciders,
    proxies: ProxyMetrics,
    deciding: Deciding,
}

/// What of them goes by settings that may change.
struct Deciding {
    /// What handlers of this program want to be asked.
    handlers: Interests,
    namespaces: Arc<ArcSwap<Namespaces>>,
    authority: Arc<TokenAuthority>,
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
    let namespaces = Arc::new(ArcSwap::from_pointee(namespaces(config, handlers)));
    let rules = &config.proxies;
    let mut proxies = ProxyMetrics::default();
    if rules.all().next().is_some() || rules.rpc.ping.is_some() {
        let thread = Background::of(background).map_err(ServeError::Io)?;
        let services = ProxyApplication::new(rules, Arc::clone(&namespaces), thread, sockets_max)?;
        proxies = services.metrics();
        all.push(Box::new(services));
    }
    let authentication = &config.client.authentication;
    let authority = Arc::new(TokenAuthority::new(authentication, namespaces.load_full()));
    Ok(Asked {
        deciders: Deciders {
            application: Applications::new(all),
            authority: Arc::clone(&authority),
            namespaces: namespaces.load_full(),
        },
        proxies,
        deciding: Deciding {
            handlers,
            namespaces,
            authority,
        },
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
        proxies: config.http_server.trusted_proxies.clone(),
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
    attending: Option<Attend>,
    vitals: Vec<Arc<dyn Vitals>>,
}

/// What the application makes itself.
type Makers = (Option<MakeBroker>, Option<MakeBus>);

fn node(
    config: &Config,
    deciders: Deciders,
    (make, make_bus): Makers,
    (shards, local): (usize, SocketAddr),
    background: &mut Option<Background>,
) -> Result<Seated, ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
    let interests = deciders.application.interests();
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
        meta_ttl_min: config.shortest_meta_ttl(),
    };
    let backbone = match make {
        Some(make) => Backbone::local(make(around).map_err(ServeError::Broker)?),
        None => {
            let retentions = config.retentions().collect();
            let builder = Builder {
                around,
                background,
                retentions,
            };
            builder.build(&config.engine)?
        }
    };
    let Backbone {
        broker,
        presence,
        cluster,
        store,
        attending,
        vitals,
    } = match make_bus {
        Some(make) => backbone.among_others(make, Arc::clone(&clock))?,
        None => backbone,
    };
    let (node, seats) = Node::new(Parts {
        settings: Arc::new(settings(config, interests)),
        namespaces: deciders.namespaces,
        broker,
        presence,
        authority: deciders.authority,
        application: Arc::new(deciders.application),
        budget,
        clock,
        inboxes,
        shard_inboxes,
        name: node_name(config, local),
        cluster,
    });
    Ok(Seated {
        node,
        seats,
        store,
        attending,
        vitals,
    })
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
