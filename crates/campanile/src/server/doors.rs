//! The way in, and how it is shut: who is told first, who is still let in, who is waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_server::ServerHandle;
use campanile_engine::node::Node;
use tokio::time::sleep;

use crate::config::Shutdown;
use crate::operations::Readiness;
use crate::transport::Admission;

/// Between two looks at who is left.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How long those who were told may take to read it and to close their side.
const TIME_TO_LEAVE: Duration = Duration::from_secs(1);

/// How long those who were accepted last may take to say what they came for: a TLS handshake and the
/// head of a request, over lines of 100 ms. They cannot be given back to the socket.
const TIME_TO_SPEAK: Duration = Duration::from_millis(400);

/// What has to be shut for a drain, and who is behind it.
#[derive(Clone)]
pub(super) struct Doors {
    pub(super) node: Arc<Node>,
    pub(super) admission: Arc<Admission>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) shutdown: Shutdown,
    /// Whether the next process serves the same socket, and cannot begin before this one has ended.
    pub(super) has_successor: bool,
}

impl Doors {
    /// Over how long connections are closed at the end. The next process cannot begin before that,
    /// so that nobody is better off for being closed later, unless somebody decided otherwise.
    fn window(&self) -> Duration {
        let Shutdown {
            drain,
            is_drain_chosen,
            ..
        } = self.shutdown;
        if self.has_successor && !is_drain_chosen {
            Duration::ZERO
        } else {
            drain
        }
    }

    /// Tells those who ask that the server is about to stop.
    pub(super) fn announce_end(&self) {
        self.readiness.set(false);
        tracing::info!(
            delay = ?self.shutdown.delay,
            window = ?self.window(),
            successor = self.has_successor,
            "stopping: closing connections; once more ends at once"
        );
    }

    /// Lets nobody in any more, and says so.
    fn shut(&self) {
        self.readiness.set(false);
        self.admission.close();
    }

    /// Gets everybody out for good: after `shutdown.delay`, in which those who send clients here
    /// can see that it is no longer ready, and clients they still send are served.
    pub(super) async fn empty(&self, handle: &ServerHandle) {
        sleep(self.shutdown.delay).await;
        if self.has_successor {
            self.pass_on(handle).await;
        }
        self.close_over(self.window()).await;
    }

    /// Accepts nobody any more: who comes now waits for the next process. Who was accepted is let
    /// in, to be closed with a code rather than to be refused.
    async fn pass_on(&self, handle: &ServerHandle) {
        handle.pause().await;
        self.node.drain(self.window()).await;
        sleep(TIME_TO_SPEAK).await;
    }

    /// See [`RunningServer::drain`](super::RunningServer::drain).
    pub(super) async fn drain(&self) {
        self.close_over(self.shutdown.drain).await;
    }

    async fn close_over(&self, window: Duration) {
        self.shut();
        self.node.drain(window).await;
        // Everybody is told why, also those who are only about to connect; whoever does not close
        // its side is not waited for any longer than it takes to read that.
        let until = Instant::now() + window;
        loop {
            let stats = self.node.report().await.stats;
            let may_be_told = stats.connections > 0 && Instant::now() < until;
            if stats.clients == 0 && !may_be_told {
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
        let all_left = async {
            while self.admission.connections() > 0 {
                sleep(LOOK_AGAIN).await;
            }
        };
        let _ = tokio::time::timeout(TIME_TO_LEAVE, all_left).await;
    }
}
