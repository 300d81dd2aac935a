//! What a server has done at all times so that its node knows the others, and they know it.

use std::sync::Arc;
use std::time::Duration;

use campanile_engine::node::Node;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::ServeError;
use super::backbone::Attend;
use crate::background::{Background, Running, Spawner};

/// How often it is looked whether there is something to do.
const TICK: Duration = Duration::from_millis(100);

/// How long it may take to say goodbye: without that the others wait for a lease.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(1);

/// See the [module](self). Dropped, none of it is done any more, and the others notice.
pub(super) struct Together {
    node: Arc<Node>,
    spawner: Spawner,
    _running: [Running<()>; 3],
    _attending: Option<Running<()>>,
}

impl Together {
    /// Begins where there may be others, on a thread that is started for it if there is none yet.
    pub(super) fn among_others(
        node: &Arc<Node>,
        attending: Option<Attend>,
        background: &mut Option<Background>,
    ) -> Result<Option<Self>, ServeError> {
        if node.cluster().is_none() {
            return Ok(None);
        }
        let thread = Background::of(background).map_err(ServeError::Io)?;
        let attending = attending.map(|begin| begin(node));
        Ok(Some(Self::begin(
            Arc::clone(node),
            &thread.spawner(),
            attending,
        )))
    }

    /// Begins, on a thread that waits for neither workers nor the application. The three do not
    /// wait for each other either: a shard that is slow does not make the node look dead, and a bus
    /// that is slow does not keep what was asked from ending.
    fn begin(node: Arc<Node>, spawner: &Spawner, attending: Option<Running<()>>) -> Self {
        let (ticking, beating, obeying) = (Arc::clone(&node), Arc::clone(&node), Arc::clone(&node));
        let running = [
            spawner.spawn(async move {
                let mut ticks = ticks();
                loop {
                    ticks.tick().await;
                    ticking.tick();
                }
            }),
            spawner.spawn(async move {
                let mut ticks = ticks();
                loop {
                    ticks.tick().await;
                    beating.beat().await;
                }
            }),
            spawner.spawn(async move { obeying.obey_peers().await }),
        ];
        Self {
            node,
            spawner: spawner.clone(),
            _running: running,
            _attending: attending,
        }
    }

    /// Says goodbye, for a node without sessions.
    pub(super) async fn end(self) {
        let node = Arc::clone(&self.node);
        let goodbye = self.spawner.spawn(async move {
            // That nobody heard it stands in the log.
            let _ = timeout(GOODBYE_PATIENCE, node.part()).await;
        });
        // Nor is it heard when the thread is gone.
        let _ = goodbye.await;
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        // Whoever asks the others something later, or does now, must not wait for ever.
        if let Some(cluster) = self.node.cluster() {
            cluster.end();
        }
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
