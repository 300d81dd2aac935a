//! Whoever started the process and looks after it, where that is systemd or speaks as it does: the
//! socket that it hands over (`LISTEN_FDS`, `LISTEN_PID`: sd_listen_fds(3)), and what it is told
//! (`NOTIFY_SOCKET`, `WATCHDOG_USEC`: sd_notify(3)).
//!
//! Without such a one nothing here has an effect.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;
use sd_notify::NotifyState;

use crate::RunningServer;

/// The socket that was handed over, if one was.
///
/// # Errors
/// What was handed over is no TCP socket that listens.
pub(super) fn socket() -> io::Result<Option<TcpListener>> {
    let mut handed_over = ListenFd::from_env();
    if handed_over.len() > 1 {
        tracing::warn!(
            sockets = handed_over.len(),
            "several sockets were handed over; only the first is served"
        );
    }
    if handed_over.len() == 0 {
        return Ok(None);
    }
    let socket = handed_over.take_tcp_listener(0).and_then(|socket| {
        let listens = socket.as_ref().map(socket_acceptconn).transpose()?;
        // A connection, as systemd hands over with Accept=yes, would be taken as well.
        if listens == Some(false) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it does not listen",
            ));
        }
        Ok(socket)
    });
    socket.map_err(|error| {
        let told =
            format!("the socket that was handed over (LISTEN_FDS) cannot be served: {error}");
        io::Error::new(error.kind(), told)
    })
}

/// Says where the socket listens, where the configuration says something else.
pub(super) fn compare(socket: &TcpListener, configured: SocketAddr) {
    match socket.local_addr() {
        Ok(address) if address == configured => {}
        Ok(address) => tracing::warn!(
            %address, %configured,
            "the socket that was handed over is served; http_server.address and port have no effect"
        ),
        Err(error) => tracing::warn!(%error, "where the socket listens cannot be told"),
    }
}

/// Tells how the server is, until it has ended.
pub(super) async fn attend(server: &RunningServer) {
    let address = server.local_addr();
    tell(&[
        NotifyState::Ready,
        NotifyState::Status(&format!("serving at {address}")),
    ]);
    tokio::select! {
        () = server.stopping() => tell(&[
            NotifyState::Stopping,
            NotifyState::Status("closing connections and the data directory"),
        ]),
        () = keep_watchdog_quiet(server) => {}
    }
}

/// Says that a new configuration is being read, and behind it that the server is ready again.
pub(super) async fn reloading(reload: impl Future<Output = ()>) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "the clock cannot be read"),
    }
    reload.await;
    tell(&[NotifyState::Ready]);
}

/// Says that the server is alive as long as all of its workers answer. Never returns.
async fn keep_watchdog_quiet(server: &RunningServer) {
    /// Of the time that the watchdog has: twice as often as it wants to hear.
    const HALF: u32 = 2;
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut due = tokio::time::interval((patience / HALF).max(Duration::from_millis(1)));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        server.node().report().await;
        tell(&[NotifyState::Watchdog]);
    }
}

/// A supervisor that is gone, or never was there, changes nothing.
fn tell(news: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(news) {
        tracing::debug!(%error, "the supervisor was not told");
    }
}
