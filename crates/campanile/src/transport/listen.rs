//! Accepting connections and putting the services together: TCP, TLS, HTTP, and our upgrades.
//!
//! One port serves everything. actix accepts, reads requests and runs the `App`; a request for an
//! upgrade takes its connection out of actix and hands it to the worker of the same thread.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_codec::Framed;
use actix_http::body::BoxBody;
use actix_http::{HttpService, Protocol, Request, Response, h1};
use actix_server::{GracefulShutdownSignal, Server, ServerHandle};
use actix_service::{
    Service, ServiceFactory, ServiceFactoryExt as _, apply_fn_factory, fn_factory, fn_service,
    map_config,
};
use actix_web::HttpResponse;
use actix_web::dev::{AppConfig, ServiceResponse};
use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use futures_util::future::Either;
use futures_util::{FutureExt as _, TryFutureExt as _};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsAcceptor;

use super::admission::{Admission, Refused};
use super::foreign;
use super::handshake::HandshakeRules;
use super::hang_up::{self, HangUps};
use super::io::Io;
use super::line::Line;
use super::origin::Origins;
use super::streams::{Door, StreamEndpoints};
use super::upgrade::{self, Opening, Paths, Verdict};
use super::worker::{Worker, WorkerPool};

/// Connections that may wait to be accepted, as far as the kernel lets them (`net.core.somaxconn`):
/// those beyond try again after one second, and then after two more. A herd is accepted in less.
const BACKLOG: i32 = 65_535;

/// How long a client may take for a TLS handshake or the head of a request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The application's ordinary routes, for the `App` of each worker.
pub type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// Everything that listening needs.
pub struct Listener {
    /// The workers' shards.
    pub workers: Arc<WorkerPool>,
    /// How many worker threads.
    pub worker_count: usize,
    /// The WebSocket endpoint's path, when there is one.
    pub websocket_path: Option<String>,
    /// The path of the WebSocket endpoint for clients that only listen, when there is one.
    pub uni_websocket_path: Option<String>,
    /// What stands in front of channels' names in the paths of plain sockets, when there are any.
    pub plain_prefix: Option<String>,
    /// The endpoints whose sessions are bodies of responses.
    pub streams: StreamEndpoints,
    /// The echo endpoint's path.
    pub echo_path: String,
    /// Whether clients that offer permessage-deflate get it.
    pub compresses: bool,
    /// Which pages may connect.
    pub origins: Origins,
    /// What is read from the request that brings a client.
    pub handshakes: HandshakeRules,
    /// Connections that are no WebSockets, over all workers; more wait to be accepted.
    pub requests_max: usize,
    /// How many may connect.
    pub admission: Arc<Admission>,
    /// TLS, when it is spoken.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// All other requests.
    pub routes: Routes,
    /// What actix gives requests that are under way when it stops.
    pub shutdown_timeout: Duration,
}

/// Everything that an upgrade needs, in every worker.
struct Upgrades {
    paths: Paths,
    workers: Arc<WorkerPool>,
    admission: Arc<Admission>,
}

/// A socket that listens at the first of these addresses that can be had.
///
/// # Errors
/// None of them can be bound.
pub fn bind(addresses: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let socket = TcpListener::bind(addresses)?;
    // Once more, with room for everybody who comes back at once after a restart.
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Serves a socket that listens. Returns the server, which runs when it is awaited, and the way to
/// stop it.
///
/// # Errors
/// The socket cannot be made ready.
pub fn listen(listener: Listener, socket: TcpListener) -> io::Result<(Server, ServerHandle)> {
    let upgrades = Arc::new(Upgrades {
        paths: Paths {
            websocket: listener.websocket_path,
            uni_websocket: listener.uni_websocket_path,
            plain: listener.plain_prefix,
            echo: listener.echo_path,
            origins: listener.origins,
            handshakes: listener.handshakes,
            compresses: listener.compresses,
        },
        workers: listener.workers,
        admission: listener.admission,
    });
    let tls = listener.tls.map(TlsAcceptor::from);
    let routes = with_endpoints(listener.streams, &upgrades, listener.routes);
    let builder = Server::build();
    let stopping = builder.graceful_shutdown_signal();
    let service = move || {
        // The thread's shard is there before its first connection.
        let worker = upgrades.workers.worker();
        let upgrades = Arc::clone(&upgrades);
        let (tls, routes) = (tls.clone(), Arc::clone(&routes));
        // One for ordinary requests and for upgrades that are not ours: they share what is in it.
        let app = actix_web::App::new().configure(move |services| routes(services));
        let app = once(map_config(app, |()| AppConfig::default()));
        let announced = HangUps::new(stopping.clone());
        let hang_ups = announced.clone();
        let http = HttpService::build()
            .client_request_timeout(HANDSHAKE_TIMEOUT)
            .on_connect_ext(move |line: &Line, connection| {
                announced.announce(line, connection);
                line.announce(connection);
            })
            .graceful_shutdown_signal(move || hang_ups.signal())
            .upgrade(fn_factory({
                let (app, stopping) = (app.clone(), stopping.clone());
                move || {
                    let (upgrades, worker) = (Arc::clone(&upgrades), Rc::clone(&worker));
                    let stopping = stopping.clone();
                    let plain = HttpService::build()
                        .client_request_timeout(HANDSHAKE_TIMEOUT)
                        .graceful_shutdown_signal(move || notified(stopping.clone()))
                        .finish(app.clone())
                        .new_service(());
                    async move { Ok::<_, ()>(upgrade_service(upgrades, worker, plain.await?)) }
                }
            }))
            .finish(apply_fn_factory(app, unless_smuggled));
        fn_service(move |stream: TcpStream| accept(tls.clone(), stream))
            .map(|(io, protocol, peer)| (Line::new(io), protocol, peer))
            .and_then(http.map_err(|error| tracing::debug!(%error, "a connection failed")))
    };
    let server = builder
        .workers(listener.worker_count)
        .max_concurrent_connections(listener.requests_max / listener.worker_count)
        .disable_signals()
        // In whole seconds, and not before ours is over, which tells what was cut off.
        .shutdown_timeout(listener.shutdown_timeout.as_secs().saturating_add(1))
        .listen("campanile", socket, service)?
        .run();
    let handle = server.handle();
    Ok((server, handle))
}

/// The application's routes, behind those of the endpoints.
fn with_endpoints(streams: StreamEndpoints, upgrades: &Arc<Upgrades>, routes: Routes) -> Routes {
    let upgrades = Arc::clone(upgrades);
    Arc::new(move |services| {
        // What is a handshake comes to the [upgrade service](upgrade_service) instead.
        let no_handshake =
            || async { HttpResponse::BadRequest().body("expected a WebSocket handshake\n") };
        for path in upgrades.paths.patterns() {
            services.service(web::resource(path).to(no_handshake));
        }
        let door = Door {
            workers: Arc::clone(&upgrades.workers),
            admission: Arc::clone(&upgrades.admission),
            origins: upgrades.paths.origins.clone(),
            handshakes: upgrades.paths.handshakes.clone(),
        };
        streams.configure(door, services);
        routes(services);
    })
}

/// A service that is made once, by whoever of its thread makes it first.
fn once<F>(
    factory: F,
) -> impl ServiceFactory<
    Request,
    Config = (),
    Response = F::Response,
    Error = F::Error,
    InitError = F::InitError,
    Service = Rc<F::Service>,
    Future: 'static,
> + Clone
where
    F: ServiceFactory<Request, Config = ()> + 'static,
{
    let kept = Rc::new((factory, OnceCell::new()));
    fn_factory(move || {
        let kept = Rc::clone(&kept);
        async move {
            let (factory, service) = &*kept;
            let made = service.get_or_try_init(|| factory.new_service(()).map_ok(Rc::new));
            made.await.cloned()
        }
    })
}

/// Carries out a request, unless it asks for an upgrade and comes with a body: a proxy that goes by
/// the upgrade sees frames in that body.
fn unless_smuggled<S, E>(
    request: Request,
    app: &S,
) -> impl Future<Output = Result<Response<BoxBody>, E>> + use<S, E>
where
    S: Service<Request, Response = ServiceResponse, Error = E>,
{
    if upgrade::has_token(request.head().headers(), header::UPGRADE, "websocket") {
        Either::Left(hang_up::refuse(request).map(Ok))
    } else {
        Either::Right(app.call(request).map_ok(Response::from))
    }
}

async fn notified(signal: GracefulShutdownSignal) {
    signal.notified().await;
}

async fn accept(
    tls: Option<TlsAcceptor>,
    stream: TcpStream,
) -> Result<(Io, Protocol, Option<SocketAddr>), ()> {
    let peer = stream.peer_addr().ok();
    // Frames are written whole; waiting for more to come would only delay them.
    let _ = stream.set_nodelay(true);
    let io = match tls {
        None => Io::Plain(stream),
        Some(tls) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => Io::Tls(Box::new(stream)),
            Ok(Err(error)) => {
                tracing::debug!(?peer, %error, "TLS handshake failed");
                return Err(());
            }
            Err(_) => {
                tracing::debug!(?peer, "TLS handshake took too long");
                return Err(());
            }
        },
    };
    Ok((io, Protocol::Http1, peer))
}

fn upgrade_service<P>(
    upgrades: Arc<Upgrades>,
    worker: Rc<Worker>,
    plain: P,
) -> impl Service<(Request, Framed<Line, h1::Codec>), Response = (), Error = actix_http::Error>
where
    P: Service<(Io, Protocol, Option<SocketAddr>), Response = ()>,
    P::Error: std::fmt::Display,
    P::Future: 'static,
{
    let plain = Rc::new(plain);
    fn_service(move |(request, framed)| {
        let (request, framed): (Request, Framed<Line, h1::Codec>) = (request, framed);
        let parts = framed.into_parts();
        let Some(io) = parts.io.into_io() else {
            // Taken for the response to an earlier request, behind which there is no other.
            return std::future::ready(Ok(()));
        };
        let mut read = parts.read_buf;
        // Responses to what was asked in front of the handshake, which are to come before ours.
        let before = parts.write_buf;
        let respond = |head: Vec<u8>| [&before[..], &head].concat();
        let admit = || upgrades.admission.admit(worker.now().moment);
        let no_place = |refused: Refused| {
            let retry = format!("Retry-After: {}\r\n", refused.retry_after);
            upgrade::response("503 Service Unavailable", &retry)
        };
        match upgrade::judge(&upgrades.paths, &request) {
            Verdict::Refuse(head) => worker.refuse(io, respond(head)),
            Verdict::Foreign if !before.is_empty() => {
                worker.refuse(io, respond(upgrade::response("400 Bad Request", "")));
            }
            Verdict::Accept(opening) => match admit() {
                Ok(place) => {
                    let head = respond(opening.head);
                    let opening = Opening { head, ..opening };
                    worker.adopt(io, opening, &mut read, place);
                }
                Err(refused) => worker.refuse(io, respond(no_place(refused))),
            },
            Verdict::Foreign => match admit() {
                Err(refused) => worker.refuse(io, respond(no_place(refused))),
                Ok(place) => {
                    let io = io.rewound(foreign::rewind(&request, &read));
                    let served = plain.call((io, Protocol::Http1, request.head().peer_addr));
                    actix_rt::spawn(async move {
                        // actix counts it no longer.
                        let _place = place;
                        if let Err(error) = served.await {
                            tracing::debug!(%error, "an upgraded connection failed");
                        }
                    });
                }
            },
        }
        // Ready at once: an upgrade that waited would keep the connection's dispatcher alive.
        std::future::ready(Ok(()))
    })
}
