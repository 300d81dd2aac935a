//! Running the server: from a configuration to listening workers, and to a clean end.

mod assemble;
mod dev;
mod machine;
mod store;
mod tls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use campanile_engine::node::Node;
use rustix::process::Signal;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use self::assemble::Assembled;
use self::dev::Dev;

use crate::cli::ServeArgs;
use crate::config::Config;
use crate::transport::{Admission, listen};

pub use assemble::MissingSecrets;
pub use store::StoreError;
pub(crate) use store::boot_id;

/// Why the server did not run.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration leaves secrets out.
    Secrets(MissingSecrets),
    /// A certificate or key is no good.
    Tls(tls::TlsError),
    /// An origin is not a pattern.
    Origins(globset::Error),
    /// The data directory cannot be used.
    Store(StoreError),
    /// The address cannot be bound.
    Bind(std::net::SocketAddr, io::Error),
    /// The operating system refused something else.
    Io(io::Error),
}

impl std::fmt::Display for ServeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secrets(missing) => missing.fmt(f),
            Self::Tls(error) => write!(f, "http_server.tls: {error}"),
            Self::Origins(error) => write!(f, "client.allowed_origins: {error}"),
            Self::Store(error) => error.fmt(f),
            Self::Bind(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServeError {}

impl ServeError {
    /// Whether the configuration is at fault, so that trying again is of no use.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Secrets(_) | Self::Tls(_) | Self::Origins(_) => true,
            Self::Store(error) => error.is_configuration(),
            Self::Bind(..) | Self::Io(_) => false,
        }
    }

    /// Whether stored data is at fault, so that trying again is of no use either.
    #[must_use]
    pub const fn is_data(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_data())
    }
}

/// Serves until the process is told to stop.
///
/// # Errors
/// The first failure that serving cannot go on after.
pub fn run(config: Config, args: &ServeArgs) -> Result<(), ServeError> {
    let (config, dev) = if args.dev {
        dev::prepare(config)
    } else {
        (config, None)
    };
    assemble::require_secrets(&config)?;
    actix_rt::System::new().block_on(async move {
        // Before anybody can know that the server runs: whoever sees it listen may stop it.
        let mut signals = StopSignals::new().map_err(ServeError::Io)?;
        // A limit to the size of files is a disk that is full, not a reason to die.
        let _survived =
            signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map_err(ServeError::Io)?;
        let assembled = assemble::assemble(&config, dev.as_ref())?;
        let store = assembled.store.clone();
        let outcome = serve(assembled, &config, dev.as_ref(), &mut signals).await;
        if let Some(store) = store {
            store::close(store, signals.next()).await;
        }
        if outcome.is_ok() {
            tracing::info!("stopped");
        }
        outcome
    })
}

/// Listens, serves, and drains once it is told to stop.
async fn serve(
    assembled: Assembled,
    config: &Config,
    dev: Option<&Dev>,
    signals: &mut StopSignals,
) -> Result<(), ServeError> {
    let Assembled {
        node,
        admission,
        readiness,
        listener,
        ..
    } = assembled;
    let (address, shutdown) = (config.http_server.listen, &config.shutdown);
    let has_tls = listener.tls.is_some();
    let (server, handle, local) =
        listen(listener, address).map_err(|error| ServeError::Bind(address, error))?;
    tracing::info!(address = %local, tls = has_tls, node = node.id(), "listening");
    if let Some(dev) = dev {
        dev.announce(local);
    }
    readiness.set(true);
    actix_rt::spawn(sweep(Arc::clone(&node)));
    let mut serving = std::pin::pin!(server);
    tokio::select! {
        ended = &mut serving => return ended.map_err(ServeError::Io),
        () = signals.next() => {}
    }
    readiness.set(false);
    admission.close();
    tracing::info!(window = ?shutdown.drain, "stopping: closing connections; once more ends at once");
    let ended = async {
        drain(&node, &admission, shutdown.drain).await;
        // The server stops itself, and so has to go on running meanwhile.
        let ((), ended) = tokio::join!(handle.stop(true), serving);
        if let Err(error) = ended {
            tracing::warn!(%error, "the server did not end well");
        }
    };
    end(ended, shutdown.timeout, signals).await;
    Ok(())
}

/// Waits for `ended`, but neither longer than `timeout` nor when told to stop once more.
async fn end(ended: impl Future<Output = ()>, timeout: Duration, signals: &mut StopSignals) {
    tokio::select! {
        () = ended => {}
        () = signals.next() => tracing::warn!("told to stop once more"),
        () = tokio::time::sleep(timeout) => {
            tracing::warn!(?timeout, "not everything ended in time");
        }
    }
}

/// SIGTERM and SIGINT, from its creation on: without it they end the process where it stands.
struct StopSignals {
    terminate: Signals,
    interrupt: Signals,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Closes all connections within `window`, evenly, and waits until they are gone.
async fn drain(node: &Node, admission: &Admission, window: Duration) {
    const LOOK_AGAIN: Duration = Duration::from_millis(20);
    const TIME_TO_LEAVE: Duration = Duration::from_secs(1);
    node.drain(window).await;
    // Everybody is told why; whoever does not close its side is not waited for any longer than it
    // takes to read that.
    while node.report().await.stats.clients > 0 {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let all_left = async {
        while admission.connections() > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let _ = tokio::time::timeout(TIME_TO_LEAVE, all_left).await;
}

async fn sweep(node: Arc<Node>) {
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    every_second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every_second.tick().await;
        node.sweep();
    }
}
