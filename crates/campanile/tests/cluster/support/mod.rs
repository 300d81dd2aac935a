//! Servers of our own, and what it takes to wait for them.

pub(crate) mod redis;

use std::net::TcpListener;
use std::time::{Duration, Instant};

/// How long anything may take here before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A port of this machine that nobody listens at.
///
/// Below those that the system gives to outgoing connections, and apart from the ports of other
/// test processes, so that nobody takes it before it is used.
pub(crate) fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + (std::process::id() % 600) as u16 * 20;
    loop {
        let port =
            base.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed) % 9_000) % 10_000 + 20_000;
        // A cluster's bus has the port 10,000 above.
        if TcpListener::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok()
        {
            return port;
        }
    }
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
