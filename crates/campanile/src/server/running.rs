//! A server that runs: what one can do with it, and how it comes to its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_server::{Server as ActixServer, ServerHandle};
use campanile_engine::broker::DiskBroker;
use campanile_engine::node::Node;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::assemble::{self, Assembled};
use super::doors::Doors;
use super::reload::{Live, Reloaded};
use super::signals::StopSignals;
use super::together::Together;
use super::{ServeError, Server, store};
use crate::background::Background;
use crate::config::Config;
use crate::transport::listen;

/// A server that runs.
///
/// Cheap to clone, usable from any thread. Dropping it changes nothing: the server runs until it is
/// stopped, or until the runtime ends in which it was started, which cuts everything off: the data
/// directory is then found as after a crash, and is locked for as long as anybody holds the node.
#[derive(Clone)]
pub struct RunningServer {
    local: SocketAddr,
    doors: Doors,
    live: Arc<Live>,
    /// Whether it was told to stop.
    stops: Arc<watch::Sender<bool>>,
    phase: watch::Receiver<Phase>,
}

/// How far it has come.
#[derive(Clone)]
enum Phase {
    Serving,
    Stopping,
    Ended(Outcome),
}

/// How it ended.
type Outcome = Result<(), End>;

/// Another end than it should have.
#[derive(Clone)]
enum End {
    Unfinished,
    ByItself(Arc<io::Error>),
}

impl From<End> for ServeError {
    fn from(end: End) -> Self {
        match end {
            End::Unfinished => Self::Unfinished,
            End::ByItself(error) => Self::Ended(error),
        }
    }
}

impl RunningServer {
    /// The way to its sessions, channels and histories.
    #[must_use]
    pub const fn node(&self) -> &Arc<Node> {
        &self.doors.node
    }

    /// Where it listens.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Goes over to another configuration, as far as that is possible without a restart, and tells
    /// what has changed and what has not: tokens, channels, limits and allowed origins of clients,
    /// the API's key, certificate and key of TLS, which are read again in any case. Returns when all
    /// workers go by it.
    ///
    /// Sessions go on. What they were granted at their beginning, or at that of a subscription,
    /// stays with them; everything else is looked up when it is needed. What was changed by hand in
    /// a configuration after it had been read counts, but is not told.
    ///
    /// # Errors
    /// An origin, a certificate or a key is no good; nothing has changed then.
    ///
    /// # Cancel safety
    /// Some of it may have changed; the next reload changes the rest.
    pub async fn reload(&self, config: &Config) -> Result<Reloaded, ServeError> {
        self.live.reload(config).await
    }

    /// Turns readiness off, takes no more connections, and closes those that are there with 3001,
    /// evenly over `shutdown.drain`. Returns when they have ended. Everything else goes on.
    ///
    /// # Cancel safety
    /// Once it was polled, connections are closed all the same.
    pub async fn drain(&self) {
        self.doors.drain().await;
    }

    /// Drains, waits for the [`disconnected`](crate::handlers::Handlers::disconnected) handlers and
    /// for requests that are under way, closes the data directory, and returns when all of it has
    /// ended, or when `shutdown.timeout` is over. Idempotent.
    ///
    /// Not to be awaited by what it waits for itself, a route or a handler: spawn it there.
    ///
    /// # Errors
    /// As [`RunningServer::wait`].
    ///
    /// # Cancel safety
    /// Once it was polled, the server stops all the same.
    pub async fn stop(&self) -> Result<(), ServeError> {
        self.stops
            .send_if_modified(|stops| !std::mem::replace(stops, true));
        self.wait().await
    }

    /// Waits until the server has ended, for whatever reason.
    ///
    /// # Errors
    /// It ended without having been told to, it was cut off before everything had ended, or the
    /// runtime that it was started in has ended.
    pub async fn wait(&self) -> Result<(), ServeError> {
        let mut phase = self.phase.clone();
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended(_)));
        match ended.await.map(|phase| phase.clone()) {
            Ok(Phase::Ended(outcome)) => Ok(outcome?),
            _ => Err(ServeError::RuntimeEnded),
        }
    }

    /// Waits until the server begins to stop, or has ended: to tell whoever looks after the process.
    pub async fn stopping(&self) {
        let mut phase = self.phase.clone();
        // An error is an end, too.
        let _ = phase
            .wait_for(|phase| !matches!(phase, Phase::Serving))
            .await;
    }
}

impl std::fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningServer")
            .field("local_addr", &self.local)
            .finish_non_exhaustive()
    }
}

/// See [`Server::run`].
pub(super) fn run(mut server: Server) -> Result<RunningServer, ServeError> {
    let runtime = Handle::try_current().map_err(|_| ServeError::NoRuntime)?;
    // Before anybody can know that the server runs: whoever sees it listen may stop it.
    let signals = if server.heeds_signals {
        StopSignals::heed().map_err(ServeError::Io)?
    } else {
        StopSignals::ignore()
    };
    let address = server.config.http_server.listen;
    let socket = server.socket.take();
    let socket = socket.unwrap_or_else(|| super::configured(address));
    let socket = socket.map_err(ServeError::Bind)?;
    let local = socket.local_addr().map_err(ServeError::Io)?;
    let (stops, told) = watch::channel(false);
    let stops = Arc::new(stops);
    let Assembled {
        doors,
        live,
        listener,
        store,
        background,
        together,
    } = assemble::assemble(server, local, &stops)?;
    let has_tls = listener.tls.is_some();
    let (actix, handle) = listen(listener, socket).map_err(ServeError::Io)?;
    tracing::info!(address = %local, tls = has_tls, node = doors.node.id(), "listening");
    doors.readiness.set(true);
    let (tell, phase) = watch::channel(Phase::Serving);
    let orders = Orders { signals, told };
    let keeper = Keeper {
        doors: doors.clone(),
        actix,
        handle,
        store,
        background,
        together,
        orders,
    };
    runtime.spawn(async move {
        let ended = keeper.keep(&tell).await;
        tell.send_replace(Phase::Ended(ended));
    });
    Ok(RunningServer {
        local,
        doors,
        live: Arc::new(live),
        stops,
        phase,
    })
}

/// Looks after a server until its end.
struct Keeper {
    doors: Doors,
    actix: ActixServer,
    handle: ServerHandle,
    store: Option<Arc<DiskBroker>>,
    background: Option<Background>,
    together: Option<Together>,
    orders: Orders,
}

impl Keeper {
    async fn keep(self, phase: &watch::Sender<Phase>) -> Outcome {
        let Self {
            doors,
            actix,
            handle,
            store,
            background,
            together,
            mut orders,
        } = self;
        let sweeping = tokio::spawn(sweep(Arc::clone(&doors.node)));
        let mut outcome = serve(&doors, (actix, &handle), &mut orders, phase).await;
        sweeping.abort();
        if let Some(together) = together {
            together.end().await;
        }
        // Nobody is left who could ask anything.
        drop(background);
        if let Some(store) = store
            && !store::close(store, orders.next()).await
        {
            outcome = outcome.and(Err(End::Unfinished));
        }
        if !matches!(outcome, Err(End::ByItself(_))) {
            tracing::info!("stopped");
        }
        outcome
    }
}

/// Serves, and drains once it is told to stop.
async fn serve(
    doors: &Doors,
    (actix, handle): (ActixServer, &ServerHandle),
    orders: &mut Orders,
    phase: &watch::Sender<Phase>,
) -> Outcome {
    let mut serving = std::pin::pin!(actix);
    tokio::select! {
        ended = &mut serving => return ended.map_err(|error| End::ByItself(Arc::new(error))),
        () = orders.next() => {}
    }
    phase.send_replace(Phase::Stopping);
    doors.announce_end();
    let ended = async {
        let leaving = async {
            doors.empty(handle).await;
            doors.node.finish_telling().await;
            handle.stop(true).await;
        };
        // The server stops itself, and so has to go on running meanwhile.
        let ((), ended) = tokio::join!(leaving, serving);
        if let Err(error) = ended {
            tracing::warn!(%error, "the server did not end well");
        }
    };
    end(ended, doors.shutdown.timeout, orders).await
}

/// Waits for `ended`, but neither longer than `timeout` nor when told to stop once more.
async fn end(ended: impl Future<Output = ()>, timeout: Duration, orders: &mut Orders) -> Outcome {
    tokio::select! {
        () = ended => return Ok(()),
        () = orders.next() => tracing::warn!("told to stop once more"),
        () = tokio::time::sleep(timeout) => {
            tracing::warn!(?timeout, "not everything ended in time");
        }
    }
    Err(End::Unfinished)
}

/// Being told to stop, by the operating system or by the application.
struct Orders {
    signals: StopSignals,
    /// Changes once.
    told: watch::Receiver<bool>,
}

impl Orders {
    /// Waits for the next one.
    async fn next(&mut self) {
        tokio::select! {
            () = self.signals.next() => {}
            Ok(()) = self.told.changed() => {}
            else => std::future::pending().await,
        }
    }
}

async fn sweep(node: Arc<Node>) {
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    every_second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every_second.tick().await;
        node.sweep();
    }
}
