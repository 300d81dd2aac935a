//! A server: from a configuration and an application's own code to listening workers, and to a
//! clean end.
//!
//! [`Server`] gathers, `assemble` puts the parts together, [`RunningServer`] is what one has
//! afterwards. It refuses to know where the configuration came from and what the process does
//! beside serving: logs, command line and exit codes are the program's.

mod assemble;
mod backbone;
mod doors;
mod drain;
mod machine;
mod reload;
mod running;
mod signals;
mod store;
mod tls;
mod together;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, OnceLock, Weak};

use actix_web::http::header::HeaderName;
use actix_web::web::ServiceConfig;
use campanile_engine::application::Application;
use campanile_engine::broker::Broker;
use campanile_engine::cluster::{Bus, ClusterEar, NodeId};
use campanile_engine::node::Node;

use crate::config::Config;
use crate::handlers::{Adapter, Handlers};
use crate::proxy::ProxyError;
use crate::transport::{Routes, bind};

pub use reload::Reloaded;
pub use running::RunningServer;
pub(crate) use store::boot_id;
pub use store::{BrokerParts, StoreError};
pub use tls::TlsError;

pub use crate::tls::PemError;

/// An error of the application's own making.
type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Makes a broker out of what the server gives it.
type MakeBroker = Box<dyn FnOnce(BrokerParts) -> Result<Arc<dyn Broker>, AnyError> + Send>;

/// Makes a bus for a node of this identity, which is to bring what it hears to this ear.
type MakeBus = Box<dyn FnOnce(NodeId, ClusterEar) -> Result<Arc<dyn Bus>, AnyError> + Send>;

/// Why the server did not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// There is no tokio runtime around [`Server::run`].
    NoRuntime,
    /// The runtime has ended in which the server ran, and the server with it.
    RuntimeEnded,
    /// The server has stopped, but what was under way was cut off: when `shutdown.timeout` was
    /// over, when it was told to stop once more, or when the disk took too long.
    Unfinished,
    /// A certificate or key is no good.
    Tls(TlsError),
    /// An origin is not a pattern.
    Origins(AnyError),
    /// The data directory cannot be used.
    Store(StoreError),
    /// A service that decides about clients cannot be asked.
    Proxy(ProxyError),
    /// The application's own broker could not be made.
    Broker(AnyError),
    /// The application's own bus between nodes could not be made.
    Bus(AnyError),
    /// The address cannot be bound.
    Bind(io::Error),
    /// The server ended by itself.
    Ended(Arc<io::Error>),
    /// The operating system refused something else.
    Io(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRuntime => f.write_str(
                "there is no runtime to serve in: call run() in a function under \
                 #[actix_web::main] or #[tokio::main]",
            ),
            Self::RuntimeEnded => {
                f.write_str("the runtime has ended in which the server was started")
            }
            Self::Unfinished => f.write_str(
                "the server stopped before everything had ended: its time was over \
                 (shutdown.timeout), or it was told to stop once more",
            ),
            Self::Tls(error) => write!(f, "http_server.tls: {error}"),
            Self::Origins(error) => write!(f, "client.allowed_origins: {error}"),
            Self::Store(error) => error.fmt(f),
            Self::Proxy(error) => error.fmt(f),
            Self::Broker(error) => write!(f, "the broker cannot be made: {error}"),
            Self::Bus(error) => write!(f, "the bus between nodes cannot be made: {error}"),
            Self::Bind(error) => error.fmt(f),
            Self::Ended(error) => write!(f, "the server ended by itself: {error}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoRuntime | Self::RuntimeEnded | Self::Unfinished => None,
            Self::Tls(error) => Some(error),
            Self::Origins(error) | Self::Broker(error) | Self::Bus(error) => Some(&**error),
            Self::Ended(error) => Some(error),
            // These are told as they are.
            Self::Store(error) => error.source(),
            Self::Proxy(error) => error.source(),
            Self::Bind(error) | Self::Io(error) => error.source(),
        }
    }
}

impl From<ProxyError> for ServeError {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(error)
    }
}

impl ServeError {
    /// Whether the configuration is at fault, so that trying again is of no use.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Tls(_) | Self::Origins(_) | Self::Proxy(_) => true,
            Self::Store(error) => error.is_configuration(),
            _ => false,
        }
    }

    /// Whether stored data is at fault, so that trying again is of no use either.
    #[must_use]
    pub const fn is_data(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_data())
    }
}

/// A server to be: a configuration, and what an application adds to it.
///
/// ```no_run
/// use actix_web::{Responder, web};
/// use campanile::{Config, Node, Server, payload};
///
/// async fn order(
///     node: web::Data<Node>,
///     id: web::Path<u64>,
/// ) -> Result<impl Responder, Box<dyn std::error::Error>> {
///     node.publish("orders", payload::json(&*id)?).await?;
///     Ok("published\n")
/// }
///
/// #[actix_web::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let config = Config::from_toml(r#"
///         [client]
///         allow_anonymous_connect_without_token = true
///
///         [channel.without_namespace]
///         allow_subscribe_for_client = true
///         allow_subscribe_for_anonymous = true
///     "#)?;
///     let server = Server::new(config)
///         .routes(|services| {
///             services.route("/orders/{id}", web::post().to(order));
///         })
///         .bind("127.0.0.1:8000")
///         .run()?;
///     println!("listening on {}", server.local_addr());
///     Ok(server.wait().await?)
/// }
/// ```
///
/// # Routes of both
/// Everything is on one port. The server's own routes come first: `/connection/echo`, `/ready`,
/// `/healthcheck`, and what is configured of the transports (`/connection/…`, `/emulation`), of the
/// API (`/api/…`), `/health` and `/metrics`. The application's may be anything else; one with the
/// same path is never reached. Its handlers get the node as
/// [`web::Data<Node>`](actix_web::web::Data). Middleware belongs to a scope:
/// `services.service(web::scope("").wrap(…).route(…))`; none of it sees the server's own routes.
///
/// WebSocket routes of the application's own work as they do elsewhere, with `actix-ws` for
/// example. Each of these sockets has one of the node's places for connections
/// (`client.connection_limit`), and while there is none is answered 503. They are the application's
/// to end: a server that stops closes its own with a code, and cuts these off after it. Where their
/// clients are to hear of it, take the [signals](Server::without_signals), and close them before
/// [`RunningServer::stop`].
#[must_use = "a server does nothing until it runs"]
pub struct Server {
    config: Config,
    routes: Vec<Routes>,
    applications: Vec<Box<dyn Application>>,
    headers: Vec<HeaderName>,
    node: Arc<OnceLock<Weak<Node>>>,
    broker: Option<MakeBroker>,
    bus: Option<MakeBus>,
    socket: Option<io::Result<TcpListener>>,
    is_socket_kept: bool,
    tls: Option<Arc<rustls::ServerConfig>>,
    heeds_signals: bool,
}

impl Server {
    /// A server as it is configured, with nothing of an application's own.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            routes: Vec::new(),
            applications: Vec::new(),
            headers: Vec::new(),
            node: Arc::default(),
            broker: None,
            bus: None,
            socket: None,
            is_socket_kept: false,
            tls: None,
            heeds_signals: true,
        }
    }

    /// Adds routes, on the same port. Called once in each worker thread: what all of them are to
    /// share is made outside, as with [`HttpServer::new`](actix_web::HttpServer::new).
    pub fn routes(mut self, routes: impl Fn(&mut ServiceConfig) + Send + Sync + 'static) -> Self {
        self.routes.push(Arc::new(routes));
        self
    }

    /// Adds code that decides what clients may do. Of several, each decides what those before it
    /// leave to the configuration, and the HTTP proxies that are configured come last. Renewals are
    /// asked of the first that names them, and a message goes to the first that takes it.
    pub fn handlers(mut self, handlers: impl Handlers) -> Self {
        self.headers.extend(handlers.headers());
        let adapter = Adapter::new(handlers, Arc::clone(&self.node));
        self.applications.push(Box::new(adapter));
        self
    }

    /// Uses another broker than the configured engine.
    ///
    /// It is made once, on the thread that calls [`Server::run`], and is to hand everything that is
    /// published to the inboxes that it is given: see [`Broker`] for the contract. Replaces one
    /// that was given before.
    pub fn broker<B, E>(
        mut self,
        make: impl FnOnce(BrokerParts) -> Result<Arc<B>, E> + Send + 'static,
    ) -> Self
    where
        B: Broker,
        E: Into<AnyError>,
    {
        self.broker = Some(Box::new(|parts| match make(parts) {
            Ok(broker) => Ok(broker),
            Err(error) => Err(error.into()),
        }));
        self
    }

    /// Makes the node one of several, which know each other over this bus: what is done to users
    /// is done on all of them, and presence and channels are those of all.
    ///
    /// To be given together with a [broker](Server::broker) that carries publications between the
    /// nodes. It is made once, on the thread that calls [`Server::run`], and is to bring what it
    /// hears to the ear that it is given: see [`Bus`] for the contract. Replaces one that was given
    /// before.
    pub fn bus<B, E>(
        mut self,
        make: impl FnOnce(NodeId, ClusterEar) -> Result<Arc<B>, E> + Send + 'static,
    ) -> Self
    where
        B: Bus,
        E: Into<AnyError>,
    {
        self.bus = Some(Box::new(|id, ear| match make(id, ear) {
            Ok(bus) => Ok(bus),
            Err(error) => Err(error.into()),
        }));
        self
    }

    /// Listens there, rather than at `http_server.address` and `port`: at the first of the
    /// addresses that can be bound. Port 0 is any free one. An error is told by [`Server::run`].
    ///
    /// There is one socket, other than with [`HttpServer`](actix_web::HttpServer::bind): of several
    /// calls of this and of [`Server::listen`] the last one counts, and a name that has several
    /// addresses, as `localhost` may, is listened to at one of them.
    pub fn bind(mut self, addresses: impl ToSocketAddrs) -> Self {
        self.socket = Some(bind(addresses).map_err(|error| {
            let told = format!("cannot listen where bind() says: {error}");
            io::Error::new(error.kind(), told)
        }));
        self.is_socket_kept = false;
        self
    }

    /// Serves a socket that listens already. Replaces what [`Server::bind`] said before.
    pub fn listen(mut self, socket: TcpListener) -> Self {
        self.socket = Some(Ok(socket));
        self.is_socket_kept = false;
        self
    }

    /// Serves a socket that listens already, and that somebody else keeps open for the process that
    /// comes after this one: systemd, for example, or a parent that starts both.
    ///
    /// Where that process cannot begin before this server has ended, since it needs the same data,
    /// nobody is refused at the end: what was not accepted stays in the socket's queue, and all
    /// connections are closed at once, unless `shutdown.drain` was set.
    pub fn listen_kept(mut self, socket: TcpListener) -> Self {
        self = self.listen(socket);
        self.is_socket_kept = true;
        self
    }

    /// Speaks TLS as the application does elsewhere, rather than as `http_server.tls` says. Its
    /// list of protocols (ALPN) becomes `http/1.1` alone, with which a WebSocket begins: challenges
    /// of `acme-tls/1` need another port. Client certificates are verified as it says; who they
    /// name is not told to handlers. Replaces what was given before.
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Leaves SIGTERM, SIGINT and SIGXFSZ to the application.
    ///
    /// Without this the first two stop the server, as [`RunningServer::stop`] does, and at the
    /// second time at once. Once no server of the process heeds them any more, be it that it has
    /// stopped, that it could not start or that its runtime has ended, they end the process,
    /// whoever else listens for them there. A write past the limit to the size of files stays an
    /// error.
    pub fn without_signals(mut self) -> Self {
        self.heeds_signals = false;
        self
    }

    /// Starts to serve, in threads of its own, and returns what one has of a server that runs.
    ///
    /// Opens the data directory, binds the address and starts the workers, and so takes a moment of
    /// the calling thread. To be called in a tokio runtime, be it actix's, which keeps running:
    /// that is where the server is looked after.
    ///
    /// # Errors
    /// It cannot serve; nothing of it is left then.
    pub fn run(self) -> Result<RunningServer, ServeError> {
        running::run(self)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Where the configuration says.
fn configured(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}
